-- The Arena before its races: auditions, the promotion queue, slots, strikes, retirement and the Hall of Fame.

-- One audition: what entered it, under which rules, and what the rules said of each criterion.
CREATE TABLE auditions (
  id            INTEGER PRIMARY KEY,
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  purchase_id   INTEGER NOT NULL UNIQUE REFERENCES purchases (id),     -- one purchase, one audition
  retry_of      INTEGER UNIQUE REFERENCES auditions (id),              -- the failed or voided one before it
  version_id    INTEGER NOT NULL REFERENCES clone_versions (id),
  compiled_hash TEXT NOT NULL CHECK (length(compiled_hash) = 64),
  account_id    INTEGER UNIQUE REFERENCES prop_accounts (id),          -- opened in the transaction that inserts the row
  state         TEXT NOT NULL CHECK (state IN ('submitted', 'running', 'passed', 'failed', 'voided')),
  submitted_at  INTEGER NOT NULL,
  submitted_by  TEXT NOT NULL,
  starts_at     INTEGER NOT NULL,
  ends_at       INTEGER NOT NULL CHECK (ends_at > starts_at),
  rules         TEXT NOT NULL,                                         -- canonical JSON, taken at submission
  rules_hash    TEXT NOT NULL CHECK (length(rules_hash) = 64),
  result_hash   TEXT CHECK (length(result_hash) = 64),                 -- of the frozen result that was judged
  criteria      TEXT,                                                  -- canonical JSON: bound and value of each
  criteria_hash TEXT CHECK (length(criteria_hash) = 64),
  cause         TEXT,                                                  -- the criterion that failed first
  ended_at      INTEGER,                                               -- judged or voided
  ended_by      TEXT,
  reason        TEXT,
  CHECK (state = 'submitted' OR account_id IS NOT NULL),
  CHECK ((state IN ('submitted', 'running')) = (ended_at IS NULL)),
  CHECK ((ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL) = (reason IS NULL)),
  CHECK ((state IN ('passed', 'failed')) = (criteria IS NOT NULL)),
  CHECK ((criteria IS NULL) = (criteria_hash IS NULL) AND (criteria IS NULL) = (result_hash IS NULL)),
  CHECK ((state = 'failed') = (cause IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX auditions_one_open ON auditions (clone_id) WHERE state IN ('submitted', 'running');
CREATE INDEX auditions_clone ON auditions (clone_id, id);

CREATE TRIGGER auditions_fixed_terms BEFORE UPDATE ON auditions
WHEN (old.id, old.clone_id, old.purchase_id, old.retry_of, old.version_id, old.compiled_hash, old.submitted_at,
      old.submitted_by, old.starts_at, old.ends_at, old.rules, old.rules_hash, coalesce(old.account_id, new.account_id))
  IS NOT (new.id, new.clone_id, new.purchase_id, new.retry_of, new.version_id, new.compiled_hash, new.submitted_at,
          new.submitted_by, new.starts_at, new.ends_at, new.rules, new.rules_hash, new.account_id)
BEGIN
  SELECT raise(ABORT, 'the terms of an audition never change');
END;
CREATE TRIGGER auditions_legal_moves BEFORE UPDATE ON auditions
WHEN NOT ((old.state = 'submitted' AND new.state IN ('running', 'voided'))
       OR (old.state = 'running' AND new.state IN ('passed', 'failed', 'voided')))
BEGIN
  SELECT raise(ABORT, 'this audition cannot move to that state');
END;
CREATE TRIGGER auditions_never_leave BEFORE DELETE ON auditions
BEGIN
  SELECT raise(ABORT, 'an audition never leaves');
END;

-- The promotion queue, first in first out by the time of passing; a pass is good for one entry.
CREATE TABLE promotion_queue (
  id           INTEGER PRIMARY KEY,
  audition_id  INTEGER NOT NULL UNIQUE REFERENCES auditions (id),
  clone_id     INTEGER NOT NULL REFERENCES clones (id),
  passed_at    INTEGER NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('waiting', 'admitted', 'expired', 'left')),
  blocked_code TEXT,                             -- the gate that fails at present
  blocked      TEXT,                             -- the same in a sentence
  blocked_at   INTEGER,                          -- since when that gate fails
  head_since   INTEGER,                          -- since when it is passed over as the head
  ended_at     INTEGER,
  reason       TEXT,
  CHECK ((blocked_code IS NULL) = (blocked IS NULL) AND (blocked_code IS NULL) = (blocked_at IS NULL)),
  CHECK (head_since IS NULL OR blocked_at IS NOT NULL),
  CHECK ((state = 'waiting') = (ended_at IS NULL) AND (ended_at IS NULL) = (reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX promotion_queue_one_waiting ON promotion_queue (clone_id) WHERE state = 'waiting';
CREATE INDEX promotion_queue_order ON promotion_queue (passed_at, id) WHERE state = 'waiting';

CREATE TRIGGER promotion_queue_fixed BEFORE UPDATE ON promotion_queue
WHEN old.state <> 'waiting'
  OR (old.id, old.audition_id, old.clone_id, old.passed_at) IS NOT (new.id, new.audition_id, new.clone_id, new.passed_at)
BEGIN
  SELECT raise(ABORT, 'a place in the queue ends once and never changes its owner or time');
END;
CREATE TRIGGER promotion_queue_kept BEFORE DELETE ON promotion_queue
BEGIN
  SELECT raise(ABORT, 'a place in the queue never leaves');
END;

-- Occupancies of slots: one open one a slot and a clone.
CREATE TABLE arena_slots (
  id         INTEGER PRIMARY KEY,
  slot_no    INTEGER NOT NULL CHECK (slot_no BETWEEN 1 AND 1000),
  clone_id   INTEGER NOT NULL REFERENCES clones (id),
  queue_id   INTEGER UNIQUE REFERENCES promotion_queue (id),           -- NULL: a house clone that an admin admitted
  entered_at INTEGER NOT NULL,
  entered_by TEXT NOT NULL,
  left_at    INTEGER CHECK (left_at >= entered_at),
  left_by    TEXT,
  reason     TEXT,                                                     -- of leaving
  CHECK ((left_at IS NULL) = (left_by IS NULL) AND (left_at IS NULL) = (reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX arena_slots_one_occupant ON arena_slots (slot_no) WHERE left_at IS NULL;
CREATE UNIQUE INDEX arena_slots_one_slot ON arena_slots (clone_id) WHERE left_at IS NULL;

CREATE TRIGGER arena_slots_only_end BEFORE UPDATE ON arena_slots
WHEN old.left_at IS NOT NULL OR new.left_at IS NULL
  OR (old.id, old.slot_no, old.clone_id, old.queue_id, old.entered_at, old.entered_by)
    IS NOT (new.id, new.slot_no, new.clone_id, new.queue_id, new.entered_at, new.entered_by)
BEGIN
  SELECT raise(ABORT, 'an occupancy can only end, once');
END;
CREATE TRIGGER arena_slots_kept BEFORE DELETE ON arena_slots
BEGIN
  SELECT raise(ABORT, 'an occupancy never leaves');
END;

-- Demand of each clone that was on sale in a settled race; strikes and careers are counted from it.
CREATE TABLE clone_demand (
  race_id     INTEGER NOT NULL REFERENCES economy_pools (race_id),
  clone_id    INTEGER NOT NULL REFERENCES clones (id),
  tickets     INTEGER NOT NULL CHECK (tickets >= 0),
  by_others   INTEGER NOT NULL CHECK (by_others BETWEEN 0 AND tickets),  -- of wallets other than its owner's
  was_on_sale INTEGER NOT NULL CHECK (was_on_sale IN (0, 1)),           -- for the whole window
  settled_at  INTEGER NOT NULL,
  PRIMARY KEY (race_id, clone_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX clone_demand_clone ON clone_demand (clone_id, race_id);

-- A strike stands until somebody else's ticket on the clone clears it.
CREATE TABLE clone_strikes (
  clone_id   INTEGER NOT NULL REFERENCES clones (id),
  race_id    INTEGER NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('unsold', 'least_demand')),
  at         INTEGER NOT NULL,
  cleared_at INTEGER,
  cleared_by INTEGER,                            -- the race of the sale; 0: an admin reinstated the clone
  CHECK ((cleared_at IS NULL) = (cleared_by IS NULL)),
  PRIMARY KEY (clone_id, race_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX clone_strikes_standing ON clone_strikes (clone_id) WHERE cleared_at IS NULL;

CREATE TRIGGER clone_strikes_only_clear BEFORE UPDATE ON clone_strikes
WHEN old.cleared_at IS NOT NULL OR new.cleared_at IS NULL
  OR (old.clone_id, old.race_id, old.kind, old.at) IS NOT (new.clone_id, new.race_id, new.kind, new.at)
BEGIN
  SELECT raise(ABORT, 'a strike can only be cleared, once');
END;
CREATE TRIGGER clone_strikes_kept BEFORE DELETE ON clone_strikes
BEGIN
  SELECT raise(ABORT, 'a strike never leaves');
END;

-- A retirement that waits until no race or audition holds the clone.
CREATE TABLE retirement_requests (
  id           INTEGER PRIMARY KEY,
  clone_id     INTEGER NOT NULL REFERENCES clones (id),
  requested_by TEXT NOT NULL,
  reason       TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  ended_at     INTEGER,
  outcome      TEXT CHECK (outcome IN ('retired', 'withdrawn')),
  ended_by     TEXT,
  CHECK ((ended_at IS NULL) = (outcome IS NULL) AND (ended_at IS NULL) = (ended_by IS NULL))
) STRICT;
CREATE UNIQUE INDEX retirement_requests_one_open ON retirement_requests (clone_id) WHERE ended_at IS NULL;
CREATE TRIGGER retirement_requests_only_end BEFORE UPDATE ON retirement_requests
WHEN old.ended_at IS NOT NULL OR new.ended_at IS NULL
  OR (old.id, old.clone_id, old.requested_by, old.reason, old.requested_at)
    IS NOT (new.id, new.clone_id, new.requested_by, new.reason, new.requested_at)
BEGIN
  SELECT raise(ABORT, 'a request can only end, once');
END;
CREATE TRIGGER retirement_requests_kept BEFORE DELETE ON retirement_requests
BEGIN
  SELECT raise(ABORT, 'a request never leaves');
END;

-- The career of a clone that had a slot, as it stood when it was retired; hash covers every other column.
CREATE TABLE hall_of_fame (
  id            INTEGER PRIMARY KEY,
  retirement_id INTEGER NOT NULL UNIQUE REFERENCES clone_retirements (id),
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  name          TEXT NOT NULL,                   -- the public name it was known by
  retired_at    INTEGER NOT NULL,
  reason        TEXT NOT NULL,
  career        TEXT NOT NULL,                   -- canonical JSON
  hash          TEXT NOT NULL CHECK (length(hash) = 64)
) STRICT;
CREATE INDEX hall_of_fame_clone ON hall_of_fame (clone_id);

-- What admins did to auditions, slots and clones; refused acts are written down as well.
CREATE TABLE arena_acts (
  id          INTEGER PRIMARY KEY,
  act         TEXT NOT NULL CHECK (act IN ('void', 'admit', 'remove', 'retire', 'reinstate')),
  clone_id    INTEGER REFERENCES clones (id),
  audition_id INTEGER REFERENCES auditions (id),
  actor       TEXT NOT NULL CHECK (actor <> ''),
  reason      TEXT NOT NULL CHECK (reason <> ''),
  outcome     TEXT NOT NULL CHECK (outcome IN ('done', 'unchanged', 'waits', 'refused')),
  detail      TEXT NOT NULL,
  at          INTEGER NOT NULL
) STRICT;

CREATE TRIGGER clone_demand_append_only BEFORE UPDATE ON clone_demand
BEGIN SELECT raise(ABORT, 'clone_demand is append-only');
END;
CREATE TRIGGER clone_demand_kept BEFORE DELETE ON clone_demand
BEGIN SELECT raise(ABORT, 'clone_demand is append-only');
END;
CREATE TRIGGER hall_of_fame_append_only BEFORE UPDATE ON hall_of_fame
BEGIN SELECT raise(ABORT, 'hall_of_fame is append-only');
END;
CREATE TRIGGER hall_of_fame_kept BEFORE DELETE ON hall_of_fame
BEGIN SELECT raise(ABORT, 'hall_of_fame is append-only');
END;
CREATE TRIGGER arena_acts_append_only BEFORE UPDATE ON arena_acts
BEGIN SELECT raise(ABORT, 'arena_acts is append-only');
END;
CREATE TRIGGER arena_acts_kept BEFORE DELETE ON arena_acts
BEGIN SELECT raise(ABORT, 'arena_acts is append-only');
END;
