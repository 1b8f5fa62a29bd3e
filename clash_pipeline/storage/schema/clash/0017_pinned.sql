-- What an account of a race or an audition runs was frozen for it, whatever its clone becomes meanwhile (11, 11): a clone
-- in a slot is always in some frozen field, and what its owner publishes then is for the race after that.
ALTER TABLE prop_accounts ADD COLUMN version_id INTEGER REFERENCES clone_versions (id);
ALTER TABLE prop_accounts ADD COLUMN engine TEXT CHECK (engine IN ('hold', 'rules', 'model'));
ALTER TABLE prop_accounts ADD COLUMN model_tier INTEGER CHECK (model_tier BETWEEN 1 AND 3);
CREATE TRIGGER prop_accounts_pinned BEFORE UPDATE ON prop_accounts
WHEN (old.version_id, old.engine, old.model_tier) IS NOT (new.version_id, new.engine, new.model_tier)
BEGIN
  SELECT raise(ABORT, 'what was frozen for an account never changes');
END;
CREATE TRIGGER prop_accounts_pinned_whole BEFORE INSERT ON prop_accounts
WHEN (new.version_id IS NULL) <> (new.engine IS NULL) OR (new.engine IS NULL) <> (new.model_tier IS NULL)
  OR (new.kind = 'sandbox' AND new.version_id IS NOT NULL)
BEGIN
  SELECT raise(ABORT, 'version, engine and model tier are frozen together, and never for a sandbox');
END;

DROP VIEW decision_paces;
CREATE VIEW decision_paces AS
WITH acting AS (
  SELECT a.id AS account_id, a.kind, a.clone_id, coalesce(a.version_id, v.id) AS version_id,
         coalesce(a.engine, c.engine) AS engine,
         max(a.created_at, coalesce(a.starts_at, a.created_at)) AS begins_at, a.ends_at,
         max(coalesce(a.policy ->> '$.min_cadence_sec', 1), 1) AS step_sec,
         coalesce(a.policy ->> '$.fill_delay_ms', 0) AS fill_delay_ms
  FROM prop_accounts a
  JOIN clones c ON c.id = a.clone_id AND (c.is_trading = 1 OR a.version_id IS NOT NULL)
  LEFT JOIN clone_versions v ON v.clone_id = a.clone_id AND v.is_active = 1
  WHERE a.state = 'active'
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

DROP TRIGGER clones_frozen;
CREATE TRIGGER clones_frozen BEFORE UPDATE ON clones
WHEN (old.engine, old.model_tier, old.is_trading) IS NOT (new.engine, new.model_tier, new.is_trading)
  AND EXISTS (SELECT 1 FROM clone_holds WHERE clone_id = old.id AND reason = 'audition' AND released_at IS NULL)
BEGIN
  SELECT raise(ABORT, 'a clone in an audition keeps its engine, model and trading');
END;
DROP TRIGGER clone_versions_frozen;
CREATE TRIGGER clone_versions_frozen BEFORE INSERT ON clone_versions
WHEN EXISTS (SELECT 1 FROM clone_holds WHERE clone_id = new.clone_id AND reason = 'audition' AND released_at IS NULL)
BEGIN
  SELECT raise(ABORT, 'a clone in an audition keeps its version');
END;
