-- Limits of members, workspaces and organisations; a key's own is in its policy. No two of one
-- owner have the same interval.
CREATE TABLE limits (
    org TEXT NOT NULL REFERENCES orgs (id),
    scope TEXT NOT NULL,
    -- The member's, workspace's or organisation's id.
    id TEXT NOT NULL,
    -- daily, weekly, monthly or lifetime.
    period TEXT NOT NULL,
    nano BIGINT NOT NULL,
    pico_rem SMALLINT NOT NULL,
    PRIMARY KEY (org, scope, id, period)
);

-- Of an account that is about a window of a limit: which.
ALTER TABLE balances ADD COLUMN limit_window TEXT NOT NULL DEFAULT '';

ALTER TABLE lease_grants ADD COLUMN limit_window TEXT NOT NULL DEFAULT '';

-- The windows that a request held from besides the balance, separated by spaces.
ALTER TABLE usage_records ADD COLUMN limit_windows TEXT NOT NULL DEFAULT '';

-- The platform's fee on what was spent, in millionths, and what it came to.
ALTER TABLE usage_records ADD COLUMN fee_ppm BIGINT NOT NULL DEFAULT 0;

ALTER TABLE usage_records ADD COLUMN fee_nano BIGINT NOT NULL DEFAULT 0;

ALTER TABLE usage_records ADD COLUMN fee_pico_rem SMALLINT NOT NULL DEFAULT 0;

ALTER TABLE reconciliations ADD COLUMN limit_windows TEXT NOT NULL DEFAULT '';

ALTER TABLE reconciliations ADD COLUMN fee_nano BIGINT NOT NULL DEFAULT 0;

ALTER TABLE reconciliations ADD COLUMN fee_pico_rem SMALLINT NOT NULL DEFAULT 0;

ALTER TABLE org_terms ADD COLUMN spend_fee_ppm BIGINT NOT NULL DEFAULT 0;
