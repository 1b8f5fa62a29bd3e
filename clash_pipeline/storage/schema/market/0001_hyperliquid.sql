-- Market memory of Hyperliquid. Prices and sizes are the venue's own decimal text; times are epoch ms, UTC.
-- known_at is the moment this system knew the row; reads with an `as_of` never see a later one.
CREATE TABLE leases (
  name     TEXT PRIMARY KEY,
  holder   TEXT NOT NULL,
  token    INTEGER NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE hyperliquid_assets (
  symbol          TEXT PRIMARY KEY,              -- as on the wire: BTC, kPEPE, @107, PURR/USDC
  display_name    TEXT NOT NULL,
  kind            TEXT NOT NULL CHECK (kind IN ('perp', 'spot')),
  venue_index     INTEGER NOT NULL,              -- the venue's asset id: perp position, or 10000 + spot index
  sz_decimals     INTEGER NOT NULL CHECK (sz_decimals BETWEEN 0 AND 8),
  max_leverage    INTEGER NOT NULL CHECK (max_leverage >= 1),
  margin_tiers    TEXT NOT NULL,                 -- JSON [{"lowerBound": "0.0", "maxLeverage": 40}, ...], ascending
  is_only_isolated INTEGER NOT NULL CHECK (is_only_isolated IN (0, 1)),
  is_delisted     INTEGER NOT NULL CHECK (is_delisted IN (0, 1)),
  base_token      TEXT NOT NULL,
  quote_token     TEXT NOT NULL,
  channels        TEXT NOT NULL,                 -- JSON list of supported channels: ohlcv, rsi, bollinger, sma_ema, macd, funding
  category        TEXT NOT NULL,
  subcategory     TEXT NOT NULL,
  search_terms    TEXT NOT NULL,                 -- JSON list
  first_seen_at   INTEGER NOT NULL,
  known_at        INTEGER NOT NULL
) STRICT;

CREATE TABLE hyperliquid_candles (
  symbol   TEXT NOT NULL,
  interval TEXT NOT NULL CHECK (interval IN ('1m', '1h')),
  t        INTEGER NOT NULL,                     -- open time
  o        TEXT NOT NULL,
  h        TEXT NOT NULL,
  l        TEXT NOT NULL,
  c        TEXT NOT NULL,
  v        TEXT NOT NULL,
  n        INTEGER NOT NULL,                     -- trades
  origin   TEXT NOT NULL CHECK (origin IN ('stream', 'rest', 'flat', 'rollup', 'archive')),
  final    INTEGER NOT NULL CHECK (final IN (0, 1)),
  known_at INTEGER NOT NULL,
  PRIMARY KEY (symbol, interval, t)
) STRICT, WITHOUT ROWID;

-- Closed minutes that nothing has proven yet: what repair has to ask for.
CREATE INDEX hyperliquid_candles_unproven ON hyperliquid_candles (interval, symbol, t) WHERE final = 0;

-- What a corrected row said before, for reads `as_of` a time between the two.
CREATE TABLE hyperliquid_candle_versions (
  symbol        TEXT NOT NULL,
  interval      TEXT NOT NULL,
  t             INTEGER NOT NULL,
  known_at      INTEGER NOT NULL,
  superseded_at INTEGER NOT NULL,
  o TEXT NOT NULL, h TEXT NOT NULL, l TEXT NOT NULL, c TEXT NOT NULL, v TEXT NOT NULL, n INTEGER NOT NULL,
  origin        TEXT NOT NULL,
  PRIMARY KEY (symbol, interval, t, known_at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER hyperliquid_candles_final_never_changes BEFORE UPDATE ON hyperliquid_candles
WHEN old.final = 1 AND ((old.o, old.h, old.l, old.c, old.v, old.n) IS NOT (new.o, new.h, new.l, new.c, new.v, new.n) OR new.final = 0)
BEGIN
  SELECT raise(ABORT, 'a final candle never changes');
END;

-- A running hour is refreshed every minute; only what was said of an ended hour is worth keeping.
CREATE TRIGGER hyperliquid_candles_keep_version BEFORE UPDATE ON hyperliquid_candles
WHEN (old.o, old.h, old.l, old.c, old.v, old.n) IS NOT (new.o, new.h, new.l, new.c, new.v, new.n)
  AND (old.interval = '1m' OR old.known_at >= old.t + 3600000)
  AND old.known_at < new.known_at                -- what was replaced in the same instant was never known
BEGIN
  DELETE FROM hyperliquid_candle_versions
  WHERE symbol = old.symbol AND interval = old.interval AND t = old.t AND known_at = old.known_at;
  INSERT INTO hyperliquid_candle_versions
  VALUES (old.symbol, old.interval, old.t, old.known_at, new.known_at, old.o, old.h, old.l, old.c, old.v, old.n, old.origin);
END;

-- Derived from closed one-minute candles; NULL until the warm-up of an indicator is complete.
CREATE TABLE hyperliquid_technical_indicators (
  symbol      TEXT NOT NULL,
  t           INTEGER NOT NULL,                  -- open time of the closed minute
  rsi14       REAL,
  bb_upper    REAL,
  bb_middle   REAL,
  bb_lower    REAL,
  sma20       REAL,
  ema20       REAL,
  macd        REAL,
  macd_signal REAL,
  macd_hist   REAL,
  known_at    INTEGER NOT NULL,
  PRIMARY KEY (symbol, t)
) STRICT, WITHOUT ROWID;

CREATE TABLE hyperliquid_technical_indicator_versions (
  symbol        TEXT NOT NULL,
  t             INTEGER NOT NULL,
  known_at      INTEGER NOT NULL,
  superseded_at INTEGER NOT NULL,
  rsi14 REAL, bb_upper REAL, bb_middle REAL, bb_lower REAL, sma20 REAL, ema20 REAL, macd REAL, macd_signal REAL, macd_hist REAL,
  PRIMARY KEY (symbol, t, known_at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER hyperliquid_technical_indicators_keep_version BEFORE UPDATE ON hyperliquid_technical_indicators
WHEN (old.rsi14, old.bb_upper, old.bb_middle, old.bb_lower, old.sma20, old.ema20, old.macd, old.macd_signal, old.macd_hist)
  IS NOT (new.rsi14, new.bb_upper, new.bb_middle, new.bb_lower, new.sma20, new.ema20, new.macd, new.macd_signal, new.macd_hist)
  AND old.known_at < new.known_at
BEGIN
  DELETE FROM hyperliquid_technical_indicator_versions
  WHERE symbol = old.symbol AND t = old.t AND known_at = old.known_at;
  INSERT INTO hyperliquid_technical_indicator_versions
  VALUES (old.symbol, old.t, old.known_at, new.known_at, old.rsi14, old.bb_upper, old.bb_middle, old.bb_lower, old.sma20,
          old.ema20, old.macd, old.macd_signal, old.macd_hist);
END;

CREATE TABLE hyperliquid_funding_rates (
  symbol       TEXT NOT NULL,
  kind         TEXT NOT NULL CHECK (kind IN ('current', 'predicted', 'paid')),
  venue        TEXT NOT NULL,                    -- HlPerp, BinPerp, BybitPerp
  t            INTEGER NOT NULL,                 -- sample time, floored to the minute; the hour for 'paid'
  rate_e10     INTEGER NOT NULL,                 -- per interval_hours, unit 1e-10
  interval_hours INTEGER NOT NULL CHECK (interval_hours BETWEEN 1 AND 24),
  premium      TEXT,
  next_funding_at INTEGER,
  known_at     INTEGER NOT NULL,
  PRIMARY KEY (symbol, kind, venue, t)
) STRICT, WITHOUT ROWID;

CREATE TABLE hyperliquid_latest_prices (
  symbol    TEXT PRIMARY KEY,
  mid       TEXT NOT NULL,
  source_at INTEGER NOT NULL,
  known_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE hyperliquid_asset_ctxs (
  symbol         TEXT NOT NULL,
  t              INTEGER NOT NULL,               -- poll time, floored to the minute
  oracle_px      TEXT,                           -- spot has none
  mark_px        TEXT NOT NULL,
  mid_px         TEXT,                           -- NULL: no live book
  impact_bid     TEXT,
  impact_ask     TEXT,
  day_ntl_volume TEXT NOT NULL,                  -- USD, last 24 h
  day_base_volume TEXT,
  open_interest  TEXT,                           -- base units
  prev_day_px    TEXT,
  premium        TEXT,
  funding_e10    INTEGER,                        -- running estimate of the present hour, unit 1e-10
  known_at       INTEGER NOT NULL,
  PRIMARY KEY (symbol, t)
) STRICT, WITHOUT ROWID;

-- Minutes that were missed: to be repaired, never guessed. to_t is exclusive.
CREATE TABLE candle_gaps (
  id          INTEGER PRIMARY KEY,
  symbol      TEXT NOT NULL,
  from_t      INTEGER NOT NULL,
  to_t        INTEGER NOT NULL CHECK (to_t > from_t),
  reason      TEXT NOT NULL,                     -- disconnect, stall, start, missing, confirm, ...
  state       TEXT NOT NULL CHECK (state IN ('open', 'repaired', 'lost')),
  opened_at   INTEGER NOT NULL,
  closed_at   INTEGER,
  attempts    INTEGER NOT NULL DEFAULT 0,
  next_try_at INTEGER NOT NULL DEFAULT 0,
  last_error  TEXT
) STRICT;
CREATE INDEX candle_gaps_open ON candle_gaps (state, next_try_at);
CREATE UNIQUE INDEX candle_gaps_once ON candle_gaps (symbol, from_t, to_t) WHERE state = 'open';

-- REST weight as it was spent, shared by every process of this address.
CREATE TABLE rest_weight_spent (
  id       INTEGER PRIMARY KEY,
  source   TEXT NOT NULL,
  spent_at INTEGER NOT NULL,
  weight   INTEGER NOT NULL CHECK (weight > 0)
) STRICT;
CREATE INDEX rest_weight_spent_window ON rest_weight_spent (source, spent_at);
