"""What left the vault for us: each withdrawal once, with the payable whose authorisation it used (09 §4.8)."""

from clash_pipeline.economy import incidents, payables
from clash_pipeline.economy.chain.contract import Event, Vault
from clash_pipeline.economy.chain.rpc import Block, Log
from clash_pipeline.economy.sealing import sealed
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row, one

UNKNOWN = "unknown_withdrawal"
KEPT = point("chain.withdrawal_kept")


def record(connection: Connection, vault: Vault, log: Log, event: Event, block: Block, *, now_ms: int) -> bool:
    """Keep a final withdrawal and end its payable; False when it is known.

    One that was never authorised, or of another amount or recipient, is kept without a payable and raised.
    """
    payable = _payable(connection, event)
    seen = {
        "chain_id": vault.chain_id, "contract": vault.address, "resolver": event.resolver, "asset": event.asset,
        "contract_nonce": str(event.nonce), "recipient": event.party, "amount_wei": str(event.amount_wei),
        "tx_hash": log.tx_hash, "log_index": log.log_index,
        "block_number": block.number, "block_hash": block.hash, "block_time": block.time_ms,
    }  # fmt: skip
    number = 1 + int(one(connection, "SELECT coalesce(max(id), 0) FROM chain_withdrawals"))
    made = connection.execute(
        """
        INSERT INTO chain_withdrawals
          (id, chain_id, contract, resolver, asset, contract_nonce, recipient, amount_wei, tx_hash, log_index,
           block_number, block_hash, block_time, payable_id, known_at, row_hash)
        VALUES (:id, :chain_id, :contract, :resolver, :asset, :contract_nonce, :recipient, :amount_wei, :tx_hash,
                :log_index, :block_number, :block_hash, :block_time, :payable_id, :known_at, :row_hash)
        ON CONFLICT DO NOTHING
        """,
        sealed({"id": number, **seen, "payable_id": None if payable is None else payable["id"], "known_at": now_ms}),
    )
    if not made.rowcount:
        return False
    fault(KEPT)
    if payable is None:
        detail = f"{event.amount_wei} wei left the vault for {event.party} with a nonce of no authorisation"
        incidents.raise_incident(connection, UNKNOWN, log.tx_hash, detail, now_ms=now_ms)
        return True
    if payable["state"] == "claimable":
        payables.authorise(connection, payable["id"], actor="watcher", now_ms=now_ms)
    payables.claim(connection, payable["id"], reason=log.tx_hash, now_ms=now_ms)
    return True


def _payable(connection: Connection, event: Event) -> Row | None:
    """The payable that was authorised with this nonce, for exactly this."""
    row: Row | None = connection.execute(
        """
        SELECT p.id, p.state FROM payout_nonces n JOIN payables p ON p.id = n.payable_id
        WHERE n.contract_nonce = ? AND p.recipient = ? AND p.amount_wei = ? AND p.asset = ?
        """,
        (str(event.nonce), event.party, str(event.amount_wei), event.asset),
    ).fetchone()
    return row
