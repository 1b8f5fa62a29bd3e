-- What time does to an account: funding hours at one rate for everybody, frozen results, the acts of operators.
-- positions_hash is the seal of an account's rows in prop_positions; NULL before the first that was stored with it.
ALTER TABLE prop_accounts ADD COLUMN positions_hash TEXT CHECK (length(positions_hash) = 64);
-- max_drawdown is the deepest so far, this minute included.
ALTER TABLE prop_snapshots ADD COLUMN max_drawdown INTEGER NOT NULL DEFAULT 0;
UPDATE prop_snapshots SET max_drawdown = (
  SELECT max(before.drawdown) FROM prop_snapshots before
  WHERE before.account_id = prop_snapshots.account_id AND before.t <= prop_snapshots.t);
-- held is the signed size at the hour; size is what was charged.
ALTER TABLE prop_funding_charges ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

-- Rate and oracle price of a funding hour. The first account that is charged writes them, every other one reads them.
CREATE TABLE prop_funding_hours (
  symbol      TEXT NOT NULL,
  hour_t      INTEGER NOT NULL CHECK (hour_t % 3600000 = 0),
  rate_e10    INTEGER NOT NULL,
  rate_source TEXT NOT NULL CHECK (rate_source IN ('paid', 'estimate')),
  rate_at     INTEGER NOT NULL,                  -- when the rate was known
  oracle_px   TEXT NOT NULL,                     -- venue decimal text
  oracle_at   INTEGER NOT NULL,                  -- when the oracle price was known
  fixed_at    INTEGER NOT NULL,
  PRIMARY KEY (symbol, hour_t)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER prop_funding_hours_append_only BEFORE UPDATE ON prop_funding_hours
BEGIN SELECT raise(ABORT, 'prop_funding_hours is append-only');
END;
CREATE TRIGGER prop_funding_hours_kept BEFORE DELETE ON prop_funding_hours
BEGIN SELECT raise(ABORT, 'prop_funding_hours is append-only');
END;

-- The result of an account that has ended. Integers and text are hashed; the two statistics are floats, with a hash of their own.
CREATE TABLE prop_results (
  account_id      INTEGER PRIMARY KEY REFERENCES prop_accounts (id),
  state           TEXT NOT NULL CHECK (state IN ('completed', 'liquidated')),
  reason          TEXT NOT NULL,
  started_at      INTEGER NOT NULL,
  ended_at        INTEGER NOT NULL CHECK (ended_at >= started_at),  -- the moment the result is of
  frozen_at       INTEGER NOT NULL,                                 -- when it was written
  start_balance   INTEGER NOT NULL CHECK (start_balance > 0),
  final_equity    INTEGER NOT NULL CHECK (final_equity >= 0),
  pnl             INTEGER NOT NULL,
  return_rate     INTEGER NOT NULL,              -- of the start balance, rounded down
  max_drawdown    INTEGER NOT NULL CHECK (max_drawdown >= 0),       -- rate below the high-water mark
  realized        INTEGER NOT NULL,
  fees            INTEGER NOT NULL CHECK (fees >= 0),
  funding         INTEGER NOT NULL,
  shortfall       INTEGER NOT NULL CHECK (shortfall >= 0),
  fills           INTEGER NOT NULL,              -- without those of the fixing
  trades          INTEGER NOT NULL,              -- fills that closed something, those of the fixing included
  wins            INTEGER NOT NULL CHECK (wins BETWEEN 0 AND trades),
  gross_profit    INTEGER NOT NULL CHECK (gross_profit >= 0),
  gross_loss      INTEGER NOT NULL CHECK (gross_loss >= 0),
  win_rate        INTEGER,                       -- NULL: nothing was closed
  profit_factor   INTEGER,                       -- rate; NULL: nothing was lost
  exposure_ms     INTEGER NOT NULL CHECK (exposure_ms >= 0),
  gross_share     INTEGER,                       -- time-weighted gross by time-weighted equity; NULL: never marked
  grid_ms         INTEGER NOT NULL,              -- grid of the two statistics
  grid_points     INTEGER NOT NULL,
  funding_missing INTEGER NOT NULL CHECK (funding_missing >= 0),    -- hours whose rate or oracle price never became known
  carried         INTEGER NOT NULL CHECK (carried >= 0),            -- positions priced by a carried mark
  ledger_seq      INTEGER NOT NULL,              -- the group before the one that ends the account
  ledger_hash     TEXT NOT NULL CHECK (length(ledger_hash) = 64),
  hash            TEXT NOT NULL CHECK (length(hash) = 64),
  sharpe          REAL,
  sortino         REAL,
  statistics_hash TEXT NOT NULL CHECK (length(statistics_hash) = 64)
) STRICT;
CREATE TRIGGER prop_results_append_only BEFORE UPDATE ON prop_results
BEGIN SELECT raise(ABORT, 'a frozen result never changes');
END;
CREATE TRIGGER prop_results_kept BEFORE DELETE ON prop_results
BEGIN SELECT raise(ABORT, 'a frozen result never leaves');
END;
CREATE TRIGGER prop_results_of_ended BEFORE INSERT ON prop_results
WHEN new.state IS NOT (SELECT state FROM prop_accounts WHERE id = new.account_id)
BEGIN SELECT raise(ABORT, 'only an account that has ended has a result');
END;

-- Nothing of an account changes once its result stands.
CREATE TRIGGER prop_accounts_frozen BEFORE UPDATE ON prop_accounts
WHEN old.state IN ('completed', 'liquidated')
BEGIN SELECT raise(ABORT, 'an account that has ended never changes');
END;
CREATE TRIGGER prop_positions_frozen_insert BEFORE INSERT ON prop_positions
WHEN EXISTS (SELECT 1 FROM prop_results WHERE account_id = new.account_id)
BEGIN SELECT raise(ABORT, 'an account that has ended never changes');
END;
CREATE TRIGGER prop_positions_frozen_update BEFORE UPDATE ON prop_positions
WHEN EXISTS (SELECT 1 FROM prop_results WHERE account_id = old.account_id)
BEGIN SELECT raise(ABORT, 'an account that has ended never changes');
END;
CREATE TRIGGER prop_positions_kept BEFORE DELETE ON prop_positions
BEGIN SELECT raise(ABORT, 'a position row never leaves');
END;
CREATE TRIGGER prop_orders_frozen BEFORE INSERT ON prop_orders
WHEN EXISTS (SELECT 1 FROM prop_results WHERE account_id = new.account_id)
BEGIN SELECT raise(ABORT, 'an account that has ended never changes');
END;
CREATE TRIGGER prop_ledger_groups_frozen BEFORE INSERT ON prop_ledger_groups
WHEN EXISTS (SELECT 1 FROM prop_results WHERE account_id = new.account_id)
BEGIN SELECT raise(ABORT, 'an account that has ended never changes');
END;
CREATE TRIGGER prop_funding_charges_frozen BEFORE INSERT ON prop_funding_charges
WHEN EXISTS (SELECT 1 FROM prop_results WHERE account_id = new.account_id)
BEGIN SELECT raise(ABORT, 'an account that has ended never changes');
END;
CREATE TRIGGER prop_snapshots_frozen BEFORE INSERT ON prop_snapshots
WHEN EXISTS (SELECT 1 FROM prop_results WHERE account_id = new.account_id)
BEGIN SELECT raise(ABORT, 'an account that has ended never changes');
END;
CREATE TRIGGER prop_snapshots_append_only BEFORE UPDATE ON prop_snapshots
BEGIN SELECT raise(ABORT, 'a snapshot never changes');
END;

-- How far the minutes of an account's snapshots have been thinned to the last one of each hour.
CREATE TABLE prop_thinnings (
  account_id INTEGER PRIMARY KEY REFERENCES prop_accounts (id),
  through_t  INTEGER NOT NULL CHECK (through_t % 3600000 = 0),
  thinned_at INTEGER NOT NULL
) STRICT;

-- Every act of an operator, refused ones too.
CREATE TABLE prop_admin_acts (
  id         INTEGER PRIMARY KEY,
  account_id INTEGER REFERENCES prop_accounts (id),      -- NULL: all accounts
  act        TEXT NOT NULL CHECK (act IN ('pause', 'resume', 'lock', 'unlock', 'complete', 'liquidate', 'halt', 'release')),
  actor      TEXT NOT NULL CHECK (length(actor) > 0),
  reason     TEXT NOT NULL CHECK (length(reason) > 0),
  outcome    TEXT NOT NULL CHECK (outcome IN ('done', 'unchanged', 'refused')),
  detail     TEXT NOT NULL,
  acted_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX prop_admin_acts_account ON prop_admin_acts (account_id, id);
CREATE TRIGGER prop_admin_acts_append_only BEFORE UPDATE ON prop_admin_acts
BEGIN SELECT raise(ABORT, 'prop_admin_acts is append-only');
END;
CREATE TRIGGER prop_admin_acts_kept BEFORE DELETE ON prop_admin_acts
BEGIN SELECT raise(ABORT, 'prop_admin_acts is append-only');
END;
