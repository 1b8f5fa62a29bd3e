-- Who works, and who holds what.
CREATE TABLE leases (
  name     TEXT PRIMARY KEY,
  holder   TEXT NOT NULL,
  token    INTEGER NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE worker_heartbeats (
  worker                TEXT NOT NULL,
  instance              TEXT NOT NULL,
  started_at            INTEGER NOT NULL,
  last_beat_at          INTEGER NOT NULL,
  last_ok_at            INTEGER,
  last_error            TEXT,
  cycles                INTEGER NOT NULL,
  expected_interval_sec INTEGER NOT NULL CHECK (expected_interval_sec > 0),
  is_stopped            INTEGER NOT NULL CHECK (is_stopped IN (0, 1)),
  version               TEXT NOT NULL,
  host                  TEXT NOT NULL,
  pid                   INTEGER NOT NULL,
  PRIMARY KEY (worker, instance)
) STRICT;
