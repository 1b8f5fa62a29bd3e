-- Market memory of Polymarket: discovery, links to assets, and the immediate and later market of each asset.
-- Texts of third parties are cleaned and bounded before they come here; prices are the venue's decimal text.
CREATE TABLE polymarket_events (
  event_id   TEXT PRIMARY KEY,
  slug       TEXT NOT NULL,
  title      TEXT NOT NULL,
  tags       TEXT NOT NULL,                      -- JSON list of slugs
  series_slug TEXT,
  start_at   INTEGER,                            -- of what the event asks about, not of its listing
  end_at     INTEGER,
  is_active  INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  is_closed  INTEGER NOT NULL CHECK (is_closed IN (0, 1)),
  volume     REAL,
  liquidity  REAL,
  source     TEXT NOT NULL CHECK (source IN ('crawl', 'search', 'target', 'recurring')),  -- what found it first
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
  start_at      INTEGER,                         -- of the window the market asks about; NULL: open since it was listed
  end_at        INTEGER,
  is_active     INTEGER NOT NULL CHECK (is_active IN (0, 1)),
  is_closed     INTEGER NOT NULL CHECK (is_closed IN (0, 1)),
  first_seen_at INTEGER NOT NULL,
  known_at      INTEGER NOT NULL,                -- of the columns above; a new value moves the old row to the versions
  prices        TEXT NOT NULL,                   -- JSON list of the prices last seen, for choosing only
  liquidity     REAL,
  volume        REAL,
  sampled_at    INTEGER NOT NULL                 -- when prices, liquidity and volume last changed
) STRICT;
CREATE INDEX polymarket_markets_slug ON polymarket_markets (slug);
CREATE INDEX polymarket_markets_event ON polymarket_markets (event_id);

-- What a changed market said before, for reads `as_of` a time between the two.
CREATE TABLE polymarket_market_versions (
  market_id     TEXT NOT NULL,
  known_at      INTEGER NOT NULL,
  superseded_at INTEGER NOT NULL,
  slug          TEXT NOT NULL,
  question      TEXT NOT NULL,
  outcomes      TEXT NOT NULL,
  start_at      INTEGER,
  end_at        INTEGER,
  is_active     INTEGER NOT NULL,
  is_closed     INTEGER NOT NULL,
  PRIMARY KEY (market_id, known_at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER polymarket_markets_keep_version BEFORE UPDATE ON polymarket_markets
WHEN old.known_at < new.known_at
BEGIN
  DELETE FROM polymarket_market_versions
  WHERE market_id = old.market_id AND known_at = old.known_at;
  INSERT INTO polymarket_market_versions
  VALUES (old.market_id, old.known_at, new.known_at, old.slug, old.question, old.outcomes, old.start_at, old.end_at,
          old.is_active, old.is_closed);
END;

-- Quotes of a market as sampled; one row a sample, for targets and for immediate and later markets.
CREATE TABLE polymarket_quotes (
  market_id  TEXT NOT NULL,
  t          INTEGER NOT NULL,                   -- sample time, floored to the minute
  prices     TEXT NOT NULL,                      -- JSON list of decimal texts by outcome
  best_bid   TEXT,                               -- of the first outcome, as is best_ask
  best_ask   TEXT,
  last_price TEXT,
  volume     REAL,
  liquidity  REAL,
  is_flagged INTEGER NOT NULL CHECK (is_flagged IN (0, 1)),  -- prices do not sum to 1 within 0.05
  book       TEXT NOT NULL CHECK (book IN ('gamma', 'clob')),  -- where best_bid and best_ask come from
  known_at   INTEGER NOT NULL,
  PRIMARY KEY (market_id, t)
) STRICT, WITHOUT ROWID;

CREATE TABLE polymarket_market_asset_links (
  market_id TEXT NOT NULL,
  symbol    TEXT NOT NULL,
  matched   TEXT NOT NULL,                       -- where and by which term: "question: bitcoin"
  known_at  INTEGER NOT NULL,
  unlinked_at INTEGER,                           -- the text or the terms changed, and it matches no more
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

-- Markets and events that a strategy or the operator named: refreshed first, with the reason where that fails.
CREATE TABLE polymarket_targets (
  slug         TEXT PRIMARY KEY,
  wanted_until INTEGER NOT NULL,
  kind         TEXT CHECK (kind IN ('market', 'event')),  -- NULL until it was found
  problem      TEXT,                             -- not_found, closed, unavailable: ..., NULL when fresh
  checked_at   INTEGER
) STRICT, WITHOUT ROWID;
