-- Archived UTC days of prop_snapshots: one row for each content that was ever put; the newest is the present one.
CREATE TABLE prop_snapshot_days (
  day           INTEGER NOT NULL CHECK (day % 86400000 = 0),
  content_hash  TEXT NOT NULL CHECK (length(content_hash) = 64),
  object_key    TEXT NOT NULL,
  object_sha256 TEXT NOT NULL CHECK (length(object_sha256) = 64),
  row_count     INTEGER NOT NULL CHECK (row_count > 0),
  size_bytes    INTEGER NOT NULL CHECK (size_bytes > 0),
  archived_at   INTEGER NOT NULL,
  verified_at   INTEGER,                         -- last read back and found equal; NULL: not, or no longer
  thinning_at   INTEGER,                         -- from here on minutes of this day may be in the archive alone
  thinned_at    INTEGER,                         -- only the last snapshot of each hour is left here
  PRIMARY KEY (day, content_hash)
) STRICT;
