-- Pools, their clones, audition credits and what the chain and purchases did carry a seal too. What stands is sealed as
-- it stands: the digest of its other columns, by name. A row that is written without its seal keeps the default, which
-- seals nothing.
ALTER TABLE economy_pools ADD COLUMN row_hash TEXT NOT NULL
  DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(row_hash) = 64);
UPDATE economy_pools SET row_hash = digest(json_object(
  'closed_at', closed_at, 'closes_at', closes_at, 'ended_at', ended_at, 'hidden_from', hidden_from,
  'opened_at', opened_at, 'opens_at', opens_at, 'price_wei', price_wei, 'race_id', race_id, 'state', state));

ALTER TABLE economy_pool_clones ADD COLUMN row_hash TEXT NOT NULL
  DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(row_hash) = 64);
DROP TRIGGER economy_pool_clones_only_leave;
UPDATE economy_pool_clones SET row_hash = digest(json_object(
  'clone_id', clone_id, 'creator', creator, 'left_at', left_at, 'race_id', race_id));
CREATE TRIGGER economy_pool_clones_only_leave BEFORE UPDATE ON economy_pool_clones
WHEN old.left_at IS NOT NULL OR (old.race_id, old.clone_id, old.creator) IS NOT (new.race_id, new.clone_id, new.creator)
BEGIN
  SELECT raise(ABORT, 'a clone of a pool can only leave, once');
END;

ALTER TABLE audition_credits ADD COLUMN row_hash TEXT NOT NULL
  DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(row_hash) = 64);
DROP TRIGGER audition_credits_used_once;
UPDATE audition_credits SET row_hash = digest(json_object(
  'clone_id', clone_id, 'granted_at', granted_at, 'purchase_id', purchase_id, 'used_at', used_at,
  'used_by', used_by));
CREATE TRIGGER audition_credits_used_once BEFORE UPDATE ON audition_credits
WHEN old.used_by IS NOT NULL
  OR (old.purchase_id, old.clone_id, old.granted_at) IS NOT (new.purchase_id, new.clone_id, new.granted_at)
BEGIN
  SELECT raise(ABORT, 'an audition credit is used once');
END;

ALTER TABLE purchase_moves ADD COLUMN row_hash TEXT NOT NULL
  DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(row_hash) = 64);
DROP TRIGGER purchase_moves_append_only;
UPDATE purchase_moves SET row_hash = digest(json_object(
  'actor', actor, 'from_state', from_state, 'moved_at', moved_at, 'purchase_id', purchase_id, 'reason', reason,
  'seq', seq, 'to_state', to_state));
CREATE TRIGGER purchase_moves_append_only BEFORE UPDATE ON purchase_moves
BEGIN
  SELECT raise(ABORT, 'purchase_moves is append-only');
END;

ALTER TABLE frozen_deposits ADD COLUMN row_hash TEXT NOT NULL
  DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(row_hash) = 64);
DROP TRIGGER frozen_deposits_append_only;
UPDATE frozen_deposits SET row_hash = digest(json_object(
  'deposit_id', deposit_id, 'frozen_at', frozen_at, 'purchase_id', purchase_id, 'reason', reason));
CREATE TRIGGER frozen_deposits_append_only BEFORE UPDATE ON frozen_deposits
BEGIN
  SELECT raise(ABORT, 'frozen_deposits is append-only');
END;

ALTER TABLE chain_withdrawals ADD COLUMN row_hash TEXT NOT NULL
  DEFAULT '0000000000000000000000000000000000000000000000000000000000000000' CHECK (length(row_hash) = 64);
DROP TRIGGER chain_withdrawals_append_only;
UPDATE chain_withdrawals SET row_hash = digest(json_object(
  'amount_wei', amount_wei, 'asset', asset, 'block_hash', block_hash, 'block_number', block_number,
  'block_time', block_time, 'chain_id', chain_id, 'contract', contract, 'contract_nonce', contract_nonce, 'id', id,
  'known_at', known_at, 'log_index', log_index, 'payable_id', payable_id, 'recipient', recipient,
  'resolver', resolver, 'tx_hash', tx_hash));
CREATE TRIGGER chain_withdrawals_append_only BEFORE UPDATE ON chain_withdrawals
BEGIN
  SELECT raise(ABORT, 'chain_withdrawals is append-only');
END;
