"""The ledger of real money: double-entry groups in wei, in one hash chain (09 §4.3; I1, I2, I8).

A group is of one chain and one asset. Groups never change; a mistake is corrected by a group that reverses it.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from clash_pipeline import canonical
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown, LedgerBroken
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row

Side = Literal["D", "C"]
Kind = Literal["deposit", "grant", "refund", "settlement", "claim", "withdrawal", "correction"]

VAULT = "chain:vault"
FEES = "platform:fees"
RAKE = "platform:rake"
SUSPENSE = "suspense"
"""The only account that may stand on its wrong side, and then an operator is told."""

GROUP_WRITTEN = point("economy.group_written")


class Line(NamedTuple):
    """One side of a movement, in wei."""

    account: str
    side: Side
    amount: int


class Entry(NamedTuple):
    """What a group says, apart from its lines."""

    kind: Kind
    chain_id: int
    asset: str
    ref_type: str
    ref_id: int
    actor: str
    reason: str
    reverses: int | None = None


class Head(NamedTuple):
    """The newest group of the chain."""

    seq: int
    hash: str


def held(purchase_id: int) -> str:
    """What was paid for a purchase and not yet granted or refunded."""
    return f"purchase:{purchase_id}:held"


def claimable(user_id: int | None, wallet: str) -> str:
    """What a user may take; of somebody who never signed in, what the wallet may."""
    return f"wallet:{wallet}:claimable" if user_id is None else f"user:{user_id}:claimable"


def pool(race_id: int) -> str:
    """The betting pool of a race."""
    return f"race:{race_id}:pool"


def royalty(user_id: int) -> str:
    """The royalties of a creator that were not yet taken."""
    return f"creator:{user_id}:royalty"


def normal_side(account: str) -> Side:
    """The side on which an account grows: only the vault is an asset."""
    return "D" if account == VAULT else "C"


def wei_sum(amounts: Iterable[str]) -> int:
    """The sum of stored amounts; SQL never adds them up (09 §4.1.2)."""
    return sum(int(amount) for amount in amounts)


# writing


def post(connection: Connection, entry: Entry, lines: Sequence[Line], *, now_ms: int) -> int:
    """Write one group at the end of the chain and move the balances; returns its number.

    Raises:
        LedgerBroken: fewer than two lines, an amount that is not positive, debits other than credits (I1), or an
            account below zero on its normal side (I2).
    """
    _refuse_unbalanced(entry, lines)
    before = head(connection)
    seq = before.seq + 1
    connection.execute(
        """
        INSERT INTO wei_ledger_groups
          (seq, kind, chain_id, asset, ref_type, ref_id, actor, reason, reverses, known_at, prev_hash, hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (seq, *entry, now_ms, before.hash, next_hash(before.hash, seq, entry, now_ms, lines)),
    )
    connection.executemany(
        "INSERT INTO wei_ledger_lines (seq, line, account, side, amount_wei) VALUES (?, ?, ?, ?, ?)",
        [(seq, number, line.account, line.side, str(line.amount)) for number, line in enumerate(lines)],
    )
    _move_balances(connection, entry, seq, lines)
    fault(GROUP_WRITTEN)
    return seq


def move(connection: Connection, entry: Entry, debit: str, credit: str, amount: int, *, now_ms: int) -> int:
    """The plainest group: an amount from one account to another."""
    return post(connection, entry, (Line(debit, "D", amount), Line(credit, "C", amount)), now_ms=now_ms)


def reverse(connection: Connection, seq: int, *, actor: str, reason: str, now_ms: int) -> int:
    """Undo a group by its mirror image, once; returns the number of the mirror.

    Raises:
        EconomyUnknown: no such group.
        EconomyConflict: it was reversed before.
        LedgerBroken: what it brought is no longer there.
    """
    row = connection.execute("SELECT * FROM wei_ledger_groups WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        raise EconomyUnknown(f"there is no ledger group {seq}")
    if connection.execute("SELECT 1 FROM wei_ledger_groups WHERE reverses = ?", (seq,)).fetchone() is not None:
        raise EconomyConflict(f"ledger group {seq} was reversed before")
    entry = Entry("correction", row["chain_id"], row["asset"], row["ref_type"], row["ref_id"], actor, reason, seq)
    mirrored = [Line(line.account, "C" if line.side == "D" else "D", line.amount) for line in lines_of(connection, seq)]
    return post(connection, entry, mirrored, now_ms=now_ms)


def next_hash(previous: str, seq: int, entry: Entry, known_at: int, lines: Sequence[Line]) -> str:
    """The hash of a group: SHA-256 of the previous hash and the group's canonical JSON; amounts as text."""
    content = {"seq": seq, **entry._asdict(), "known_at": known_at}
    return canonical.link(previous, content | {"lines": [[*line[:2], str(line.amount)] for line in lines]})


# reading


def head(connection: Connection) -> Head:
    """Where the chain ends."""
    row = connection.execute("SELECT seq, hash FROM wei_ledger_groups ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(0, canonical.ZERO_HASH) if row is None else Head(*row)


def lines_of(connection: Connection, seq: int) -> list[Line]:
    """The lines of a group in their order."""
    rows = connection.execute(
        "SELECT account, side, amount_wei FROM wei_ledger_lines WHERE seq = ? ORDER BY line", (seq,)
    )
    return [Line(row["account"], row["side"], int(row["amount_wei"])) for row in rows]


def balance(connection: Connection, account: str, chain_id: int, asset: str) -> int:
    """What an account holds on its normal side; below zero only where `suspense` is."""
    row = _balance_row(connection, account, chain_id, asset)
    if row is None:
        return 0
    found = int(row["balance_wei"])
    return found if row["side"] == normal_side(account) else -found


# inside


def _refuse_unbalanced(entry: Entry, lines: Sequence[Line]) -> None:
    what = f"the {entry.kind} of {entry.ref_type} {entry.ref_id}"
    if len(lines) < 2:
        raise LedgerBroken(f"{what} has {len(lines)} lines, at least 2 are needed")
    for line in lines:
        if line.amount <= 0:
            raise LedgerBroken(f"{what} moves {line.amount} wei on {line.account}, amounts are positive")
    debits = sum(line.amount for line in lines if line.side == "D")
    credits_ = sum(line.amount for line in lines if line.side == "C")
    if debits != credits_:
        raise LedgerBroken(f"{what} debits {debits} wei and credits {credits_}")


def _move_balances(connection: Connection, entry: Entry, seq: int, lines: Sequence[Line]) -> None:
    changes: dict[str, int] = {}
    for line in lines:
        signed = line.amount if line.side == normal_side(line.account) else -line.amount
        changes[line.account] = changes.get(line.account, 0) + signed
    for account, change in changes.items():
        after = balance(connection, account, entry.chain_id, entry.asset) + change
        if after < 0 and account != SUSPENSE:
            raise LedgerBroken(f"{account} would stand at {after} wei after the {entry.kind} of {entry.ref_type}")
        side = "D" if after < 0 else normal_side(account)  # below zero is suspense alone, whose own side is C
        connection.execute(
            """
            INSERT INTO wei_balances (account, chain_id, asset, side, balance_wei, seq) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (account, chain_id, asset)
            DO UPDATE SET side = excluded.side, balance_wei = excluded.balance_wei, seq = excluded.seq
            """,
            (account, entry.chain_id, entry.asset, side, str(abs(after)), seq),
        )


def _balance_row(connection: Connection, account: str, chain_id: int, asset: str) -> Row | None:
    found: Row | None = connection.execute(
        "SELECT side, balance_wei FROM wei_balances WHERE account = ? AND chain_id = ? AND asset = ?",
        (account, chain_id, asset),
    ).fetchone()
    return found
