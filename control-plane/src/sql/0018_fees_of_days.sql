-- What was charged in fees: the platform's on what was spent, and that on own provider keys.
ALTER TABLE usage_days ADD COLUMN fee_nano BIGINT NOT NULL DEFAULT 0;

ALTER TABLE usage_days ADD COLUMN fee_pico_rem BIGINT NOT NULL DEFAULT 0;

-- Of records from before, on the first of a key's workspaces that day.
INSERT INTO usage_days (org, key_id, day, model, endpoint, provider, workspace, member, requests,
    prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, cost_nano, cost_pico_rem,
    last_unix_ms, fee_nano, fee_pico_rem)
SELECT f.org, f.key_id, f.day, f.model, f.endpoint, f.provider, d.workspace, '', 0, 0, 0, 0, 0, 0, 0,
    0, CAST(SUM(f.nano) AS BIGINT), CAST(SUM(f.pico) AS BIGINT)
FROM (
    SELECT org, key_id, started_unix_ms / 86400000 AS day, model, endpoint, provider,
        fee_nano AS nano, fee_pico_rem AS pico
    FROM usage_records WHERE outcome <> 'released'
    UNION ALL
    SELECT u.org, u.key_id, u.started_unix_ms / 86400000, u.model, u.endpoint, u.provider,
        r.fee_nano, r.fee_pico_rem
    FROM reconciliations r JOIN usage_records u
        ON u.node = r.node AND u.epoch = r.epoch AND u.sequence = r.sequence
) AS f
JOIN (
    SELECT org, key_id, day, model, endpoint, provider, MIN(workspace) AS workspace
    FROM usage_days GROUP BY org, key_id, day, model, endpoint, provider
) AS d ON d.org = f.org AND d.key_id = f.key_id AND d.day = f.day AND d.model = f.model
    AND d.endpoint = f.endpoint AND d.provider = f.provider
WHERE f.nano <> 0 OR f.pico <> 0
GROUP BY f.org, f.key_id, f.day, f.model, f.endpoint, f.provider, d.workspace
ON CONFLICT (org, key_id, day, model, endpoint, provider, workspace) DO UPDATE SET
    fee_nano = usage_days.fee_nano + excluded.fee_nano,
    fee_pico_rem = usage_days.fee_pico_rem + excluded.fee_pico_rem;
