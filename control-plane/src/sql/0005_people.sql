-- People, what they belong to, and what keys belong to.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    -- In lower case: what somebody logs in with.
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- Argon2id in PHC's form; empty: nobody logs in with a password.
    password TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL
);

CREATE TABLE members (
    org TEXT NOT NULL REFERENCES orgs (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    -- admin or member.
    role TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (org, user_id)
);

CREATE INDEX members_user ON members (user_id);

-- id is the hex SHA-256 of what the browser holds.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_unix_ms BIGINT NOT NULL,
    expires_unix_s BIGINT NOT NULL
);

CREATE INDEX sessions_user ON sessions (user_id);

CREATE INDEX sessions_end ON sessions (expires_unix_s);

CREATE TABLE workspaces (
    id TEXT PRIMARY KEY,
    org TEXT NOT NULL REFERENCES orgs (id),
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    description TEXT NOT NULL,
    -- accounts::workspaces::Settings as JSON.
    settings TEXT NOT NULL,
    -- 1 for the one that every organisation always has.
    is_default SMALLINT NOT NULL,
    -- Who has made it; empty: no person.
    created_by TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    -- 0: never.
    updated_unix_ms BIGINT NOT NULL,
    UNIQUE (org, slug)
);

CREATE UNIQUE INDEX workspaces_default ON workspaces (org) WHERE is_default = 1;

CREATE TABLE workspace_members (
    workspace TEXT NOT NULL REFERENCES workspaces (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (workspace, user_id)
);

-- Organisations from before get theirs: an id of theirs is org_ and something.
INSERT INTO workspaces (id, org, name, slug, description, settings, is_default, created_by,
    created_unix_ms, updated_unix_ms)
SELECT 'ws_' || SUBSTR(id, 5), id, 'Default', 'default', '', '{}', 1, '', created_unix_ms, 0
FROM orgs;

ALTER TABLE api_keys ADD COLUMN workspace TEXT NOT NULL DEFAULT '';

UPDATE api_keys SET workspace = (
    SELECT w.id FROM workspaces w WHERE w.org = api_keys.org AND w.is_default = 1);

-- The user who has made it; empty: no person.
ALTER TABLE api_keys ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

-- 1 while it is refused, until it is enabled again.
ALTER TABLE api_keys ADD COLUMN disabled SMALLINT NOT NULL DEFAULT 0;

-- 0: never.
ALTER TABLE api_keys ADD COLUMN updated_unix_ms BIGINT NOT NULL DEFAULT 0;

CREATE INDEX api_keys_workspace ON api_keys (workspace);

CREATE INDEX api_keys_creator ON api_keys (created_by);

-- Of an event about all keys of an organisation: whose.
ALTER TABLE account_events ADD COLUMN org TEXT NOT NULL DEFAULT '';
