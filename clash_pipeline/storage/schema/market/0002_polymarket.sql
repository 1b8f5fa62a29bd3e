-- Market memory of Polymarket: discovery, links to assets, and the immediate and later market of each asset.
CREATE TABLE polymarket_events (
  event_id   TEXT PRIMARY KEY,
  slug       TEXT NOT NULL,
  title      TEXT NOT NULL,                      -- cleaned and bounded third-party text
  tags       TEXT NOT NULL,                      -- JSON list of slugs
  series_slug TEXT,
  start_at   INTEGER,
  end_at     INTEGER,
  is_active  INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  is_closed  INTEGER NOT NULL CHECK (is_closed IN (0, 1)),
  volume     REAL,
  liquidity  REAL,
  source     TEXT NOT NULL CHECK (source IN ('crawl', 'search', 'target')),
  first_seen_at INTEGER NOT NULL,
  known_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX polymarket_events_slug ON polymarket_events (slug);

CREATE TABLE polymarket_markets (
  market_id     TEXT PRIMARY KEY,
  event_id      TEXT REFERENCES polymarket_events (event_id),
  condition_id  TEXT,
  slug          TEXT NOT NULL,
  question      TEXT NOT NULL,
  outcomes      TEXT NOT NULL,                   -- JSON list
  token_ids     TEXT NOT NULL,                   -- JSON list of decimal texts, same order as outcomes
  start_at      INTEGER,                         -- of the window the market asks about
  end_at        INTEGER,
  is_active     INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  is_closed     INTEGER NOT NULL CHECK (is_closed IN (0, 1)),
  first_seen_at INTEGER NOT NULL,
  known_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX polymarket_markets_slug ON polymarket_markets (slug);
CREATE INDEX polymarket_markets_event ON polymarket_markets (event_id);

-- Quotes of a market as sampled; one row a sample, for targets and for immediate and later markets.
CREATE TABLE polymarket_quotes (
  market_id  TEXT NOT NULL,
  t          INTEGER NOT NULL,
  prices     TEXT NOT NULL,                      -- JSON list of decimal texts by outcome
  best_bid   TEXT,
  best_ask   TEXT,
  last_price TEXT,
  volume     REAL,
  liquidity  REAL,
  is_flagged INTEGER NOT NULL CHECK (is_flagged IN (0, 1)),  -- prices do not sum to 1 within 0.05
  known_at   INTEGER NOT NULL,
  PRIMARY KEY (market_id, t)
) STRICT, WITHOUT ROWID;

CREATE TABLE polymarket_market_asset_links (
  market_id TEXT NOT NULL,
  symbol    TEXT NOT NULL,
  matched   TEXT NOT NULL,                       -- the term that linked them
  known_at  INTEGER NOT NULL,
  PRIMARY KEY (market_id, symbol)
) STRICT, WITHOUT ROWID;
CREATE INDEX polymarket_links_symbol ON polymarket_market_asset_links (symbol);

CREATE TABLE polymarket_immediate_markets (
  symbol    TEXT NOT NULL,
  t         INTEGER NOT NULL,                    -- selection time, floored to the minute
  market_id TEXT NOT NULL,
  question  TEXT NOT NULL,
  outcomes  TEXT NOT NULL,
  prices    TEXT NOT NULL,
  end_at    INTEGER NOT NULL,
  liquidity REAL,
  known_at  INTEGER NOT NULL,
  PRIMARY KEY (symbol, t)
) STRICT, WITHOUT ROWID;

CREATE TABLE polymarket_later_markets (
  symbol    TEXT NOT NULL,
  t         INTEGER NOT NULL,
  market_id TEXT NOT NULL,
  question  TEXT NOT NULL,
  outcomes  TEXT NOT NULL,
  prices    TEXT NOT NULL,
  end_at    INTEGER NOT NULL,
  liquidity REAL,
  known_at  INTEGER NOT NULL,
  PRIMARY KEY (symbol, t)
) STRICT, WITHOUT ROWID;
