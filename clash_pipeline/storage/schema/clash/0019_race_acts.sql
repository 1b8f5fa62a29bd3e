-- What admins do to races is written down beside what they do to clones and auditions, refused acts too (09 §6.7).
CREATE TABLE arena_acts_of_all (
  id          INTEGER PRIMARY KEY,
  act         TEXT NOT NULL CHECK (act IN ('void', 'admit', 'remove', 'retire', 'reinstate', 'take_out', 'cancel')),
  clone_id    INTEGER REFERENCES clones (id),
  audition_id INTEGER REFERENCES auditions (id),
  race_id     INTEGER REFERENCES races (id),
  actor       TEXT NOT NULL CHECK (actor <> ''),
  reason      TEXT NOT NULL CHECK (reason <> ''),
  outcome     TEXT NOT NULL CHECK (outcome IN ('done', 'unchanged', 'waits', 'refused')),
  detail      TEXT NOT NULL,
  at          INTEGER NOT NULL,
  CHECK ((act IN ('take_out', 'cancel')) = (race_id IS NOT NULL))
) STRICT;
INSERT INTO arena_acts_of_all (id, act, clone_id, audition_id, actor, reason, outcome, detail, at)
SELECT id, act, clone_id, audition_id, actor, reason, outcome, detail, at FROM arena_acts;
DROP TRIGGER arena_acts_append_only;
DROP TRIGGER arena_acts_kept;
DROP TABLE arena_acts;
ALTER TABLE arena_acts_of_all RENAME TO arena_acts;
CREATE TRIGGER arena_acts_append_only BEFORE UPDATE ON arena_acts
BEGIN SELECT raise(ABORT, 'arena_acts is append-only');
END;
CREATE TRIGGER arena_acts_kept BEFORE DELETE ON arena_acts
BEGIN SELECT raise(ABORT, 'arena_acts is append-only');
END;
