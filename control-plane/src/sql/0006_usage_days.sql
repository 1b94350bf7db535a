-- What the usage records add up to, per day (UTC, since 1970) on which the requests came in.
-- Remainders of costs are summed as they are and carried when they are read.
CREATE TABLE usage_days (
    org TEXT NOT NULL,
    key_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    provider TEXT NOT NULL,
    -- Where the key was, and who has made it.
    workspace TEXT NOT NULL,
    member TEXT NOT NULL,
    requests BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    cost_pico_rem BIGINT NOT NULL,
    last_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (org, key_id, day, model, endpoint, provider, workspace)
);

CREATE INDEX usage_days_key ON usage_days (key_id, day);

CREATE INDEX usage_days_org ON usage_days (org, day);

-- Of records from before, cached and reasoning tokens are not counted.
INSERT INTO usage_days (org, key_id, day, model, endpoint, provider, workspace, member, requests,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, cost_nano, cost_pico_rem,
    last_unix_ms)
SELECT org, key_id, day, model, endpoint, provider, workspace, member, CAST(COUNT(*) AS BIGINT),
    CAST(SUM(prompt_tokens) AS BIGINT), 0, CAST(SUM(completion_tokens) AS BIGINT), 0,
    CAST(SUM(nano) AS BIGINT), CAST(SUM(pico) AS BIGINT), MAX(started_unix_ms)
FROM (
    SELECT u.org, u.key_id, u.started_unix_ms / 86400000 AS day, u.model, u.endpoint, u.provider,
        COALESCE(k.workspace, '') AS workspace, COALESCE(k.created_by, '') AS member,
        u.prompt_tokens, u.completion_tokens, u.started_unix_ms,
        COALESCE(r.charged_nano, CASE WHEN u.outcome = 'settled' THEN u.cost_nano ELSE 0 END)
            AS nano,
        COALESCE(r.charged_pico_rem,
            CASE WHEN u.outcome = 'settled' THEN u.cost_pico_rem ELSE 0 END) AS pico
    FROM usage_records u
    LEFT JOIN api_keys k ON k.id = u.key_id
    LEFT JOIN reconciliations r
        ON r.node = u.node AND r.epoch = u.epoch AND r.sequence = u.sequence
    WHERE u.outcome <> 'released'
) AS used
GROUP BY org, key_id, day, model, endpoint, provider, workspace, member;
