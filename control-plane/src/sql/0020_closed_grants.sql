-- The newest run of each node that was granted something: an older one gets nothing more, also when
-- nothing is left of what either was granted.
CREATE TABLE lease_runs (
    node TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL
);

INSERT INTO lease_runs (node, epoch) SELECT node, MAX(epoch) FROM lease_grants GROUP BY node;

-- By purse, so that a grant finds those that it closes.
DROP INDEX lease_grants_holder;

CREATE INDEX lease_grants_purse ON lease_grants (node, org, limit_window, epoch);

-- Leases that hold something. Those that are over stay for ever, as all accounts do, and must not be
-- read whenever somebody asks for money or reports.
DROP INDEX balances_window;

CREATE INDEX balances_held_window ON balances (kind, org, limit_window)
    WHERE nano > 0 OR pico_rem > 0;

CREATE INDEX balances_held_node ON balances (node, kind, org)
    WHERE nano > 0 OR pico_rem > 0;
