-- What was seen of the chain, what was allowed to leave it, and what was found to differ.

-- The newest final block that the watcher has read whole, on every endpoint alike.
CREATE TABLE chain_watch (
  chain_id   INTEGER NOT NULL,
  contract   TEXT    NOT NULL,
  resolver   TEXT    NOT NULL,
  number     INTEGER NOT NULL CHECK (number >= 0),
  hash       TEXT    NOT NULL CHECK (length(hash) = 66),
  block_time INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  PRIMARY KEY (chain_id, contract, resolver)
) STRICT, WITHOUT ROWID;

-- Endpoints by their names; one that said something wrong is not asked until it passes its checks.
CREATE TABLE chain_endpoints (
  name        TEXT PRIMARY KEY,
  checked_at  INTEGER NOT NULL,
  disabled_at INTEGER,
  why         TEXT,
  CHECK ((disabled_at IS NULL) = (why IS NULL))
) STRICT, WITHOUT ROWID;

-- Deposits are looked at again an hour and a day after they were granted.
CREATE TABLE chain_looks (
  deposit_id INTEGER NOT NULL REFERENCES chain_deposits (id),
  look       TEXT    NOT NULL CHECK (look IN ('hour', 'day')),
  outcome    TEXT    NOT NULL CHECK (outcome IN ('there', 'gone')),
  looked_at  INTEGER NOT NULL,
  PRIMARY KEY (deposit_id, look)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER chain_looks_append_only BEFORE UPDATE ON chain_looks
BEGIN
  SELECT raise(ABORT, 'chain_looks is append-only');
END;
CREATE TRIGGER chain_looks_kept BEFORE DELETE ON chain_looks
BEGIN
  SELECT raise(ABORT, 'chain_looks is append-only');
END;

-- A deposit that is gone from the chain: what it gave is frozen, and nothing that rests on it is paid out.
CREATE TABLE frozen_deposits (
  deposit_id  INTEGER PRIMARY KEY REFERENCES chain_deposits (id),
  purchase_id INTEGER UNIQUE REFERENCES purchases (id),
  reason      TEXT    NOT NULL,
  frozen_at   INTEGER NOT NULL
) STRICT;
CREATE TRIGGER frozen_deposits_append_only BEFORE UPDATE ON frozen_deposits
BEGIN
  SELECT raise(ABORT, 'frozen_deposits is append-only');
END;
CREATE TRIGGER frozen_deposits_kept BEFORE DELETE ON frozen_deposits
BEGIN
  SELECT raise(ABORT, 'frozen_deposits is append-only');
END;

-- What was bought is never revoked, unless the chain lost the money that was final.
DROP TRIGGER clone_entitlement_revocations_legal;
CREATE TRIGGER clone_entitlement_revocations_legal BEFORE INSERT ON clone_entitlement_revocations
WHEN (SELECT source FROM clone_entitlements WHERE id = new.grant_id) = 'purchase'
  AND NOT EXISTS (SELECT 1 FROM clone_entitlements e JOIN frozen_deposits f ON CAST(f.purchase_id AS TEXT) = e.ref
    WHERE e.id = new.grant_id)
BEGIN
  SELECT raise(ABORT, 'what was bought is never revoked');
END;

-- The contract nonce of a payable, for ever the same, so that of all its authorisations at most one can succeed.
CREATE TABLE payout_nonces (
  payable_id     INTEGER PRIMARY KEY REFERENCES payables (id),
  contract_nonce TEXT    NOT NULL UNIQUE CHECK (contract_nonce NOT GLOB '*[^0-9]*'
    AND (contract_nonce = '0' OR contract_nonce NOT GLOB '0*') AND length(contract_nonce) BETWEEN 1 AND 78),
  UNIQUE (payable_id, contract_nonce)
) STRICT;
CREATE TRIGGER payout_nonces_append_only BEFORE UPDATE ON payout_nonces
BEGIN
  SELECT raise(ABORT, 'payout_nonces is append-only');
END;
CREATE TRIGGER payout_nonces_kept BEFORE DELETE ON payout_nonces
BEGIN
  SELECT raise(ABORT, 'payout_nonces is append-only');
END;

-- What was, or is about to be, signed. A row without a signature counts as open already; the signature is added once.
CREATE TABLE payout_authorisations (
  id             INTEGER PRIMARY KEY,
  payable_id     INTEGER NOT NULL,
  contract_nonce TEXT    NOT NULL,
  recipient      TEXT    NOT NULL CHECK (length(recipient) = 42 AND recipient = lower(recipient)),
  asset          TEXT    NOT NULL CHECK (length(asset) = 42 AND asset = lower(asset)),
  amount_wei     TEXT    NOT NULL CHECK (amount_wei NOT GLOB '*[^0-9]*' AND amount_wei NOT GLOB '0*'
    AND length(amount_wei) BETWEEN 1 AND 78),
  deadline       INTEGER NOT NULL,               -- seconds, as the contract has it
  digest         TEXT    NOT NULL UNIQUE CHECK (length(digest) = 66),
  prepared_at    INTEGER NOT NULL,
  signature      TEXT CHECK (length(signature) = 132),
  signed_at      INTEGER,
  UNIQUE (payable_id, deadline),
  FOREIGN KEY (payable_id, contract_nonce) REFERENCES payout_nonces (payable_id, contract_nonce),
  CHECK ((signature IS NULL) = (signed_at IS NULL))
) STRICT;
CREATE INDEX payout_authorisations_prepared ON payout_authorisations (prepared_at);
CREATE TRIGGER payout_authorisations_signed_once BEFORE UPDATE ON payout_authorisations
WHEN old.signature IS NOT NULL OR new.signature IS NULL OR new.id <> old.id OR new.payable_id <> old.payable_id
  OR new.contract_nonce <> old.contract_nonce OR new.recipient <> old.recipient OR new.asset <> old.asset
  OR new.amount_wei <> old.amount_wei OR new.deadline <> old.deadline OR new.digest <> old.digest
  OR new.prepared_at <> old.prepared_at
BEGIN
  SELECT raise(ABORT, 'an authorisation only gets its signature, once');
END;
CREATE TRIGGER payout_authorisations_kept BEFORE DELETE ON payout_authorisations
BEGIN
  SELECT raise(ABORT, 'payout_authorisations is append-only');
END;

-- What left the vault for us, as both endpoints saw it final; without a payable it is nothing that we know of.
CREATE TABLE chain_withdrawals (
  id             INTEGER PRIMARY KEY,
  chain_id       INTEGER NOT NULL,
  contract       TEXT    NOT NULL,
  resolver       TEXT    NOT NULL,
  asset          TEXT    NOT NULL,
  contract_nonce TEXT    NOT NULL,
  recipient      TEXT    NOT NULL,
  amount_wei     TEXT    NOT NULL CHECK (amount_wei NOT GLOB '*[^0-9]*'
    AND (amount_wei = '0' OR amount_wei NOT GLOB '0*') AND length(amount_wei) BETWEEN 1 AND 78),
  tx_hash        TEXT    NOT NULL CHECK (length(tx_hash) = 66),
  log_index      INTEGER NOT NULL,
  block_number   INTEGER NOT NULL,
  block_hash     TEXT    NOT NULL CHECK (length(block_hash) = 66),
  block_time     INTEGER NOT NULL,
  payable_id     INTEGER UNIQUE REFERENCES payables (id),
  known_at       INTEGER NOT NULL,
  UNIQUE (chain_id, tx_hash, log_index),
  UNIQUE (chain_id, contract, resolver, contract_nonce)
) STRICT;
CREATE TRIGGER chain_withdrawals_append_only BEFORE UPDATE ON chain_withdrawals
BEGIN
  SELECT raise(ABORT, 'chain_withdrawals is append-only');
END;
CREATE TRIGGER chain_withdrawals_kept BEFORE DELETE ON chain_withdrawals
BEGIN
  SELECT raise(ABORT, 'chain_withdrawals is append-only');
END;

-- Whether something is allowed at all; the newest row of a name counts. Without a row it is.
CREATE TABLE economy_switches (
  id        INTEGER PRIMARY KEY,
  name      TEXT    NOT NULL CHECK (name IN ('signing')),
  is_thrown INTEGER NOT NULL CHECK (is_thrown IN (0, 1)),
  actor     TEXT    NOT NULL,
  reason    TEXT    NOT NULL,
  at        INTEGER NOT NULL
) STRICT;
CREATE TRIGGER economy_switches_append_only BEFORE UPDATE ON economy_switches
BEGIN
  SELECT raise(ABORT, 'economy_switches is append-only');
END;
CREATE TRIGGER economy_switches_kept BEFORE DELETE ON economy_switches
BEGIN
  SELECT raise(ABORT, 'economy_switches is append-only');
END;

-- What somebody has to look at. One is open for each kind and thing; a person, or the cause's end, closes it.
CREATE TABLE economy_incidents (
  id        INTEGER PRIMARY KEY,
  kind      TEXT    NOT NULL,
  ref       TEXT    NOT NULL,
  detail    TEXT    NOT NULL,
  raised_at INTEGER NOT NULL,
  closed_at INTEGER,
  closed_by TEXT,
  CHECK ((closed_at IS NULL) = (closed_by IS NULL))
) STRICT;
CREATE UNIQUE INDEX economy_incidents_open ON economy_incidents (kind, ref) WHERE closed_at IS NULL;
CREATE TRIGGER economy_incidents_kept BEFORE DELETE ON economy_incidents
BEGIN
  SELECT raise(ABORT, 'economy_incidents is append-only');
END;

-- Each comparison of the books with each other and with the chain, and what it found.
CREATE TABLE reconciliations (
  id             INTEGER PRIMARY KEY,
  kind           TEXT    NOT NULL CHECK (kind IN ('incremental', 'full')),
  at             INTEGER NOT NULL,
  through_number INTEGER,                        -- of the chain; NULL where it could not be asked
  is_clean       INTEGER NOT NULL CHECK (is_clean IN (0, 1)),
  report         TEXT    NOT NULL,
  report_hash    TEXT    NOT NULL CHECK (length(report_hash) = 64)
) STRICT;
CREATE INDEX reconciliations_kind ON reconciliations (kind, at);
CREATE TRIGGER reconciliations_append_only BEFORE UPDATE ON reconciliations
BEGIN
  SELECT raise(ABORT, 'reconciliations is append-only');
END;
CREATE TRIGGER reconciliations_kept BEFORE DELETE ON reconciliations
BEGIN
  SELECT raise(ABORT, 'reconciliations is append-only');
END;
