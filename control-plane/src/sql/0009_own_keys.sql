-- What own provider keys serve: its list price is counted, the fee alone is charged, and none
-- within the month's allowance.
ALTER TABLE usage_records ADD COLUMN own_key SMALLINT NOT NULL DEFAULT 0;

-- What content filters found and let pass: a JSON list of texts; empty: nothing.
ALTER TABLE usage_records ADD COLUMN flags TEXT NOT NULL DEFAULT '';

-- The fee in millionths of the list price, and what of the list price is free each month: so much
-- in dollars, and so many requests whatever they cost.
ALTER TABLE org_terms ADD COLUMN byok_fee_ppm BIGINT NOT NULL DEFAULT 50000;

ALTER TABLE org_terms ADD COLUMN byok_free_nano BIGINT NOT NULL DEFAULT 25000000000000;

ALTER TABLE org_terms ADD COLUMN byok_free_pico_rem SMALLINT NOT NULL DEFAULT 0;

ALTER TABLE org_terms ADD COLUMN byok_free_requests BIGINT NOT NULL DEFAULT 0;

-- List prices of what own provider keys served.
ALTER TABLE usage_days ADD COLUMN byok_nano BIGINT NOT NULL DEFAULT 0;

ALTER TABLE usage_days ADD COLUMN byok_pico_rem BIGINT NOT NULL DEFAULT 0;

-- Whether own provider keys count.
ALTER TABLE limits ADD COLUMN include_byok SMALLINT NOT NULL DEFAULT 0;
