-- Rules by which credits are bought when they run low. Amounts are in cents, as payment providers
-- take them.
CREATE TABLE topup_rules (
    org TEXT PRIMARY KEY REFERENCES orgs (id),
    threshold_cents BIGINT NOT NULL,
    amount_cents BIGINT NOT NULL,
    monthly_cap_cents BIGINT NOT NULL,
    -- The payment provider's ids of who pays, and with what.
    customer TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    enabled SMALLINT NOT NULL,
    -- Failed charges in a row.
    failures BIGINT NOT NULL,
    -- Why it was disabled. Empty: by nobody, or by its owner.
    reason TEXT NOT NULL,
    updated_unix_ms BIGINT NOT NULL
);

-- Charges. The id is the idempotency key under which the provider is asked, however often.
-- What is asked under it never changes.
CREATE TABLE topup_charges (
    id TEXT PRIMARY KEY,
    org TEXT NOT NULL REFERENCES orgs (id),
    cents BIGINT NOT NULL,
    customer TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    -- pending: to be asked for, charged: the provider has taken it, paid: the credits are there,
    -- failed: there will be none.
    state TEXT NOT NULL,
    -- The provider's id of the payment, once it is known.
    payment TEXT NOT NULL,
    reason TEXT NOT NULL,
    tries BIGINT NOT NULL,
    next_unix_ms BIGINT NOT NULL,
    begun_unix_ms BIGINT NOT NULL,
    ended_unix_ms BIGINT
);

-- One at a time: whoever decides at the same moment loses.
CREATE UNIQUE INDEX topup_charges_open ON topup_charges (org)
    WHERE state = 'pending' OR state = 'charged';

CREATE INDEX topup_charges_of ON topup_charges (org, begun_unix_ms);

CREATE INDEX topup_charges_payment ON topup_charges (payment) WHERE payment <> '';
