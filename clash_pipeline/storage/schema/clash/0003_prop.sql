-- Synthetic account truth. Money is INTEGER of 1e-8 USD, rates are INTEGER of 1e-8, prices and sizes are scaled INTEGER
-- beside the number of their decimals. prop is the only writer.
CREATE TABLE prop_accounts (
  id              INTEGER PRIMARY KEY,
  clone_id        INTEGER NOT NULL REFERENCES clones (id),
  kind            TEXT NOT NULL CHECK (kind IN ('sandbox', 'audition', 'race')),
  parent_id       INTEGER,                       -- audition or race
  state           TEXT NOT NULL CHECK (state IN ('pending', 'active', 'paused', 'locked', 'completed', 'liquidated')),
  start_balance   INTEGER NOT NULL CHECK (start_balance > 0 AND start_balance <= 100000000000000000),
  balance         INTEGER NOT NULL CHECK (abs(balance) <= 100000000000000000),
  high_water_mark INTEGER NOT NULL CHECK (high_water_mark > 0),
  policy          TEXT NOT NULL,                 -- canonical JSON, taken at creation
  policy_hash     TEXT NOT NULL CHECK (length(policy_hash) = 64),
  starts_at       INTEGER,
  ends_at         INTEGER,
  revision        INTEGER NOT NULL,              -- rises with every change of account, positions or ledger
  ledger_seq      INTEGER NOT NULL,              -- newest ledger group
  ledger_hash     TEXT NOT NULL CHECK (length(ledger_hash) = 64),
  funded_through  INTEGER NOT NULL,              -- every funding hour up to here is charged
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  CHECK ((kind = 'sandbox') = (parent_id IS NULL)),
  UNIQUE (kind, parent_id, clone_id)
) STRICT;
CREATE UNIQUE INDEX prop_accounts_one_sandbox ON prop_accounts (clone_id)
WHERE kind = 'sandbox' AND state NOT IN ('completed', 'liquidated');

CREATE TRIGGER prop_accounts_fixed_terms BEFORE UPDATE ON prop_accounts
WHEN (old.id, old.clone_id, old.kind, old.parent_id, old.start_balance, old.policy, old.policy_hash, old.created_at)
  IS NOT (new.id, new.clone_id, new.kind, new.parent_id, new.start_balance, new.policy, new.policy_hash, new.created_at)
BEGIN
  SELECT raise(ABORT, 'the terms of an account never change');
END;
CREATE TRIGGER prop_accounts_legal_moves BEFORE UPDATE OF state ON prop_accounts
WHEN old.state <> new.state AND NOT (
     (old.state = 'pending' AND new.state = 'active')
  OR (old.state = 'active' AND new.state IN ('paused', 'locked', 'completed', 'liquidated'))
  OR (old.state = 'paused' AND new.state IN ('active', 'locked', 'completed', 'liquidated'))
  OR (old.state = 'locked' AND new.state IN ('active', 'paused', 'completed', 'liquidated')))
BEGIN
  SELECT raise(ABORT, 'this account cannot move to that state');
END;
CREATE TRIGGER prop_accounts_never_leave BEFORE DELETE ON prop_accounts
BEGIN
  SELECT raise(ABORT, 'an account never leaves');
END;

-- Kill switches: one global, one for each account.
CREATE TABLE prop_halts (
  id          INTEGER PRIMARY KEY,
  account_id  INTEGER REFERENCES prop_accounts (id),  -- NULL: all accounts
  actor       TEXT NOT NULL,
  reason      TEXT NOT NULL,
  halted_at   INTEGER NOT NULL,
  released_at INTEGER,
  released_by TEXT
) STRICT;
CREATE UNIQUE INDEX prop_halts_one_open ON prop_halts (coalesce(account_id, 0)) WHERE released_at IS NULL;

-- What was asked of the gates and what they said; one row an action, filled or rejected.
CREATE TABLE prop_decision_actions (
  id           INTEGER PRIMARY KEY,
  account_id   INTEGER NOT NULL REFERENCES prop_accounts (id),
  run_id       INTEGER NOT NULL,                 -- decision_runs.id
  action_index INTEGER NOT NULL CHECK (action_index >= 0),
  symbol       TEXT NOT NULL,
  action       TEXT NOT NULL,
  payload      TEXT NOT NULL,                    -- canonical JSON of the action as proposed
  payload_hash TEXT NOT NULL CHECK (length(payload_hash) = 64),
  status       TEXT NOT NULL CHECK (status IN ('filled', 'rejected')),
  reject_code  TEXT,
  figures      TEXT NOT NULL,                    -- canonical JSON: the figures that decided
  created_at   INTEGER NOT NULL,
  CHECK ((status = 'rejected') = (reject_code IS NOT NULL)),
  UNIQUE (account_id, run_id, action_index)
) STRICT;
CREATE INDEX prop_decision_actions_run ON prop_decision_actions (run_id);

CREATE TABLE prop_orders (
  id             INTEGER PRIMARY KEY,
  account_id     INTEGER NOT NULL REFERENCES prop_accounts (id),
  origin         TEXT NOT NULL CHECK (origin IN ('decision', 'stop', 'target', 'liquidation', 'admin')),
  action_id      INTEGER REFERENCES prop_decision_actions (id),
  leg            INTEGER NOT NULL CHECK (leg IN (0, 1)),
  trigger_minute INTEGER,                        -- of orders the engine itself makes
  symbol         TEXT NOT NULL,
  side           TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
  size           INTEGER NOT NULL CHECK (size > 0),
  sz_decimals    INTEGER NOT NULL,
  leverage       INTEGER NOT NULL CHECK (leverage >= 1),
  is_opening     INTEGER NOT NULL CHECK (is_opening IN (0, 1)),  -- raises exposure, and counts for the hourly rate
  created_at     INTEGER NOT NULL,
  CHECK ((origin = 'decision') = (action_id IS NOT NULL)),
  CHECK ((origin = 'decision') = (trigger_minute IS NULL))
) STRICT;
CREATE UNIQUE INDEX prop_orders_once_decided ON prop_orders (action_id, leg) WHERE origin = 'decision';
CREATE UNIQUE INDEX prop_orders_once_triggered ON prop_orders (account_id, symbol, origin, trigger_minute) WHERE origin <> 'decision';
CREATE INDEX prop_orders_rate ON prop_orders (account_id, created_at) WHERE is_opening = 1;

CREATE TABLE prop_fills (
  id              INTEGER PRIMARY KEY,
  order_id        INTEGER NOT NULL UNIQUE REFERENCES prop_orders (id),
  account_id      INTEGER NOT NULL REFERENCES prop_accounts (id),
  symbol          TEXT NOT NULL,
  side            TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
  size            INTEGER NOT NULL CHECK (size > 0),
  sz_decimals     INTEGER NOT NULL,
  price           INTEGER NOT NULL CHECK (price > 0),
  px_decimals     INTEGER NOT NULL,
  notional        INTEGER NOT NULL CHECK (notional > 0),
  fee             INTEGER NOT NULL CHECK (fee >= 0),
  fee_rate        INTEGER NOT NULL CHECK (fee_rate >= 0),
  fee_schedule    TEXT NOT NULL,                 -- the dated schedule the rate was taken from
  slippage        INTEGER NOT NULL CHECK (slippage >= 0),       -- USD lost against the reference price
  slippage_rate   INTEGER NOT NULL CHECK (slippage_rate >= 0),
  reference_price TEXT NOT NULL,                 -- venue decimal text, before slippage
  price_source    TEXT NOT NULL,                 -- mid, candle
  price_at        INTEGER NOT NULL,
  price_age_ms    INTEGER NOT NULL CHECK (price_age_ms >= 0),
  inputs          TEXT NOT NULL,                 -- canonical JSON: what the slippage was computed from
  realized        INTEGER NOT NULL,              -- PnL before fees
  size_after      INTEGER NOT NULL,              -- signed position after this fill
  cost_after      INTEGER NOT NULL CHECK (cost_after >= 0),
  ledger_seq      INTEGER NOT NULL,
  filled_at       INTEGER NOT NULL,
  UNIQUE (account_id, ledger_seq)
) STRICT;
CREATE INDEX prop_fills_symbol ON prop_fills (account_id, symbol, id);

-- One row for each symbol an account ever held; size is signed, cost is the exact basis of what is held.
CREATE TABLE prop_positions (
  account_id  INTEGER NOT NULL REFERENCES prop_accounts (id),
  symbol      TEXT NOT NULL,
  kind        TEXT NOT NULL CHECK (kind IN ('perp', 'spot')),
  size        INTEGER NOT NULL,
  sz_decimals INTEGER NOT NULL,
  px_decimals INTEGER NOT NULL,
  cost        INTEGER NOT NULL CHECK (cost >= 0),
  leverage    INTEGER NOT NULL CHECK (leverage >= 1),
  realized    INTEGER NOT NULL,                  -- sums since the account began
  fees        INTEGER NOT NULL CHECK (fees >= 0),
  funding     INTEGER NOT NULL,
  fills       INTEGER NOT NULL,
  opened_at   INTEGER,                           -- of the present position
  mark        INTEGER,                           -- scaled price of the last mark
  mark_source TEXT,
  mark_at     INTEGER,
  updated_at  INTEGER NOT NULL,
  CHECK ((size = 0) = (opened_at IS NULL)),
  CHECK (size <> 0 OR cost = 0),
  CHECK (kind = 'perp' OR size >= 0),
  PRIMARY KEY (account_id, symbol)
) STRICT;

-- One hash chain for each account: hash = SHA-256(previous hash + canonical JSON of the group).
CREATE TABLE prop_ledger_groups (
  account_id INTEGER NOT NULL REFERENCES prop_accounts (id),
  seq        INTEGER NOT NULL CHECK (seq >= 1),
  kind       TEXT NOT NULL CHECK (kind IN ('state', 'fill', 'funding', 'liquidation', 'correction')),
  ref_type   TEXT NOT NULL,
  ref_id     INTEGER NOT NULL,
  actor      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  ref_hash   TEXT NOT NULL CHECK (length(ref_hash) = 64),   -- of the rows it books (action, order, fill); zeros for none
  known_at   INTEGER NOT NULL,
  prev_hash  TEXT NOT NULL CHECK (length(prev_hash) = 64),
  hash       TEXT NOT NULL CHECK (length(hash) = 64),
  PRIMARY KEY (account_id, seq)
) STRICT;

CREATE TABLE prop_ledger (
  account_id INTEGER NOT NULL,
  seq        INTEGER NOT NULL,
  line       INTEGER NOT NULL CHECK (line >= 0),
  kind       TEXT NOT NULL CHECK (kind IN ('realized', 'fee', 'funding', 'shortfall', 'correction')),
  symbol     TEXT NOT NULL,
  amount     INTEGER NOT NULL,                   -- signed effect on the balance
  PRIMARY KEY (account_id, seq, line),
  FOREIGN KEY (account_id, seq) REFERENCES prop_ledger_groups (account_id, seq)
) STRICT;

-- One hour of funding of one position; written by the hourly charge.
CREATE TABLE prop_funding_charges (
  account_id INTEGER NOT NULL REFERENCES prop_accounts (id),
  symbol     TEXT NOT NULL,
  hour_t     INTEGER NOT NULL,
  size       INTEGER NOT NULL,
  oracle_px  TEXT NOT NULL,
  rate_e10   INTEGER NOT NULL,
  amount     INTEGER NOT NULL,
  ledger_seq INTEGER NOT NULL,
  charged_at INTEGER NOT NULL,
  PRIMARY KEY (account_id, symbol, hour_t)
) STRICT;

CREATE TABLE prop_snapshots (
  account_id      INTEGER NOT NULL REFERENCES prop_accounts (id),
  t               INTEGER NOT NULL,              -- mark tick
  equity          INTEGER NOT NULL,
  balance         INTEGER NOT NULL,
  unrealized      INTEGER NOT NULL,
  gross           INTEGER NOT NULL,
  margin          INTEGER NOT NULL,              -- initial margin in use
  maintenance     INTEGER NOT NULL,
  drawdown        INTEGER NOT NULL,              -- rate below the high-water mark
  high_water_mark INTEGER NOT NULL,
  positions       INTEGER NOT NULL,
  carried         INTEGER NOT NULL,              -- positions whose last mark was carried on
  oldest_mark_ms  INTEGER NOT NULL,              -- age of the oldest mark in use
  marks           TEXT NOT NULL,                 -- canonical JSON, one entry a position
  marked_at       INTEGER NOT NULL,
  PRIMARY KEY (account_id, t)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER prop_decision_actions_append_only BEFORE UPDATE ON prop_decision_actions
BEGIN SELECT raise(ABORT, 'prop_decision_actions is append-only');
END;
CREATE TRIGGER prop_decision_actions_kept BEFORE DELETE ON prop_decision_actions
BEGIN SELECT raise(ABORT, 'prop_decision_actions is append-only');
END;
CREATE TRIGGER prop_orders_append_only BEFORE UPDATE ON prop_orders
BEGIN SELECT raise(ABORT, 'prop_orders is append-only');
END;
CREATE TRIGGER prop_orders_kept BEFORE DELETE ON prop_orders
BEGIN SELECT raise(ABORT, 'prop_orders is append-only');
END;
CREATE TRIGGER prop_fills_append_only BEFORE UPDATE ON prop_fills
BEGIN SELECT raise(ABORT, 'prop_fills is append-only');
END;
CREATE TRIGGER prop_fills_kept BEFORE DELETE ON prop_fills
BEGIN SELECT raise(ABORT, 'prop_fills is append-only');
END;
CREATE TRIGGER prop_ledger_groups_append_only BEFORE UPDATE ON prop_ledger_groups
BEGIN SELECT raise(ABORT, 'prop_ledger_groups is append-only');
END;
CREATE TRIGGER prop_ledger_groups_kept BEFORE DELETE ON prop_ledger_groups
BEGIN SELECT raise(ABORT, 'prop_ledger_groups is append-only');
END;
CREATE TRIGGER prop_ledger_append_only BEFORE UPDATE ON prop_ledger
BEGIN SELECT raise(ABORT, 'prop_ledger is append-only');
END;
CREATE TRIGGER prop_ledger_kept BEFORE DELETE ON prop_ledger
BEGIN SELECT raise(ABORT, 'prop_ledger is append-only');
END;
CREATE TRIGGER prop_funding_charges_append_only BEFORE UPDATE ON prop_funding_charges
BEGIN SELECT raise(ABORT, 'prop_funding_charges is append-only');
END;
CREATE TRIGGER prop_funding_charges_kept BEFORE DELETE ON prop_funding_charges
BEGIN SELECT raise(ABORT, 'prop_funding_charges is append-only');
END;
