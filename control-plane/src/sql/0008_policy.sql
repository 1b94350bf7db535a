-- What organisations forbid their keys, and their own keys at providers.

CREATE TABLE guardrails (
    id TEXT PRIMARY KEY,
    org TEXT NOT NULL REFERENCES orgs (id),
    -- Empty: anywhere in the organisation.
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    -- shared::guardrail::Guardrail as JSON.
    rules TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    -- 0: never.
    updated_unix_ms BIGINT NOT NULL
);

CREATE INDEX guardrails_org ON guardrails (org, created_unix_ms);

-- One guardrail for each subject; a guardrail without one holds for nobody.
CREATE TABLE guardrail_assignments (
    org TEXT NOT NULL REFERENCES orgs (id),
    -- key, member, workspace or organization.
    kind TEXT NOT NULL,
    -- The id of such a one.
    subject TEXT NOT NULL,
    guardrail TEXT NOT NULL REFERENCES guardrails (id),
    assigned_by TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (org, kind, subject)
);

CREATE INDEX guardrail_assignments_guardrail ON guardrail_assignments (guardrail);

CREATE TABLE provider_credentials (
    id TEXT PRIMARY KEY,
    org TEXT NOT NULL REFERENCES orgs (id),
    -- Empty: every workspace.
    workspace TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- Scheme, host and port: nobody else is shown the secret.
    origin TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The ends of the secret.
    label TEXT NOT NULL,
    is_fallback SMALLINT NOT NULL,
    is_required SMALLINT NOT NULL,
    disabled SMALLINT NOT NULL,
    sort_order BIGINT NOT NULL,
    -- accounts::credentials::Filters as JSON.
    filters TEXT NOT NULL,
    -- The secret under a key of its own, and that key under the master key of this id; in hex.
    secret TEXT NOT NULL,
    data_key TEXT NOT NULL,
    master_key TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    -- 0: never.
    updated_unix_ms BIGINT NOT NULL
);

CREATE INDEX provider_credentials_org ON provider_credentials (org, sort_order);

CREATE INDEX provider_credentials_master_key ON provider_credentials (master_key);
