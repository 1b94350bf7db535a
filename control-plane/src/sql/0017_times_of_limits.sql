-- When a limit was set, and last changed; 0: before this was kept.
ALTER TABLE limits ADD COLUMN created_unix_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE limits ADD COLUMN updated_unix_ms BIGINT NOT NULL DEFAULT 0;
