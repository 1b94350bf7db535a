-- Of an account that is about a provider: which.
ALTER TABLE balances ADD COLUMN provider TEXT NOT NULL DEFAULT '';

-- What was agreed with an organisation; without a row, the default holds.
CREATE TABLE org_terms (
    org TEXT PRIMARY KEY,
    -- The fee on a purchase, in millionths of it.
    purchase_fee_ppm BIGINT NOT NULL
);

-- How a usage record was settled against a provider's bill: once each.
CREATE TABLE reconciliations (
    node TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    org TEXT NOT NULL,
    key_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- What left suspense, what of it was charged, and what the provider bills.
    held_nano BIGINT NOT NULL,
    held_pico_rem SMALLINT NOT NULL,
    charged_nano BIGINT NOT NULL,
    charged_pico_rem SMALLINT NOT NULL,
    billed_nano BIGINT NOT NULL,
    billed_pico_rem SMALLINT NOT NULL,
    unix_ms BIGINT NOT NULL,
    PRIMARY KEY (node, epoch, sequence)
);
