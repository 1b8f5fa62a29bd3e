-- Macro tables of DefiLlama. A subject is (scope, name): global/defi, chain/Solana, protocol/aave-v3, stablecoin/USDT.
-- t is the hour of the sample. NULL is unknown, never zero; *_reason says why.
CREATE TABLE defillama_capital_base (
  scope       TEXT NOT NULL CHECK (scope IN ('global', 'chain', 'protocol', 'stablecoin')),
  subject     TEXT NOT NULL,
  t           INTEGER NOT NULL,
  tvl_usd     REAL,
  mcap_usd    REAL,
  circulating_usd REAL,
  missing_reason TEXT,
  known_at    INTEGER NOT NULL,
  PRIMARY KEY (scope, subject, t)
) STRICT, WITHOUT ROWID;

CREATE TABLE defillama_capital_flows (
  scope       TEXT NOT NULL CHECK (scope IN ('global', 'chain', 'protocol', 'stablecoin')),
  subject     TEXT NOT NULL,
  t           INTEGER NOT NULL,
  change_1h_pct REAL,
  change_1d_pct REAL,
  change_7d_pct REAL,
  flow_1d_usd REAL,
  flow_7d_usd REAL,
  missing_reason TEXT,
  known_at    INTEGER NOT NULL,
  PRIMARY KEY (scope, subject, t)
) STRICT, WITHOUT ROWID;

CREATE TABLE defillama_economic_throughput (
  scope       TEXT NOT NULL CHECK (scope IN ('global', 'chain', 'protocol', 'stablecoin')),
  subject     TEXT NOT NULL,
  t           INTEGER NOT NULL,
  dex_volume_24h_usd REAL,
  dex_volume_change_1d_pct REAL,
  fees_24h_usd REAL,
  fees_change_1d_pct REAL,
  revenue_24h_usd REAL,
  revenue_change_1d_pct REAL,
  open_interest_usd REAL,
  open_interest_change_1d_pct REAL,
  missing_reason TEXT,
  known_at    INTEGER NOT NULL,
  PRIMARY KEY (scope, subject, t)
) STRICT, WITHOUT ROWID;
