CREATE TABLE orgs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- 1 for the organisation that was made at first start.
    is_first SMALLINT NOT NULL,
    created_unix_ms BIGINT NOT NULL
);

CREATE UNIQUE INDEX orgs_first ON orgs (is_first) WHERE is_first = 1;

-- id is the hex SHA-256 of the key; nothing else of the key is stored but its label (the ends).
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    org TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    policy TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    expires_unix_s BIGINT,
    revoked_unix_ms BIGINT
);

CREATE INDEX api_keys_org ON api_keys (org, created_unix_ms);

-- Heads of the gapless sequences below. The row is updated first in each transaction that uses
-- it, so that its lock makes the order of numbers the order of commits.
CREATE TABLE sequences (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO sequences (name, value) VALUES ('account', 0), ('audit', 0);

CREATE TABLE account_events (
    sequence BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    key_id TEXT NOT NULL,
    unix_ms BIGINT NOT NULL
);

-- hash: SHA-256 over the hash before and this row.
CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    unix_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    hash TEXT NOT NULL
);
