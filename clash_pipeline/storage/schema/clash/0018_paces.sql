-- One account whose policy is no JSON, or has no number where one belongs, would stop the look at everybody's ticks. It
-- is due like the others, and the step that reads it says what is wrong with it.
DROP VIEW decision_paces;
CREATE VIEW decision_paces AS
WITH terms AS (
  SELECT a.*, iif(json_valid(a.policy), a.policy, '{}') AS readable FROM prop_accounts a WHERE a.state = 'active'
),
acting AS (
  SELECT a.id AS account_id, a.kind, a.clone_id, coalesce(a.version_id, v.id) AS version_id,
         coalesce(a.engine, c.engine) AS engine,
         max(a.created_at, coalesce(a.starts_at, a.created_at)) AS begins_at, a.ends_at,
         max(coalesce(CAST(a.readable ->> '$.min_cadence_sec' AS INTEGER), 1), 1) AS step_sec,
         coalesce(CAST(a.readable ->> '$.fill_delay_ms' AS INTEGER), 0) AS fill_delay_ms
  FROM terms a
  JOIN clones c ON c.id = a.clone_id AND (c.is_trading = 1 OR a.version_id IS NOT NULL)
  LEFT JOIN clone_versions v ON v.clone_id = a.clone_id AND v.is_active = 1
),
paced AS (
  SELECT acting.*, t.branch, t.symbol,
         iif(kind = 'sandbox', max(t.cadence_sec, step_sec),
             (t.cadence_sec + step_sec - 1) / step_sec * step_sec) AS cadence_sec
  FROM acting CROSS JOIN decision_targets t ON t.version_id = acting.version_id
)
SELECT account_id, clone_id, version_id, engine, branch, symbol, cadence_sec, cadence_sec * 1000 AS cadence_ms,
       iif(kind = 'sandbox', account_id % max(cadence_sec / 60, 1) * 60000, 0) AS phase_ms,
       begins_at, ends_at, fill_delay_ms
FROM paced;
