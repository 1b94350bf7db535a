-- What of a provider's address is a credential's owner's: JSON; empty: nothing.
ALTER TABLE provider_credentials ADD COLUMN place TEXT NOT NULL DEFAULT '';

-- What has changed last for an organisation, or for a key: limits are counted anew after it.
CREATE INDEX account_events_of ON account_events (org, key_id, sequence);

CREATE INDEX usage_records_suspense ON usage_records (org) WHERE outcome = 'suspense';
