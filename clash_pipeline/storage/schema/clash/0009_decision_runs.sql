-- Decision runs, continued: what each version decides about, the common fill instant, and the workflow's dry runs.

-- The branches and assets of every published version, so that everything due is found by one query.
CREATE TABLE decision_targets (
  version_id  INTEGER NOT NULL REFERENCES clone_versions (id),
  branch      TEXT NOT NULL,                     -- id of the prompt node
  symbol      TEXT NOT NULL,
  cadence_sec INTEGER NOT NULL CHECK (cadence_sec > 0),
  PRIMARY KEY (version_id, branch, symbol)
) STRICT, WITHOUT ROWID;
INSERT INTO decision_targets (version_id, branch, symbol, cadence_sec)
SELECT v.id, b.value ->> 'id', s.value ->> 'symbol', b.value ->> 'cadence_sec'
FROM clone_versions v, json_each(v.compiled, '$.branches') b, json_each(b.value, '$.assets') s;
CREATE TRIGGER decision_targets_of_a_version AFTER INSERT ON clone_versions
BEGIN
  INSERT INTO decision_targets (version_id, branch, symbol, cadence_sec)
  SELECT new.id, b.value ->> 'id', s.value ->> 'symbol', b.value ->> 'cadence_sec'
  FROM json_each(new.compiled, '$.branches') b, json_each(b.value, '$.assets') s;
END;
CREATE TRIGGER decision_targets_never_change BEFORE UPDATE ON decision_targets
BEGIN
  SELECT raise(ABORT, 'what a version decides about never changes');
END;
CREATE TRIGGER decision_targets_never_leave BEFORE DELETE ON decision_targets
BEGIN
  SELECT raise(ABORT, 'what a version decides about never changes');
END;

-- What every active account of a trading clone decides about, and on which grid; the tick itself needs the time.
-- Sandboxes keep their cadence and are spread over it by account id, in minutes. Races and auditions share one grid
-- without a phase, whose step is the smallest cadence of their terms (11, 2). CROSS JOIN keeps the order of the join.
CREATE VIEW decision_paces AS
WITH acting AS (
  SELECT a.id AS account_id, a.kind, a.clone_id, v.id AS version_id, c.engine,
         max(a.created_at, coalesce(a.starts_at, a.created_at)) AS begins_at, a.ends_at,
         max(coalesce(a.policy ->> '$.min_cadence_sec', 1), 1) AS step_sec,
         coalesce(a.policy ->> '$.fill_delay_ms', 0) AS fill_delay_ms
  FROM prop_accounts a
  JOIN clones c ON c.id = a.clone_id AND c.is_trading = 1
  JOIN clone_versions v ON v.clone_id = a.clone_id AND v.is_active = 1
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

-- When the answers of a tick are filled, for everybody at the same price; NULL fills at the newest price.
ALTER TABLE decision_runs ADD COLUMN fill_at INTEGER CHECK (fill_at IS NULL OR fill_at > tick);

-- Dry runs of a draft: the clone-scoped path, apart from every prop account.
CREATE TABLE clone_dry_runs (
  id            INTEGER PRIMARY KEY,
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  engine        TEXT NOT NULL,
  compiled_hash TEXT NOT NULL CHECK (length(compiled_hash) = 64),
  start_balance INTEGER NOT NULL CHECK (start_balance > 0),
  balance       INTEGER NOT NULL,                -- of the scratch account, afterwards
  runs          INTEGER NOT NULL CHECK (runs >= 0),
  ran_at        INTEGER NOT NULL
) STRICT;
CREATE INDEX clone_dry_runs_clone ON clone_dry_runs (clone_id, id);

CREATE TABLE clone_dry_run_orders (
  dry_run_id  INTEGER NOT NULL REFERENCES clone_dry_runs (id),
  number      INTEGER NOT NULL CHECK (number >= 0),
  branch      TEXT NOT NULL,
  symbol      TEXT NOT NULL,
  action      TEXT NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('filled', 'rejected')),
  reject_code TEXT,
  figures     TEXT NOT NULL,                     -- canonical JSON: the figures that decided
  fills       TEXT NOT NULL,                     -- canonical JSON, one entry a fill
  packet_hash TEXT NOT NULL CHECK (length(packet_hash) = 64),
  CHECK ((status = 'rejected') = (reject_code IS NOT NULL)),
  PRIMARY KEY (dry_run_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE clone_dry_run_ledger (
  dry_run_id INTEGER NOT NULL REFERENCES clone_dry_runs (id),
  seq        INTEGER NOT NULL CHECK (seq >= 1),
  line       INTEGER NOT NULL CHECK (line >= 0),
  kind       TEXT NOT NULL,
  symbol     TEXT NOT NULL,
  amount     INTEGER NOT NULL,                   -- signed effect on the scratch balance, in 1e-8 USD
  PRIMARY KEY (dry_run_id, seq, line)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER clone_dry_runs_append_only BEFORE UPDATE ON clone_dry_runs
BEGIN SELECT raise(ABORT, 'clone_dry_runs is append-only');
END;
CREATE TRIGGER clone_dry_runs_kept BEFORE DELETE ON clone_dry_runs
BEGIN SELECT raise(ABORT, 'clone_dry_runs is append-only');
END;
CREATE TRIGGER clone_dry_run_orders_append_only BEFORE UPDATE ON clone_dry_run_orders
BEGIN SELECT raise(ABORT, 'clone_dry_run_orders is append-only');
END;
CREATE TRIGGER clone_dry_run_orders_kept BEFORE DELETE ON clone_dry_run_orders
BEGIN SELECT raise(ABORT, 'clone_dry_run_orders is append-only');
END;
CREATE TRIGGER clone_dry_run_ledger_append_only BEFORE UPDATE ON clone_dry_run_ledger
BEGIN SELECT raise(ABORT, 'clone_dry_run_ledger is append-only');
END;
CREATE TRIGGER clone_dry_run_ledger_kept BEFORE DELETE ON clone_dry_run_ledger
BEGIN SELECT raise(ABORT, 'clone_dry_run_ledger is append-only');
END;
