-- Calls of models: what each one reserved, really used and cost, the running sums that bound them, and the circuits.
-- Tokens are counts; costs are USD in units of 1e-8. A reservation is committed before the call, and settled after it.
CREATE TABLE model_calls (
  id                INTEGER PRIMARY KEY,
  run_id            INTEGER REFERENCES decision_runs (id),   -- NULL for a dry run
  claim_token       INTEGER NOT NULL,                        -- which claim of the run asked; 0 for a dry run
  clone_id          INTEGER NOT NULL REFERENCES clones (id),
  owner             TEXT NOT NULL,
  tier              INTEGER NOT NULL CHECK (tier BETWEEN 1 AND 3),
  model             TEXT NOT NULL,
  circuit           TEXT NOT NULL,                           -- endpoint and model that fail together
  state             TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'expired')),
  reserved_at       INTEGER NOT NULL,
  expires_at        INTEGER NOT NULL CHECK (expires_at > reserved_at),
  settled_at        INTEGER,
  reserved_tokens   INTEGER NOT NULL CHECK (reserved_tokens >= 0),
  reserved_cost     INTEGER NOT NULL CHECK (reserved_cost >= 0),
  tokens            INTEGER CHECK (tokens >= 0),             -- what the budgets were charged in the end
  cost              INTEGER CHECK (cost >= 0),
  code              TEXT,                                    -- why there is no answer; NULL with a valid one
  served_model      TEXT,                                    -- as the endpoint says; NULL when it did not
  prompt_tokens     INTEGER CHECK (prompt_tokens >= 0),      -- NULL when usage is unknown
  completion_tokens INTEGER CHECK (completion_tokens >= 0),
  attempts          INTEGER CHECK (attempts >= 0),
  latency_ms        INTEGER CHECK (latency_ms >= 0),
  CHECK ((state = 'settled') = (settled_at IS NOT NULL)),
  CHECK ((state = 'settled') = (tokens IS NOT NULL AND cost IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX model_calls_run ON model_calls (run_id, claim_token) WHERE run_id IS NOT NULL;
CREATE INDEX model_calls_open ON model_calls (expires_at) WHERE state = 'reserved';
CREATE INDEX model_calls_clone ON model_calls (clone_id, reserved_at);

CREATE TRIGGER model_calls_legal_moves BEFORE UPDATE ON model_calls
WHEN NOT (
     (old.state = 'reserved' AND new.state IN ('settled', 'expired'))
  OR (old.state = 'expired' AND new.state = 'settled'))       -- a late answer is still paid for
BEGIN
  SELECT raise(ABORT, 'a settled model call never changes');
END;
CREATE TRIGGER model_calls_reserved_once BEFORE UPDATE OF run_id, claim_token, clone_id, owner, tier, model, circuit,
  reserved_at, expires_at, reserved_tokens, reserved_cost ON model_calls
BEGIN
  SELECT raise(ABORT, 'what a model call reserved never changes');
END;
CREATE TRIGGER model_calls_kept BEFORE DELETE ON model_calls
BEGIN
  SELECT raise(ABORT, 'a model call never leaves');
END;

-- What calls reserved or used, summed by the second and by the UTC day in which they reserved it.
CREATE TABLE model_spending (
  scope  TEXT NOT NULL,                           -- system, tier/N, user/NAME, clone/ID
  span   TEXT NOT NULL CHECK (span IN ('second', 'day')),
  start  INTEGER NOT NULL,                        -- epoch ms
  tokens INTEGER NOT NULL CHECK (tokens >= 0),
  cost   INTEGER NOT NULL CHECK (cost >= 0),
  PRIMARY KEY (span, start, scope)
) STRICT, WITHOUT ROWID;

CREATE TABLE model_circuits (
  circuit    TEXT PRIMARY KEY,
  breaker    TEXT NOT NULL CHECK (json_valid(breaker)),
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
