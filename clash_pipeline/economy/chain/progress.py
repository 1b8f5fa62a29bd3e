"""How far the watcher has read: the newest final block whose events are all known, on every endpoint alike."""

from clash_pipeline.economy import pools
from clash_pipeline.economy.chain.contract import Vault
from clash_pipeline.economy.chain.rpc import Block
from clash_pipeline.storage.sqlite import Connection


def get(connection: Connection, vault: Vault) -> tuple[int, str] | None:
    """Number and hash of that block; None before the first."""
    row = connection.execute(
        "SELECT number, hash FROM chain_watch WHERE chain_id = ? AND contract = ? AND resolver = ?",
        (vault.chain_id, vault.address, vault.resolver),
    ).fetchone()
    return None if row is None else (row["number"], row["hash"])


def put(connection: Connection, vault: Vault, block: Block, *, now_ms: int) -> None:
    """Note that everything up to a block is known; it goes back only where the chain itself did."""
    connection.execute(
        """
        INSERT INTO chain_watch (chain_id, contract, resolver, number, hash, block_time, seen_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (chain_id, contract, resolver) DO UPDATE SET number = excluded.number, hash = excluded.hash,
          block_time = excluded.block_time, seen_at = excluded.seen_at
        """,
        (vault.chain_id, vault.address, vault.resolver, block.number, block.hash, block.time_ms, now_ms),
    )
    pools.watched(connection, block.time_ms, now_ms=now_ms)
