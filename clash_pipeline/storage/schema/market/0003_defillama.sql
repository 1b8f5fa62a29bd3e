-- Macro tables of DefiLlama. A subject is (scope, name): global/defi, chain/Solana, protocol/aave-v3, stablecoin/USDT.
-- t is the hour of the sample; a later sample of the hour takes the row over. NULL is unknown, never zero, and
-- missing_reason says why, column by column: "change_7d_pct:no_previous fees_24h_usd:not_listed".

-- TVL and supply of a subject.
CREATE TABLE defillama_capital_base (
  scope       TEXT NOT NULL CHECK (scope IN ('global', 'chain', 'protocol', 'stablecoin')),
  subject     TEXT NOT NULL,
  t           INTEGER NOT NULL,
  tvl_usd     REAL,
  mcap_usd    REAL,                              -- price times supply
  circulating_usd REAL,                          -- stablecoins in USD: of the coin, on the chain, or in all
  missing_reason TEXT,
  known_at    INTEGER NOT NULL,
  PRIMARY KEY (scope, subject, t)
) STRICT, WITHOUT ROWID;
CREATE INDEX defillama_capital_base_t ON defillama_capital_base (t);

CREATE TABLE defillama_capital_base_versions (
  scope TEXT NOT NULL, subject TEXT NOT NULL, t INTEGER NOT NULL,
  tvl_usd REAL, mcap_usd REAL, circulating_usd REAL,
  missing_reason TEXT,
  known_at      INTEGER NOT NULL,
  superseded_at INTEGER NOT NULL,
  PRIMARY KEY (scope, subject, t, known_at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER defillama_capital_base_keep_version BEFORE UPDATE ON defillama_capital_base
WHEN old.known_at < new.known_at
BEGIN
  DELETE FROM defillama_capital_base_versions
  WHERE scope = old.scope AND subject = old.subject AND t = old.t AND known_at = old.known_at;
  INSERT INTO defillama_capital_base_versions
  VALUES (old.scope, old.subject, old.t, old.tvl_usd, old.mcap_usd, old.circulating_usd,
          old.missing_reason, old.known_at, new.known_at);
END;

-- Changes of TVL, or of supply for stablecoins; a flow is the change in USD, prices included.
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
CREATE INDEX defillama_capital_flows_t ON defillama_capital_flows (t);

CREATE TABLE defillama_capital_flows_versions (
  scope TEXT NOT NULL, subject TEXT NOT NULL, t INTEGER NOT NULL,
  change_1h_pct REAL, change_1d_pct REAL, change_7d_pct REAL, flow_1d_usd REAL, flow_7d_usd REAL,
  missing_reason TEXT,
  known_at      INTEGER NOT NULL,
  superseded_at INTEGER NOT NULL,
  PRIMARY KEY (scope, subject, t, known_at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER defillama_capital_flows_keep_version BEFORE UPDATE ON defillama_capital_flows
WHEN old.known_at < new.known_at
BEGIN
  DELETE FROM defillama_capital_flows_versions
  WHERE scope = old.scope AND subject = old.subject AND t = old.t AND known_at = old.known_at;
  INSERT INTO defillama_capital_flows_versions
  VALUES (old.scope, old.subject, old.t, old.change_1h_pct, old.change_1d_pct, old.change_7d_pct, old.flow_1d_usd,
          old.flow_7d_usd, old.missing_reason, old.known_at, new.known_at);
END;

-- What a subject earns and turns over in 24 h.
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
CREATE INDEX defillama_economic_throughput_t ON defillama_economic_throughput (t);

CREATE TABLE defillama_economic_throughput_versions (
  scope TEXT NOT NULL, subject TEXT NOT NULL, t INTEGER NOT NULL,
  dex_volume_24h_usd REAL, dex_volume_change_1d_pct REAL, fees_24h_usd REAL, fees_change_1d_pct REAL,
  revenue_24h_usd REAL, revenue_change_1d_pct REAL, open_interest_usd REAL, open_interest_change_1d_pct REAL,
  missing_reason TEXT,
  known_at      INTEGER NOT NULL,
  superseded_at INTEGER NOT NULL,
  PRIMARY KEY (scope, subject, t, known_at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER defillama_economic_throughput_keep_version BEFORE UPDATE ON defillama_economic_throughput
WHEN old.known_at < new.known_at
BEGIN
  DELETE FROM defillama_economic_throughput_versions
  WHERE scope = old.scope AND subject = old.subject AND t = old.t AND known_at = old.known_at;
  INSERT INTO defillama_economic_throughput_versions
  VALUES (old.scope, old.subject, old.t, old.dex_volume_24h_usd, old.dex_volume_change_1d_pct, old.fees_24h_usd,
          old.fees_change_1d_pct, old.revenue_24h_usd, old.revenue_change_1d_pct, old.open_interest_usd,
          old.open_interest_change_1d_pct, old.missing_reason, old.known_at, new.known_at);
END;
