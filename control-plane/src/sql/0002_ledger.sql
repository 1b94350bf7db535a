-- Amounts: whole nano-dollars and 0..999 pico-dollars.

-- One row. Updated first in each transaction: numbers transactions without gaps, and holds the
-- highest leadership that has written.
CREATE TABLE ledger_head (
    id SMALLINT PRIMARY KEY,
    transactions BIGINT NOT NULL,
    fence BIGINT NOT NULL
);

INSERT INTO ledger_head (id, transactions, fence) VALUES (1, 0, 0);

-- What each journal line adds up to. Everything but grants, and overruns, is never below zero.
CREATE TABLE balances (
    account TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    org TEXT NOT NULL,
    node TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    nano BIGINT NOT NULL,
    pico_rem SMALLINT NOT NULL
);

CREATE INDEX balances_kind ON balances (kind, org, node);

CREATE TABLE journal (
    id BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    -- What it is the posting of: unique by kind, so that nothing is posted twice.
    reference TEXT NOT NULL,
    unix_ms BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    UNIQUE (kind, reference)
);

-- The lines of one transaction add up to zero.
CREATE TABLE journal_lines (
    transaction_id BIGINT NOT NULL REFERENCES journal (id),
    line INTEGER NOT NULL,
    account TEXT NOT NULL,
    nano BIGINT NOT NULL,
    pico_rem SMALLINT NOT NULL,
    PRIMARY KEY (transaction_id, line)
);

CREATE INDEX journal_lines_account ON journal_lines (account);

CREATE TABLE lease_grants (
    id TEXT PRIMARY KEY,
    org TEXT NOT NULL,
    node TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    nano BIGINT NOT NULL,
    pico_rem SMALLINT NOT NULL,
    -- 1 once the lease was taken back without its holder.
    reclaimed SMALLINT NOT NULL
);

CREATE INDEX lease_grants_holder ON lease_grants (node, epoch, org);

CREATE TABLE watermarks (
    node TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (node, epoch)
);

-- One row per hold, as shipped.
CREATE TABLE usage_records (
    node TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    generation TEXT NOT NULL,
    org TEXT NOT NULL,
    key_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    held_nano BIGINT NOT NULL,
    held_pico_rem SMALLINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    cost_pico_rem SMALLINT NOT NULL,
    started_unix_ms BIGINT NOT NULL,
    api TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    provider TEXT NOT NULL,
    price_epoch BIGINT NOT NULL,
    price_number BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    -- shared::usage::Usage as JSON: every class of token.
    usage_json TEXT NOT NULL,
    streamed SMALLINT NOT NULL,
    finish_reason TEXT NOT NULL,
    fault TEXT NOT NULL,
    duration_ms BIGINT NOT NULL,
    ttft_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    upstream_id TEXT NOT NULL,
    PRIMARY KEY (node, epoch, sequence)
);

CREATE INDEX usage_records_generation ON usage_records (generation);

CREATE INDEX usage_records_org ON usage_records (org, started_unix_ms);
