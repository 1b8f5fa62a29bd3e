"""The ledger of one account: immutable groups of signed lines in one hash chain (09 §4.3, I8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from clash_pipeline import canonical
from clash_pipeline.storage.sqlite import Connection

GroupKind = Literal["state", "fill", "funding", "liquidation", "correction"]


class Line(NamedTuple):
    """One effect on the balance, in 1e-8 USD."""

    kind: str
    symbol: str
    amount: int


class Entry(NamedTuple):
    """What a group says, apart from its lines; `ref_hash` seals the rows that it books."""

    kind: GroupKind
    ref_type: str
    ref_id: int
    actor: str
    reason: str
    ref_hash: str = canonical.ZERO_HASH


@dataclass(frozen=True)
class Head:
    """The newest group of an account's chain."""

    seq: int
    hash: str


EMPTY = Head(0, canonical.ZERO_HASH)


def next_hash(previous: str, account_id: int, seq: int, entry: Entry, known_at: int, lines: Sequence[Line]) -> str:
    """The hash of a group: SHA-256 of the previous hash and the group's canonical JSON."""
    content = {"account_id": account_id, "seq": seq, **entry._asdict(), "known_at": known_at}
    return canonical.link(previous, content | {"lines": [list(line) for line in lines]})


def seal(connection: Connection, fill_id: int) -> str:
    """The digest of a fill with its order and its action, every column of them."""
    rows = (
        connection.execute("SELECT * FROM prop_fills WHERE id = ?", (fill_id,)),
        connection.execute(
            "SELECT o.* FROM prop_orders o JOIN prop_fills f ON f.order_id = o.id WHERE f.id = ?", (fill_id,)
        ),
        connection.execute(
            """
            SELECT a.* FROM prop_decision_actions a JOIN prop_orders o ON o.action_id = a.id
            JOIN prop_fills f ON f.order_id = o.id WHERE f.id = ?
            """,
            (fill_id,),
        ),
    )
    return canonical.digest([[dict(row) for row in found] for found in rows])


def append(
    connection: Connection, account_id: int, head: Head, entry: Entry, lines: Sequence[Line], *, now_ms: int
) -> Head:
    """Write one group after `head`; the caller stores the new head on the account in the same transaction."""
    seq = head.seq + 1
    following = Head(seq, next_hash(head.hash, account_id, seq, entry, now_ms, lines))
    connection.execute(
        """
        INSERT INTO prop_ledger_groups
          (account_id, seq, kind, ref_type, ref_id, actor, reason, ref_hash, known_at, prev_hash, hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (account_id, seq, *entry, now_ms, head.hash, following.hash),
    )
    connection.executemany(
        "INSERT INTO prop_ledger (account_id, seq, line, kind, symbol, amount) VALUES (?, ?, ?, ?, ?, ?)",
        [(account_id, seq, number, *line) for number, line in enumerate(lines)],
    )
    return following
