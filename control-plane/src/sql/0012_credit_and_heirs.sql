-- What each node may let an organisation use beyond its leases while the ledger is out of reach.
ALTER TABLE org_terms ADD COLUMN outage_nano BIGINT NOT NULL DEFAULT 0;

ALTER TABLE org_terms ADD COLUMN outage_pico_rem SMALLINT NOT NULL DEFAULT 0;

-- The run that has taken over what an earlier run of its node had leased, by its own word. A second
-- one that says so, and does not come after the first, is a copy of the machine.
CREATE TABLE run_heirs (
    node TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    heir BIGINT NOT NULL,
    PRIMARY KEY (node, epoch)
);
