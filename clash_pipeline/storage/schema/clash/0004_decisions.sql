-- Decision runs: one account x strategy branch x asset x due tick, claimed once, with the artifacts they left.
CREATE TABLE decision_runs (
  id              INTEGER PRIMARY KEY,
  account_id      INTEGER NOT NULL REFERENCES prop_accounts (id),
  clone_id        INTEGER NOT NULL REFERENCES clones (id),
  version_id      INTEGER NOT NULL REFERENCES clone_versions (id),
  branch          TEXT NOT NULL,                 -- id of the prompt node
  symbol          TEXT NOT NULL,
  tick            INTEGER NOT NULL,
  kind            TEXT NOT NULL CHECK (kind IN ('due', 'forced')),
  cadence_sec     INTEGER NOT NULL,
  engine          TEXT NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('queued', 'running', 'completed', 'failed', 'skipped')),
  reason          TEXT NOT NULL,
  effective       TEXT,                          -- the action that took effect, hold where none did
  attempts        INTEGER NOT NULL,
  claimed_by      TEXT NOT NULL,
  claim_token     INTEGER NOT NULL,              -- fencing: every write of a worker names the token it claimed with
  claimed_until   INTEGER NOT NULL,
  packet_hash     TEXT,
  response_hash   TEXT,
  dagster_run_id  TEXT,
  created_at      INTEGER NOT NULL,
  prepared_at     INTEGER,
  decided_at      INTEGER,
  finished_at     INTEGER,
  CHECK ((state IN ('completed', 'failed', 'skipped')) = (finished_at IS NOT NULL)),
  UNIQUE (account_id, branch, symbol, tick)
) STRICT;
CREATE INDEX decision_runs_open ON decision_runs (state, claimed_until) WHERE state IN ('queued', 'running');
CREATE INDEX decision_runs_clone ON decision_runs (clone_id, id);

CREATE TRIGGER decision_runs_legal_moves BEFORE UPDATE OF state ON decision_runs
WHEN old.state <> new.state AND NOT (
     (old.state = 'queued' AND new.state IN ('running', 'skipped', 'failed'))
  OR (old.state = 'running' AND new.state IN ('completed', 'failed', 'skipped')))
BEGIN
  SELECT raise(ABORT, 'a decision run cannot move to that state');
END;
CREATE TRIGGER decision_runs_end BEFORE UPDATE ON decision_runs
WHEN old.state IN ('completed', 'failed', 'skipped')
BEGIN
  SELECT raise(ABORT, 'a finished decision run never changes');
END;
CREATE TRIGGER decision_runs_kept BEFORE DELETE ON decision_runs
BEGIN
  SELECT raise(ABORT, 'a decision run never leaves');
END;

CREATE TABLE decision_artifacts (
  id         INTEGER PRIMARY KEY,
  run_id     INTEGER NOT NULL REFERENCES decision_runs (id),
  kind       TEXT NOT NULL CHECK (kind IN ('packet', 'prompt', 'response', 'trace', 'apply_input')),
  key        TEXT NOT NULL,
  sha256     TEXT NOT NULL CHECK (length(sha256) = 64),   -- of the content before compression
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  store      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (run_id, kind)
) STRICT;
CREATE TRIGGER decision_artifacts_append_only BEFORE UPDATE ON decision_artifacts
BEGIN
  SELECT raise(ABORT, 'decision_artifacts is append-only');
END;
CREATE TRIGGER decision_artifacts_kept BEFORE DELETE ON decision_artifacts
BEGIN
  SELECT raise(ABORT, 'decision_artifacts is append-only');
END;
