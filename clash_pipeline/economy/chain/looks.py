"""Second looks: an hour and a day after a deposit was recorded, and at once when a final block was replaced (M10).

What counts is the vault's own state at a final block. A deposit that is gone freezes what it gave; the other backers of
its race are not touched.
"""

from functools import partial
from typing import Literal

from clash_pipeline.clock import HOUR_MS
from clash_pipeline.economy import freezing, incidents
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain import progress
from clash_pipeline.economy.chain.confirming import Parts
from clash_pipeline.economy.chain.endpoints import Circle, asked
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Row

REPLACED = "final_block_replaced"
LOOKED = point("chain.looked")
LOOKS: dict[str, int] = {"hour": HOUR_MS, "day": 24 * HOUR_MS}
AT_ONCE = 200
Seen = Literal["there", "gone"]


def due(parts: Parts, around: Circle, now_ms: int) -> list[int]:
    """Look at what is due; the deposits that were frozen by it."""
    gone = []
    for look, after_ms in LOOKS.items():
        with parts.clash.read() as connection:
            rows = connection.execute(
                """
                SELECT d.* FROM chain_deposits d
                WHERE d.chain_id = ? AND d.contract = ? AND d.known_at <= ?
                  AND NOT EXISTS (SELECT 1 FROM chain_looks l WHERE l.deposit_id = d.id AND l.look = ?)
                ORDER BY d.id LIMIT ?
                """,
                (parts.chain.vault.chain_id, parts.chain.vault.address, now_ms - after_ms, look, AT_ONCE),
            ).fetchall()
        gone += [row["id"] for row in rows if _look(parts, around, row, look, now_ms)]
    return gone


def after_a_reorganisation(parts: Parts, around: Circle, now_ms: int) -> list[int]:
    """Where the block that was read last is no longer there, look at the newest deposits and read again from before."""
    with parts.clash.read() as connection:
        known = progress.get(connection, parts.chain.vault)
    if known is None or known[0] > around.head.number:
        return []
    number, name = known
    blocks = [asked(parts.clash, each, partial(each.block, number), now_ms) for each in around.endpoints]
    if any(block is None or block.hash == name for block in blocks):
        return []
    with parts.clash.write() as connection:
        detail = f"block {number} was final as {name} and is another now"
        incidents.raise_incident(connection, REPLACED, str(number), detail, now_ms=now_ms)
    gone = _look_at_the_newest(parts, around, now_ms)
    back = max(number - parts.chain.log_blocks, parts.chain.first_block)
    block = asked(parts.clash, around.endpoints[0], partial(around.endpoints[0].block, back), now_ms)
    if block is not None:
        with parts.clash.write() as connection:
            progress.put(connection, parts.chain.vault, block, now_ms=now_ms)
    return gone


def amounts(parts: Parts, around: Circle, content: bytes, now_ms: int) -> list[int]:
    """What each endpoint that answers says of a view of the vault, at the newest block final to all."""
    address, at = parts.chain.vault.address, around.head.hash
    found = [asked(parts.clash, each, partial(each.word, address, content, at), now_ms) for each in around.endpoints]
    return [amount for amount in found if amount is not None]


def _look_at_the_newest(parts: Parts, around: Circle, now_ms: int) -> list[int]:
    with parts.clash.read() as connection:
        rows = connection.execute(
            "SELECT * FROM chain_deposits WHERE chain_id = ? AND contract = ? AND known_at > ? ORDER BY id",
            (parts.chain.vault.chain_id, parts.chain.vault.address, now_ms - LOOKS["day"]),
        ).fetchall()
    gone = [row for row in rows if _seen(parts, around, row, now_ms) == "gone"]
    frozen = []
    for row in gone:
        with parts.clash.write() as connection:
            if freezing.freeze(connection, row["id"], row["purchase_id"], "its block was replaced", now_ms=now_ms):
                frozen.append(row["id"])
    return frozen


def _look(parts: Parts, around: Circle, row: Row, look: str, now_ms: int) -> bool:
    """Write down what is seen, if anything is; whether the deposit was found gone, for the first time."""
    seen = _seen(parts, around, row, now_ms)
    if seen is None:
        return False
    with parts.clash.write() as connection:
        connection.execute(
            "INSERT INTO chain_looks (deposit_id, look, outcome, looked_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (deposit_id, look) DO NOTHING",
            (row["id"], look, seen, now_ms),
        )
        fault(LOOKED)
        if seen == "there":
            return False
        return freezing.freeze(connection, row["id"], row["purchase_id"], "gone from the chain", now_ms=now_ms)


def _seen(parts: Parts, around: Circle, row: Row, now_ms: int) -> Seen | None:
    """There, or gone, as every endpoint says; None where one is silent or they differ."""
    content = words.get_deposit(row["depositor"], row["asset"], row["resolver"], int(row["nonce"]))
    found = amounts(parts, around, content, now_ms)
    if len(found) < len(around.endpoints):
        return None
    if set(found) == {int(row["amount_wei"])}:
        return "there"
    return "gone" if set(found) == {0} else None
