"""What left the vault for us: each withdrawal once, with the payable whose authorisation it used (09 §4.8)."""

from clash_pipeline.economy import incidents, payables
from clash_pipeline.economy.chain.contract import Event, Vault
from clash_pipeline.economy.chain.rpc import Block, Log
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row

UNKNOWN = "unknown_withdrawal"
KEPT = point("chain.withdrawal_kept")


def record(connection: Connection, vault: Vault, log: Log, event: Event, block: Block, *, now_ms: int) -> bool:
    """Keep a final withdrawal and end its payable; False when it is known.

    One that was never authorised, or of another amount or recipient, is kept without a payable and raised.
    """
    payable = _payable(connection, event)
    made = connection.execute(
        """
        INSERT INTO chain_withdrawals
          (chain_id, contract, resolver, asset, contract_nonce, recipient, amount_wei, tx_hash, log_index, block_number,
           block_hash, block_time, payable_id, known_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
        """,
        (
            vault.chain_id, vault.address, event.resolver, event.asset, str(event.nonce), event.party,
            str(event.amount_wei), log.tx_hash, log.log_index, block.number, block.hash, block.time_ms,
            None if payable is None else payable["id"], now_ms,
        ),
    )  # fmt: skip
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
