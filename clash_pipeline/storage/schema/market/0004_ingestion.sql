-- How ingestion went: one row a channel and cycle, and the messages that were refused.
CREATE TABLE ingestion_runs (
  id            INTEGER PRIMARY KEY,
  source        TEXT NOT NULL,                   -- hyperliquid, polymarket, defillama
  channel       TEXT NOT NULL,                   -- registry, candles_1m, candles_1h, indicators, funding, mids, asset_ctxs, ...
  started_at    INTEGER NOT NULL,
  finished_at   INTEGER,
  status        TEXT NOT NULL CHECK (status IN ('ok', 'running', 'failed')),
  through_t     INTEGER,                         -- everything up to here is in memory
  rows_written  INTEGER NOT NULL DEFAULT 0,
  rejected      INTEGER NOT NULL DEFAULT 0,
  covered       INTEGER,                         -- assets (or subjects) with fresh rows
  expected      INTEGER,                         -- assets that should have them
  lag_p50_ms    INTEGER,
  lag_p99_ms    INTEGER,
  error         TEXT
) STRICT;
CREATE INDEX ingestion_runs_channel ON ingestion_runs (source, channel, started_at);

CREATE TABLE ingestion_rejections (
  id          INTEGER PRIMARY KEY,
  source      TEXT NOT NULL,
  channel     TEXT NOT NULL,
  reason      TEXT NOT NULL,                     -- stable code
  day         INTEGER NOT NULL,                  -- UTC day, epoch ms
  count       INTEGER NOT NULL,
  first_at    INTEGER NOT NULL,
  last_at     INTEGER NOT NULL,
  sample      TEXT NOT NULL,                     -- the first such message, cut to 2,000 characters
  UNIQUE (source, channel, reason, day)
) STRICT;

-- Archived UTC days, and days restored from the archive (pinned against pruning until pinned_until).
CREATE TABLE archived_partitions (
  table_name   TEXT NOT NULL,
  day          INTEGER NOT NULL,
  content_hash TEXT NOT NULL,                    -- of the rows, whatever file holds them
  object_key   TEXT NOT NULL,
  object_sha256 TEXT NOT NULL,
  row_count    INTEGER NOT NULL,
  size_bytes   INTEGER NOT NULL,
  archived_at  INTEGER NOT NULL,
  verified_at  INTEGER,                          -- last read back and found equal; NULL: not, or no longer
  prune_started_at INTEGER,                      -- from here on the hot table may lack rows of this day
  pruned_at    INTEGER,
  restored_at  INTEGER,
  pinned_until INTEGER,
  PRIMARY KEY (table_name, day, content_hash)
) STRICT;
