-- Who somebody is at an OpenID provider. The subject is the provider's own name for them and never
-- changes hands, which an address may.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    -- The address by which they were linked.
    email TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (issuer, user_id)
);

CREATE INDEX identities_user ON identities (user_id);

-- 1: may not log in, in no way.
ALTER TABLE users ADD COLUMN disabled SMALLINT NOT NULL DEFAULT 0;
