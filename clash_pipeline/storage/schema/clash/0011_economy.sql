-- Real money. Wei is canonical decimal text, never summed, compared or ordered here. Every row that money rests on
-- carries row_hash, the digest of its other columns. economy is the only writer.
CREATE TABLE purchases (
  id            INTEGER PRIMARY KEY,
  nonce         TEXT NOT NULL UNIQUE
    CHECK (nonce NOT GLOB '*[^0-9]*' AND nonce NOT GLOB '0*' AND length(nonce) BETWEEN 1 AND 19),
  user_id       INTEGER NOT NULL REFERENCES users (id),
  wallet        TEXT NOT NULL CHECK (length(wallet) = 42 AND wallet GLOB '0x*' AND wallet = lower(wallet)),
  purpose       TEXT NOT NULL CHECK (purpose IN ('audition', 'upgrade', 'retry', 'ticket')),
  clone_id      INTEGER NOT NULL REFERENCES clones (id),
  race_id       INTEGER REFERENCES economy_pools (race_id),
  tickets       INTEGER CHECK (tickets BETWEEN 1 AND 100),
  capacity_tier TEXT CHECK (capacity_tier IN ('starter', 'builder', 'pro')),
  model_tier    INTEGER CHECK (model_tier BETWEEN 1 AND 3),
  base_capacity TEXT CHECK (base_capacity IN ('starter', 'builder', 'pro')),   -- bought before; what the price rests on
  base_model    INTEGER CHECK (base_model BETWEEN 1 AND 3),
  amount_wei TEXT NOT NULL
    CHECK (amount_wei NOT GLOB '*[^0-9]*' AND (amount_wei = '0' OR amount_wei NOT GLOB '0*')
      AND length(amount_wei) BETWEEN 1 AND 78),
  chain_id      INTEGER NOT NULL CHECK (chain_id > 0),
  contract      TEXT NOT NULL CHECK (length(contract) = 42 AND contract GLOB '0x*' AND contract = lower(contract)),
  resolver      TEXT NOT NULL CHECK (length(resolver) = 42 AND resolver GLOB '0x*' AND resolver = lower(resolver)),
  asset         TEXT NOT NULL CHECK (length(asset) = 42 AND asset GLOB '0x*' AND asset = lower(asset)),
  quoted_at     INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL CHECK (expires_at > quoted_at),
  state         TEXT NOT NULL CHECK (state IN
    ('quoted', 'pending', 'confirmed', 'granted', 'refund_due', 'refunded', 'rejected', 'expired')),
  reason        TEXT,                            -- code of the last move, or why it is still pending
  moved_at      INTEGER NOT NULL,
  tx_hash       TEXT CHECK (length(tx_hash) = 66 AND tx_hash GLOB '0x*' AND tx_hash = lower(tx_hash)),  -- a hint only
  next_try_at   INTEGER,
  tries         INTEGER NOT NULL CHECK (tries >= 0),
  row_hash      TEXT NOT NULL CHECK (length(row_hash) = 64),
  CHECK (amount_wei <> '0'),
  CHECK ((purpose = 'ticket') = (race_id IS NOT NULL)),
  CHECK ((purpose = 'ticket') = (tickets IS NOT NULL)),
  CHECK ((purpose = 'ticket') = (capacity_tier IS NULL)),
  CHECK ((purpose = 'ticket') = (model_tier IS NULL)),
  CHECK ((base_capacity IS NULL) = (base_model IS NULL)),
  CHECK ((purpose IN ('upgrade', 'retry')) = (base_capacity IS NOT NULL))
) STRICT;
CREATE INDEX purchases_user ON purchases (user_id, id);
CREATE INDEX purchases_clone ON purchases (clone_id, id);
CREATE INDEX purchases_race ON purchases (race_id, id) WHERE race_id IS NOT NULL;
CREATE INDEX purchases_open ON purchases (state, expires_at) WHERE state IN ('quoted', 'pending');
CREATE INDEX purchases_hint ON purchases (tx_hash) WHERE tx_hash IS NOT NULL;

CREATE TRIGGER purchases_fixed_terms BEFORE UPDATE ON purchases
WHEN (old.id, old.nonce, old.user_id, old.wallet, old.purpose, old.clone_id, old.race_id, old.tickets,
      old.capacity_tier, old.model_tier, old.base_capacity, old.base_model, old.amount_wei, old.chain_id, old.contract,
      old.resolver, old.asset, old.quoted_at, old.expires_at)
  IS NOT (new.id, new.nonce, new.user_id, new.wallet, new.purpose, new.clone_id, new.race_id, new.tickets,
      new.capacity_tier, new.model_tier, new.base_capacity, new.base_model, new.amount_wei, new.chain_id, new.contract,
      new.resolver, new.asset, new.quoted_at, new.expires_at)
BEGIN
  SELECT raise(ABORT, 'the terms of a purchase never change');
END;
CREATE TRIGGER purchases_legal_moves BEFORE UPDATE OF state ON purchases
WHEN old.state <> new.state AND NOT (
     (old.state = 'quoted' AND new.state IN ('pending', 'expired'))
  OR (old.state = 'pending' AND new.state IN ('confirmed', 'refund_due', 'rejected', 'expired'))
  OR (old.state = 'confirmed' AND new.state IN ('granted', 'refund_due'))
  OR (old.state = 'expired' AND new.state = 'refund_due')
  OR (old.state = 'refund_due' AND new.state = 'refunded'))
BEGIN
  SELECT raise(ABORT, 'this purchase cannot move to that state');
END;
CREATE TRIGGER purchases_begin BEFORE INSERT ON purchases
WHEN new.state <> 'quoted'
BEGIN
  SELECT raise(ABORT, 'a purchase begins as a quote');
END;
CREATE TRIGGER purchases_never_leave BEFORE DELETE ON purchases
BEGIN
  SELECT raise(ABORT, 'purchases never leave');
END;

-- Every move a purchase made; the first is the quote.
CREATE TABLE purchase_moves (
  purchase_id INTEGER NOT NULL REFERENCES purchases (id),
  seq         INTEGER NOT NULL CHECK (seq >= 1),
  from_state  TEXT CHECK ((from_state IS NULL) = (seq = 1)),
  to_state    TEXT NOT NULL,
  reason      TEXT,
  actor       TEXT NOT NULL,
  moved_at    INTEGER NOT NULL,
  PRIMARY KEY (purchase_id, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER purchase_moves_append_only BEFORE UPDATE ON purchase_moves
BEGIN
  SELECT raise(ABORT, 'purchase_moves is append-only');
END;
CREATE TRIGGER purchase_moves_kept BEFORE DELETE ON purchase_moves
BEGIN
  SELECT raise(ABORT, 'purchase_moves is append-only');
END;

-- One deposit of the chain, whatever it was for: verified, final, and used once. Both keys of 09 §4.4 are for ever.
CREATE TABLE chain_deposits (
  id            INTEGER PRIMARY KEY,
  chain_id      INTEGER NOT NULL CHECK (chain_id > 0),
  contract      TEXT NOT NULL CHECK (length(contract) = 42 AND contract = lower(contract)),
  depositor     TEXT NOT NULL CHECK (length(depositor) = 42 AND depositor = lower(depositor)),
  resolver      TEXT NOT NULL CHECK (length(resolver) = 42 AND resolver = lower(resolver)),
  asset         TEXT NOT NULL CHECK (length(asset) = 42 AND asset = lower(asset)),
  nonce TEXT NOT NULL
    CHECK (nonce NOT GLOB '*[^0-9]*' AND (nonce = '0' OR nonce NOT GLOB '0*')
      AND length(nonce) BETWEEN 1 AND 78),
  amount_wei TEXT NOT NULL
    CHECK (amount_wei NOT GLOB '*[^0-9]*' AND (amount_wei = '0' OR amount_wei NOT GLOB '0*')
      AND length(amount_wei) BETWEEN 1 AND 78),
  tx_hash       TEXT NOT NULL CHECK (length(tx_hash) = 66 AND tx_hash = lower(tx_hash)),
  log_index     INTEGER NOT NULL CHECK (log_index >= 0),
  block_number  INTEGER NOT NULL CHECK (block_number >= 0),
  block_hash    TEXT NOT NULL CHECK (length(block_hash) = 66 AND block_hash = lower(block_hash)),
  block_time    INTEGER NOT NULL,                -- milliseconds
  evidence_hash TEXT NOT NULL CHECK (length(evidence_hash) = 64),
  evidence_key  TEXT NOT NULL,                   -- of the blob in the artifact store
  purchase_id   INTEGER UNIQUE REFERENCES purchases (id),   -- none: refunded by itself
  user_id       INTEGER REFERENCES users (id),              -- of the depositor, where known
  outcome       TEXT NOT NULL CHECK (outcome IN ('granted', 'refund_due', 'stray')),
  code          TEXT,                            -- why it was not granted
  known_at      INTEGER NOT NULL,
  row_hash      TEXT NOT NULL CHECK (length(row_hash) = 64),
  CHECK ((outcome = 'granted') = (code IS NULL)),
  CHECK ((outcome = 'stray') = (purchase_id IS NULL)),
  UNIQUE (chain_id, contract, depositor, resolver, asset, nonce),
  UNIQUE (chain_id, tx_hash, log_index)
) STRICT;
CREATE INDEX chain_deposits_block ON chain_deposits (chain_id, block_number);
CREATE TRIGGER chain_deposits_append_only BEFORE UPDATE ON chain_deposits
BEGIN
  SELECT raise(ABORT, 'chain_deposits is append-only');
END;
CREATE TRIGGER chain_deposits_kept BEFORE DELETE ON chain_deposits
BEGIN
  SELECT raise(ABORT, 'chain_deposits is append-only');
END;

-- Double entry in one hash chain: hash = SHA-256(previous hash + canonical JSON of the group and its lines). A group is
-- of one chain and one asset.
CREATE TABLE wei_ledger_groups (
  seq       INTEGER PRIMARY KEY CHECK (seq >= 1),
  kind      TEXT NOT NULL CHECK (kind IN
    ('deposit', 'grant', 'refund', 'settlement', 'claim', 'withdrawal', 'correction')),
  chain_id  INTEGER NOT NULL,
  asset     TEXT NOT NULL,
  ref_type  TEXT NOT NULL,
  ref_id    INTEGER NOT NULL,
  reverses  INTEGER REFERENCES wei_ledger_groups (seq),
  actor     TEXT NOT NULL,
  reason    TEXT NOT NULL,
  known_at  INTEGER NOT NULL,
  prev_hash TEXT NOT NULL CHECK (length(prev_hash) = 64),
  hash      TEXT NOT NULL CHECK (length(hash) = 64),
  CHECK ((kind = 'correction') = (reverses IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX wei_ledger_groups_reversed_once ON wei_ledger_groups (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX wei_ledger_groups_ref ON wei_ledger_groups (ref_type, ref_id);
CREATE TRIGGER wei_ledger_groups_gapless BEFORE INSERT ON wei_ledger_groups
WHEN new.seq <> coalesce((SELECT max(seq) FROM wei_ledger_groups), 0) + 1
BEGIN
  SELECT raise(ABORT, 'the sequence of ledger groups has no holes');
END;
CREATE TRIGGER wei_ledger_groups_append_only BEFORE UPDATE ON wei_ledger_groups
BEGIN
  SELECT raise(ABORT, 'wei_ledger_groups is append-only');
END;
CREATE TRIGGER wei_ledger_groups_kept BEFORE DELETE ON wei_ledger_groups
BEGIN
  SELECT raise(ABORT, 'wei_ledger_groups is append-only');
END;

CREATE TABLE wei_ledger_lines (
  seq        INTEGER NOT NULL REFERENCES wei_ledger_groups (seq),
  line       INTEGER NOT NULL CHECK (line >= 0),
  account    TEXT NOT NULL,
  side       TEXT NOT NULL CHECK (side IN ('D', 'C')),
  amount_wei TEXT NOT NULL
    CHECK (amount_wei NOT GLOB '*[^0-9]*' AND (amount_wei = '0' OR amount_wei NOT GLOB '0*')
      AND length(amount_wei) BETWEEN 1 AND 78),
  CHECK (amount_wei <> '0'),
  PRIMARY KEY (seq, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX wei_ledger_lines_account ON wei_ledger_lines (account, seq);
CREATE TRIGGER wei_ledger_lines_append_only BEFORE UPDATE ON wei_ledger_lines
BEGIN
  SELECT raise(ABORT, 'wei_ledger_lines is append-only');
END;
CREATE TRIGGER wei_ledger_lines_kept BEFORE DELETE ON wei_ledger_lines
BEGIN
  SELECT raise(ABORT, 'wei_ledger_lines is append-only');
END;

-- What each account holds, and on which side: the sum of its lines, kept so that no write has to read them all.
CREATE TABLE wei_balances (
  account     TEXT NOT NULL,
  chain_id    INTEGER NOT NULL,
  asset       TEXT NOT NULL,
  side        TEXT NOT NULL CHECK (side IN ('D', 'C')),
  balance_wei TEXT NOT NULL
    CHECK (balance_wei NOT GLOB '*[^0-9]*' AND (balance_wei = '0' OR balance_wei NOT GLOB '0*')
      AND length(balance_wei) BETWEEN 1 AND 78),
  seq         INTEGER NOT NULL REFERENCES wei_ledger_groups (seq),   -- of the last group that moved it
  PRIMARY KEY (account, chain_id, asset)
) STRICT, WITHOUT ROWID;

-- The betting pool of a race, and the clones on sale in it.
CREATE TABLE economy_pools (
  race_id     INTEGER PRIMARY KEY,
  price_wei TEXT NOT NULL
    CHECK (price_wei NOT GLOB '*[^0-9]*' AND (price_wei = '0' OR price_wei NOT GLOB '0*')
      AND length(price_wei) BETWEEN 1 AND 78),
  opens_at    INTEGER NOT NULL,
  closes_at   INTEGER NOT NULL CHECK (closes_at > opens_at),
  hidden_from INTEGER NOT NULL,                  -- counts per clone are not shown from here until sales close
  state       TEXT NOT NULL CHECK (state IN ('open', 'closed', 'settled', 'refunded')),
  opened_at   INTEGER NOT NULL,
  closed_at   INTEGER,
  ended_at    INTEGER,
  CHECK (price_wei <> '0'),
  CHECK ((state = 'open') = (closed_at IS NULL)),
  CHECK ((state IN ('settled', 'refunded')) = (ended_at IS NOT NULL))
) STRICT;
CREATE TRIGGER economy_pools_fixed_terms BEFORE UPDATE ON economy_pools
WHEN (old.race_id, old.price_wei, old.opens_at, old.closes_at, old.hidden_from, old.opened_at)
  IS NOT (new.race_id, new.price_wei, new.opens_at, new.closes_at, new.hidden_from, new.opened_at)
BEGIN
  SELECT raise(ABORT, 'the terms of a pool never change');
END;
CREATE TRIGGER economy_pools_legal_moves BEFORE UPDATE OF state ON economy_pools
WHEN NOT ((old.state = 'open' AND new.state = 'closed')
       OR (old.state = 'closed' AND new.state IN ('settled', 'refunded')))
BEGIN
  SELECT raise(ABORT, 'this pool cannot move to that state');
END;
CREATE TRIGGER economy_pools_never_leave BEFORE DELETE ON economy_pools
BEGIN
  SELECT raise(ABORT, 'economy_pools never leave');
END;

CREATE TABLE economy_pool_clones (
  race_id  INTEGER NOT NULL REFERENCES economy_pools (race_id),
  clone_id INTEGER NOT NULL REFERENCES clones (id),
  creator  INTEGER REFERENCES users (id),        -- NULL: a house clone
  left_at  INTEGER,                              -- taken out of the field before launch
  PRIMARY KEY (race_id, clone_id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER economy_pool_clones_only_leave BEFORE UPDATE ON economy_pool_clones
WHEN old.left_at IS NOT NULL OR (old.race_id, old.clone_id, old.creator) IS NOT (new.race_id, new.clone_id, new.creator)
BEGIN
  SELECT raise(ABORT, 'a clone of a pool can only leave, once');
END;
CREATE TRIGGER economy_pool_clones_never_leave BEFORE DELETE ON economy_pool_clones
BEGIN
  SELECT raise(ABORT, 'economy_pool_clones never leave');
END;

CREATE TABLE tickets (
  id          INTEGER PRIMARY KEY,
  race_id     INTEGER NOT NULL,
  ticket_no   INTEGER NOT NULL CHECK (ticket_no >= 1),
  purchase_id INTEGER NOT NULL REFERENCES purchases (id),
  ordinal     INTEGER NOT NULL CHECK (ordinal >= 1),        -- of the purchase's tickets
  clone_id    INTEGER NOT NULL,
  user_id     INTEGER NOT NULL REFERENCES users (id),
  wallet      TEXT NOT NULL,
  block_time  INTEGER NOT NULL,                  -- of the deposit, milliseconds
  granted_at  INTEGER NOT NULL,
  row_hash    TEXT NOT NULL CHECK (length(row_hash) = 64),
  FOREIGN KEY (race_id, clone_id) REFERENCES economy_pool_clones (race_id, clone_id),
  UNIQUE (race_id, ticket_no),
  UNIQUE (purchase_id, ordinal)
) STRICT;
CREATE INDEX tickets_clone ON tickets (race_id, clone_id);
CREATE INDEX tickets_user ON tickets (user_id, id);
CREATE TRIGGER tickets_append_only BEFORE UPDATE ON tickets
BEGIN
  SELECT raise(ABORT, 'tickets is append-only');
END;
CREATE TRIGGER tickets_kept BEFORE DELETE ON tickets
BEGIN
  SELECT raise(ABORT, 'tickets is append-only');
END;

-- One audition that was paid for; used once, given back never.
CREATE TABLE audition_credits (
  purchase_id INTEGER PRIMARY KEY REFERENCES purchases (id),
  clone_id    INTEGER NOT NULL REFERENCES clones (id),
  granted_at  INTEGER NOT NULL,
  used_by     INTEGER UNIQUE,                    -- audition
  used_at     INTEGER,
  CHECK ((used_by IS NULL) = (used_at IS NULL))
) STRICT;
CREATE INDEX audition_credits_unused ON audition_credits (clone_id, purchase_id) WHERE used_by IS NULL;
CREATE TRIGGER audition_credits_used_once BEFORE UPDATE ON audition_credits
WHEN old.used_by IS NOT NULL
  OR (old.purchase_id, old.clone_id, old.granted_at) IS NOT (new.purchase_id, new.clone_id, new.granted_at)
BEGIN
  SELECT raise(ABORT, 'an audition credit is used once');
END;
CREATE TRIGGER audition_credits_never_leave BEFORE DELETE ON audition_credits
BEGIN
  SELECT raise(ABORT, 'audition_credits never leave');
END;

CREATE TABLE settlements (
  race_id      INTEGER PRIMARY KEY REFERENCES economy_pools (race_id),
  rule_set     INTEGER NOT NULL,
  is_cancelled INTEGER NOT NULL CHECK (is_cancelled IN (0, 1)),
  outcome      TEXT NOT NULL CHECK (outcome IN ('settled', 'refunded')),
  inputs       TEXT NOT NULL,                    -- canonical JSON: order of finish, tickets, price, shares, weights
  inputs_hash  TEXT NOT NULL CHECK (length(inputs_hash) = 64),
  pool_wei TEXT NOT NULL
    CHECK (pool_wei NOT GLOB '*[^0-9]*' AND (pool_wei = '0' OR pool_wei NOT GLOB '0*')
      AND length(pool_wei) BETWEEN 1 AND 78),
  rake_wei TEXT NOT NULL
    CHECK (rake_wei NOT GLOB '*[^0-9]*' AND (rake_wei = '0' OR rake_wei NOT GLOB '0*')
      AND length(rake_wei) BETWEEN 1 AND 78),
  dust_wei TEXT NOT NULL
    CHECK (dust_wei NOT GLOB '*[^0-9]*' AND (dust_wei = '0' OR dust_wei NOT GLOB '0*')
      AND length(dust_wei) BETWEEN 1 AND 78),
  result_hash  TEXT NOT NULL CHECK (length(result_hash) = 64),
  settled_at   INTEGER NOT NULL,
  row_hash     TEXT NOT NULL CHECK (length(row_hash) = 64)
) STRICT;
CREATE TRIGGER settlements_append_only BEFORE UPDATE ON settlements
BEGIN
  SELECT raise(ABORT, 'settlements is append-only');
END;
CREATE TRIGGER settlements_kept BEFORE DELETE ON settlements
BEGIN
  SELECT raise(ABORT, 'settlements is append-only');
END;

CREATE TABLE rakes (
  race_id    INTEGER PRIMARY KEY REFERENCES settlements (race_id),
  amount_wei TEXT NOT NULL
    CHECK (amount_wei NOT GLOB '*[^0-9]*' AND (amount_wei = '0' OR amount_wei NOT GLOB '0*')
      AND length(amount_wei) BETWEEN 1 AND 78),
  dust_wei TEXT NOT NULL
    CHECK (dust_wei NOT GLOB '*[^0-9]*' AND (dust_wei = '0' OR dust_wei NOT GLOB '0*')
      AND length(dust_wei) BETWEEN 1 AND 78),
  booked_at  INTEGER NOT NULL,
  row_hash   TEXT NOT NULL CHECK (length(row_hash) = 64)
) STRICT;
CREATE TRIGGER rakes_append_only BEFORE UPDATE ON rakes
BEGIN
  SELECT raise(ABORT, 'rakes is append-only');
END;
CREATE TRIGGER rakes_kept BEFORE DELETE ON rakes
BEGIN
  SELECT raise(ABORT, 'rakes is append-only');
END;

-- What is owed to somebody, until the chain shows that it was taken.
CREATE TABLE payables (
  id          INTEGER PRIMARY KEY,
  kind        TEXT NOT NULL CHECK (kind IN ('payout', 'royalty', 'refund')),
  race_id     INTEGER REFERENCES settlements (race_id),
  ticket_id   INTEGER REFERENCES tickets (id),
  clone_id    INTEGER REFERENCES clones (id),
  purchase_id INTEGER REFERENCES purchases (id),
  deposit_id  INTEGER REFERENCES chain_deposits (id),       -- one that belongs to no purchase
  user_id     INTEGER REFERENCES users (id),
  recipient   TEXT NOT NULL CHECK (length(recipient) = 42 AND recipient GLOB '0x*' AND recipient = lower(recipient)),
  account     TEXT NOT NULL,                     -- of the ledger, that holds it
  chain_id    INTEGER NOT NULL,
  asset       TEXT NOT NULL,
  amount_wei TEXT NOT NULL
    CHECK (amount_wei NOT GLOB '*[^0-9]*' AND (amount_wei = '0' OR amount_wei NOT GLOB '0*')
      AND length(amount_wei) BETWEEN 1 AND 78),
  reason      TEXT NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('claimable', 'authorised', 'claimed')),
  created_at  INTEGER NOT NULL,
  authorised_at INTEGER,
  claimed_at  INTEGER,
  row_hash    TEXT NOT NULL CHECK (length(row_hash) = 64),
  CHECK (amount_wei <> '0'),
  CHECK (kind <> 'payout' OR (race_id IS NOT NULL AND ticket_id IS NOT NULL AND deposit_id IS NULL)),
  CHECK (kind <> 'royalty' OR (race_id IS NOT NULL AND clone_id IS NOT NULL
    AND ticket_id IS NULL AND purchase_id IS NULL AND deposit_id IS NULL)),
  CHECK (kind <> 'refund' OR (ticket_id IS NOT NULL) + (deposit_id IS NOT NULL)
    + (purchase_id IS NOT NULL AND ticket_id IS NULL) = 1),
  CHECK ((state = 'claimable') = (authorised_at IS NULL)),
  CHECK ((state = 'claimed') = (claimed_at IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX payables_payout ON payables (race_id, ticket_id) WHERE kind = 'payout';
CREATE UNIQUE INDEX payables_royalty ON payables (race_id, clone_id) WHERE kind = 'royalty';
CREATE UNIQUE INDEX payables_refund ON payables (purchase_id) WHERE kind = 'refund' AND ticket_id IS NULL;
CREATE UNIQUE INDEX payables_ticket_refund ON payables (race_id, ticket_id)
WHERE kind = 'refund' AND ticket_id IS NOT NULL;
CREATE UNIQUE INDEX payables_deposit_refund ON payables (deposit_id) WHERE deposit_id IS NOT NULL;
CREATE INDEX payables_user ON payables (user_id, id);
CREATE INDEX payables_open ON payables (state, id) WHERE state <> 'claimed';

CREATE TRIGGER payables_fixed_terms BEFORE UPDATE ON payables
WHEN (old.id, old.kind, old.race_id, old.ticket_id, old.clone_id, old.purchase_id, old.deposit_id, old.user_id,
      old.recipient, old.account, old.chain_id, old.asset, old.amount_wei, old.reason, old.created_at)
  IS NOT (new.id, new.kind, new.race_id, new.ticket_id, new.clone_id, new.purchase_id, new.deposit_id, new.user_id,
      new.recipient, new.account, new.chain_id, new.asset, new.amount_wei, new.reason, new.created_at)
BEGIN
  SELECT raise(ABORT, 'the terms of a payable never change');
END;
CREATE TRIGGER payables_legal_moves BEFORE UPDATE OF state ON payables
WHEN old.state <> new.state AND NOT (
     (old.state = 'claimable' AND new.state = 'authorised')
  OR (old.state = 'authorised' AND new.state = 'claimed'))
BEGIN
  SELECT raise(ABORT, 'this payable cannot move to that state');
END;
CREATE TRIGGER payables_begin BEFORE INSERT ON payables
WHEN new.state <> 'claimable'
BEGIN
  SELECT raise(ABORT, 'a payable begins claimable');
END;
CREATE TRIGGER payables_never_leave BEFORE DELETE ON payables
BEGIN
  SELECT raise(ABORT, 'payables never leave');
END;

-- How far the final blocks reach that the watcher of the chain has looked through.
CREATE TABLE economy_watch (
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  watched_ms INTEGER NOT NULL,                   -- time of the newest of them
  at         INTEGER NOT NULL
) STRICT;
