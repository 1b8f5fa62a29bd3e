-- Races: one each six hours, the field that is frozen when its sales open, and what became of both.

CREATE TABLE races (
  id             INTEGER PRIMARY KEY CHECK (id >= 1),                  -- the number of the race
  state          TEXT NOT NULL CHECK (state IN
    ('accumulating', 'launching', 'live', 'settling', 'settled', 'archived', 'cancelled')),
  starts_at      INTEGER NOT NULL UNIQUE,
  ends_at        INTEGER NOT NULL CHECK (ends_at > starts_at),
  sales_open_at  INTEGER NOT NULL,               -- the field is frozen at this moment
  sales_close_at INTEGER NOT NULL CHECK (sales_close_at > sales_open_at AND sales_close_at <= starts_at),
  hidden_from    INTEGER NOT NULL,               -- counts per clone are not shown from here until sales close
  rules          TEXT NOT NULL,                  -- canonical JSON: the rule set, with the policy of its accounts
  rules_hash     TEXT NOT NULL CHECK (length(rules_hash) = 64),
  universe       TEXT NOT NULL CHECK (json_type(universe) = 'array'),  -- symbols, sorted
  passed_over    TEXT NOT NULL CHECK (json_type(passed_over) = 'array'), -- clones in slots that the field left out, why
  launched_at    INTEGER,
  settling_at    INTEGER,
  settled_at     INTEGER,
  archived_at    INTEGER,
  cancelled_at   INTEGER,
  cause          TEXT CHECK (cause IN ('few_starters', 'market_halted', 'launch_late', 'admin')),
  reason         TEXT,                           -- of the cancellation, in a sentence
  result_hash    TEXT CHECK (length(result_hash) = 64),                -- of the order of finish with its figures
  CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
  CHECK ((cancelled_at IS NULL) = (cause IS NULL) AND (cause IS NULL) = (reason IS NULL)),
  CHECK (state NOT IN ('accumulating', 'launching') OR launched_at IS NULL),
  CHECK (state NOT IN ('live', 'settling', 'settled', 'archived') OR launched_at IS NOT NULL),
  CHECK ((state IN ('settling', 'settled', 'archived')) = (settling_at IS NOT NULL)),
  CHECK ((state IN ('settled', 'archived')) = (settled_at IS NOT NULL)),
  CHECK ((settled_at IS NULL) = (result_hash IS NULL)),
  CHECK ((state = 'archived') = (archived_at IS NOT NULL))
) STRICT;
CREATE INDEX races_open ON races (id) WHERE state NOT IN ('archived', 'cancelled');

CREATE TRIGGER races_fixed_terms BEFORE UPDATE ON races
WHEN (old.id, old.starts_at, old.ends_at, old.sales_open_at, old.sales_close_at, old.hidden_from, old.rules,
      old.rules_hash, old.universe, old.passed_over)
  IS NOT (new.id, new.starts_at, new.ends_at, new.sales_open_at, new.sales_close_at, new.hidden_from, new.rules,
          new.rules_hash, new.universe, new.passed_over)
BEGIN
  SELECT raise(ABORT, 'the terms of a race never change');
END;
CREATE TRIGGER races_legal_moves BEFORE UPDATE ON races
WHEN NOT ((old.state = 'accumulating' AND new.state IN ('launching', 'cancelled'))
       OR (old.state = 'launching' AND new.state IN ('live', 'cancelled'))
       OR (old.state = 'live' AND new.state IN ('settling', 'cancelled'))
       OR (old.state = 'settling' AND new.state = 'settled')
       OR (old.state = 'settled' AND new.state = 'archived'))
BEGIN
  SELECT raise(ABORT, 'this race cannot move to that state');
END;
CREATE TRIGGER races_kept BEFORE DELETE ON races
BEGIN
  SELECT raise(ABORT, 'a race never leaves');
END;

-- Each arrow that was taken, once.
CREATE TABLE race_moves (
  race_id INTEGER NOT NULL REFERENCES races (id),
  state   TEXT NOT NULL,                         -- the one it came to
  at      INTEGER NOT NULL,
  actor   TEXT NOT NULL CHECK (actor <> ''),
  reason  TEXT NOT NULL,
  PRIMARY KEY (race_id, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER race_moves_append_only BEFORE UPDATE ON race_moves
BEGIN
  SELECT raise(ABORT, 'race_moves is append-only');
END;
CREATE TRIGGER race_moves_kept BEFORE DELETE ON race_moves
BEGIN
  SELECT raise(ABORT, 'race_moves is append-only');
END;

-- The field of a race as it was frozen, and how each clone finished.
CREATE TABLE race_entrants (
  race_id         INTEGER NOT NULL REFERENCES races (id),
  clone_id        INTEGER NOT NULL REFERENCES clones (id),
  slot_no         INTEGER NOT NULL,
  slot_entered_at INTEGER NOT NULL,
  owner           TEXT NOT NULL,
  creator         INTEGER REFERENCES users (id),                       -- who gets its royalties; NULL: a house clone
  version_id      INTEGER NOT NULL REFERENCES clone_versions (id),
  compiled_hash   TEXT NOT NULL CHECK (length(compiled_hash) = 64),
  engine          TEXT NOT NULL,
  model_tier      INTEGER NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('frozen', 'started', 'removed')),
  account_id      INTEGER UNIQUE REFERENCES prop_accounts (id),        -- NULL: it never started
  removed_at      INTEGER,
  removed_by      TEXT,
  reason          TEXT,                          -- of the removal
  rank            INTEGER CHECK (rank >= 1),
  class           TEXT CHECK (class IN ('active', 'inactive', 'liquidated', 'removed')),
  final_equity    INTEGER,
  max_drawdown    INTEGER,
  ended_at        INTEGER,
  gross_share     INTEGER,
  fills           INTEGER,
  result_hash     TEXT CHECK (length(result_hash) = 64),               -- of the frozen result it was ranked by
  PRIMARY KEY (race_id, clone_id),
  CHECK ((state = 'removed') = (removed_at IS NOT NULL)),
  CHECK ((removed_at IS NULL) = (removed_by IS NULL) AND (removed_by IS NULL) = (reason IS NULL)),
  CHECK (state <> 'frozen' OR account_id IS NULL),
  CHECK (state <> 'started' OR account_id IS NOT NULL),
  CHECK (rank IS NULL OR account_id IS NOT NULL),
  CHECK ((rank IS NULL) = (class IS NULL) AND (rank IS NULL) = (final_equity IS NULL)
    AND (rank IS NULL) = (max_drawdown IS NULL) AND (rank IS NULL) = (ended_at IS NULL)
    AND (rank IS NULL) = (fills IS NULL) AND (rank IS NULL) = (result_hash IS NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX race_entrants_rank ON race_entrants (race_id, rank) WHERE rank IS NOT NULL;
CREATE UNIQUE INDEX race_entrants_one_graph ON race_entrants (race_id, compiled_hash);
CREATE UNIQUE INDEX race_entrants_one_owner ON race_entrants (race_id, owner) WHERE creator IS NOT NULL;
CREATE INDEX race_entrants_clone ON race_entrants (clone_id, race_id);

CREATE TRIGGER race_entrants_fixed_terms BEFORE UPDATE ON race_entrants
WHEN old.rank IS NOT NULL
  OR (old.race_id, old.clone_id, old.slot_no, old.slot_entered_at, old.owner, old.creator, old.version_id,
      old.compiled_hash, old.engine, old.model_tier, coalesce(old.account_id, new.account_id))
    IS NOT (new.race_id, new.clone_id, new.slot_no, new.slot_entered_at, new.owner, new.creator, new.version_id,
            new.compiled_hash, new.engine, new.model_tier, new.account_id)
BEGIN
  SELECT raise(ABORT, 'an entrant never changes but to start, to be removed and to finish, each once');
END;
CREATE TRIGGER race_entrants_legal_moves BEFORE UPDATE OF state ON race_entrants
WHEN old.state <> new.state AND NOT ((old.state = 'frozen' AND new.state IN ('started', 'removed'))
                                  OR (old.state = 'started' AND new.state = 'removed'))
BEGIN
  SELECT raise(ABORT, 'this entrant cannot move to that state');
END;
CREATE TRIGGER race_entrants_kept BEFORE DELETE ON race_entrants
BEGIN
  SELECT raise(ABORT, 'an entrant never leaves');
END;

-- Why a race does not go on: what a person has to look at, until it is gone.
CREATE TABLE race_incidents (
  id         INTEGER PRIMARY KEY,
  race_id    INTEGER NOT NULL REFERENCES races (id),
  code       TEXT NOT NULL,
  message    TEXT NOT NULL,
  since      INTEGER NOT NULL,
  cleared_at INTEGER
) STRICT;
CREATE UNIQUE INDEX race_incidents_one_open ON race_incidents (race_id, code) WHERE cleared_at IS NULL;
CREATE TRIGGER race_incidents_only_clear BEFORE UPDATE ON race_incidents
WHEN old.cleared_at IS NOT NULL OR new.cleared_at IS NULL
  OR (old.id, old.race_id, old.code, old.message, old.since)
    IS NOT (new.id, new.race_id, new.code, new.message, new.since)
BEGIN
  SELECT raise(ABORT, 'an incident can only be cleared, once');
END;
CREATE TRIGGER race_incidents_kept BEFORE DELETE ON race_incidents
BEGIN
  SELECT raise(ABORT, 'an incident never leaves');
END;

-- Two clones whose equity moved as one over three races: something for an admin to look at, never an act.
CREATE TABLE equity_flags (
  id           INTEGER PRIMARY KEY,
  clone_id     INTEGER NOT NULL REFERENCES clones (id),
  other_id     INTEGER NOT NULL REFERENCES clones (id),
  race_id      INTEGER NOT NULL REFERENCES races (id),                 -- the last of the three
  races        TEXT NOT NULL CHECK (json_type(races) = 'array'),
  rho_bp       INTEGER NOT NULL CHECK (rho_bp BETWEEN -10000 AND 10000),
  points       INTEGER NOT NULL CHECK (points >= 2),                   -- steps of equity that were compared
  at           INTEGER NOT NULL,
  looked_at    INTEGER,
  looked_at_by TEXT,
  verdict      TEXT,
  CHECK (clone_id < other_id),
  CHECK ((looked_at IS NULL) = (looked_at_by IS NULL) AND (looked_at IS NULL) = (verdict IS NULL)),
  UNIQUE (clone_id, other_id, race_id)
) STRICT;
CREATE TRIGGER equity_flags_only_looked_at BEFORE UPDATE ON equity_flags
WHEN old.looked_at IS NOT NULL OR new.looked_at IS NULL
  OR (old.id, old.clone_id, old.other_id, old.race_id, old.races, old.rho_bp, old.points, old.at)
    IS NOT (new.id, new.clone_id, new.other_id, new.race_id, new.races, new.rho_bp, new.points, new.at)
BEGIN
  SELECT raise(ABORT, 'a flag can only be looked at, once');
END;
CREATE TRIGGER equity_flags_kept BEFORE DELETE ON equity_flags
BEGIN
  SELECT raise(ABORT, 'a flag never leaves');
END;
