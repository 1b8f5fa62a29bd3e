"""Purchases and their moves (09 §4.5): every arrow, guarded by the state it starts from, written down, and sealed.

A purchase begins as a quote whose terms never change. Only `economy.deposits` grants one or makes it refundable; the
rest of the moves are here. Times are milliseconds, amounts wei.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from clash_pipeline.clock import SECOND_MS
from clash_pipeline.economy.refusals import DepositUsed, EconomyConflict, EconomyUnknown, QuoteInvalid
from clash_pipeline.economy.sealing import SEAL, resealed, sealed
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row, one

State = Literal["quoted", "pending", "confirmed", "granted", "refund_due", "refunded", "rejected", "expired"]
Purpose = Literal["audition", "upgrade", "retry", "ticket"]

ARROWS: dict[str, frozenset[str]] = {
    "quoted": frozenset({"pending", "expired"}),
    "pending": frozenset({"confirmed", "refund_due", "rejected", "expired"}),
    "confirmed": frozenset({"granted", "refund_due"}),
    "expired": frozenset({"refund_due"}),
    "refund_due": frozenset({"refunded"}),
    "granted": frozenset(),
    "refunded": frozenset(),
    "rejected": frozenset(),
}
TERMINAL = frozenset({"granted", "refunded", "rejected", "expired"})
"""`expired` may still become refundable when its deposit is found."""

GRACE_MS = 120_000
PENDING_MS = 86_400_000
FIRST_TRY_MS = 2 * SECOND_MS
LONGEST_TRY_MS = 60 * SECOND_MS
WATCHER = "watcher"

PURCHASE_MOVED = point("economy.purchase_moved")
_TX_HASH = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Purchase:
    """A purchase as stored; `base_…` is what was bought before, on which the price of an upgrade or retry rests."""

    id: int
    nonce: int
    user_id: int
    wallet: str
    purpose: str
    clone_id: int
    race_id: int | None
    tickets: int | None
    capacity_tier: str | None
    model_tier: int | None
    base_capacity: str | None
    base_model: int | None
    amount_wei: int
    chain_id: int
    contract: str
    resolver: str
    asset: str
    quoted_at: int
    expires_at: int
    state: str
    reason: str | None
    moved_at: int
    tx_hash: str | None
    next_try_at: int | None
    tries: int


@dataclass(frozen=True)
class Move:
    """One move of a purchase; the first comes from nowhere."""

    seq: int
    from_state: str | None
    to_state: str
    reason: str | None
    actor: str
    moved_at: int


class HintInvalid(QuoteInvalid):
    """Not the hash of a transaction."""

    code = "tx_hash_invalid"


# reading


def get(connection: Connection, purchase_id: int) -> Purchase:
    """A purchase by its id.

    Raises:
        EconomyUnknown: there is none.
    """
    return _purchase(_row(connection, purchase_id))


def owned(connection: Connection, purchase_id: int, user_id: int) -> Purchase:
    """A purchase of one user.

    Raises:
        EconomyUnknown: absent, or somebody else's: the same answer.
    """
    found = get(connection, purchase_id)
    if found.user_id != user_id:
        raise EconomyUnknown(f"there is no purchase {purchase_id}")
    return found


def of_nonce(connection: Connection, nonce: int) -> Purchase | None:
    """The purchase that a deposit's nonce was made for."""
    row = connection.execute("SELECT * FROM purchases WHERE nonce = ?", (str(nonce),)).fetchone()
    return None if row is None else _purchase(row)


def every(
    connection: Connection,
    *,
    user_id: int | None = None,
    state: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Purchase]:
    """Purchases, newest first; of one user, in one state, older than an id."""
    rows = connection.execute(
        """
        SELECT * FROM purchases WHERE (:user IS NULL OR user_id = :user) AND (:state IS NULL OR state = :state)
          AND (:before IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
        """,
        {"user": user_id, "state": state, "before": before_id, "limit": limit},
    )
    return [_purchase(row) for row in rows]


def due(connection: Connection, *, now_ms: int, limit: int = 100) -> list[Purchase]:
    """Purchases whose hint is to be looked up now, those that wait longest first."""
    rows = connection.execute(
        """
        SELECT * FROM purchases WHERE state IN ('pending', 'expired') AND tx_hash IS NOT NULL AND next_try_at <= ?
        ORDER BY next_try_at, id LIMIT ?
        """,
        (now_ms, limit),
    )
    return [_purchase(row) for row in rows]


def moves(connection: Connection, purchase_id: int) -> list[Move]:
    """Every move of a purchase, oldest first."""
    rows = connection.execute(
        """
        SELECT seq, from_state, to_state, reason, actor, moved_at FROM purchase_moves
        WHERE purchase_id = ? ORDER BY seq
        """,
        (purchase_id,),
    )
    return [Move(*row) for row in rows]


# moving


def begin(connection: Connection, terms: dict[str, Any], *, actor: str, now_ms: int) -> Purchase:
    """Store a quote and its first move; `terms` are the columns that never change, the id left out."""
    purchase_id = 1 + int(one(connection, "SELECT coalesce(max(id), 0) FROM purchases"))
    state = {"state": "quoted", "reason": None, "moved_at": now_ms, "tx_hash": None, "next_try_at": None, "tries": 0}
    connection.execute(
        """
        INSERT INTO purchases
          (id, nonce, user_id, wallet, purpose, clone_id, race_id, tickets, capacity_tier, model_tier, base_capacity,
           base_model, amount_wei, chain_id, contract, resolver, asset, quoted_at, expires_at, state, reason, moved_at,
           tx_hash, next_try_at, tries, row_hash)
        VALUES
          (:id, :nonce, :user_id, :wallet, :purpose, :clone_id, :race_id, :tickets, :capacity_tier, :model_tier,
           :base_capacity, :base_model, :amount_wei, :chain_id, :contract, :resolver, :asset, :quoted_at, :expires_at,
           :state, :reason, :moved_at, :tx_hash, :next_try_at, :tries, :row_hash)
        """,
        sealed({"id": purchase_id, **terms, **state}),
    )
    _write_move(connection, purchase_id, None, "quoted", None, actor, now_ms)
    return get(connection, purchase_id)


def move(
    connection: Connection, purchase_id: int, to: State, *, reason: str | None, actor: str, now_ms: int
) -> Purchase:
    """Take one arrow.

    Raises:
        EconomyUnknown: no such purchase.
        EconomyConflict: no arrow leads there from the state it is in.
    """
    row = _row(connection, purchase_id)
    if to not in ARROWS[row["state"]]:
        raise EconomyConflict(f"purchase {purchase_id} is {row['state']}: it cannot become {to}")
    later = now_ms if to == "pending" else None
    _store(connection, row, {"state": to, "reason": reason, "moved_at": now_ms, "next_try_at": later})
    _write_move(connection, purchase_id, row["state"], to, reason, actor, now_ms)
    fault(PURCHASE_MOVED)
    return get(connection, purchase_id)


def hint(connection: Connection, purchase_id: int, tx_hash: str, *, now_ms: int) -> Purchase:
    """Note in which transaction the payer says the deposit is; proof of nothing, it is where to look first.

    A quote becomes pending by it. The same hint again, or the hash of the deposit that was used for this purchase,
    changes nothing.

    Raises:
        HintInvalid: not `0x` and 64 hexadecimal digits.
        DepositUsed: the deposits of that transaction were used for other purchases.
        EconomyConflict: the purchase is decided, and not by that transaction.
    """
    chosen = tx_hash.lower() if isinstance(tx_hash, str) else ""
    if _TX_HASH.fullmatch(chosen) is None:
        raise HintInvalid("txHash must be 0x and 64 hexadecimal digits")
    row = _row(connection, purchase_id)
    is_paid_by_it = _refuse_used(connection, row, chosen)
    if is_paid_by_it or (row["tx_hash"] == chosen and row["state"] != "rejected"):
        return _purchase(row)
    if row["state"] not in {"quoted", "pending", "expired"}:
        raise EconomyConflict(f"purchase {purchase_id} is {row['state']}: another transaction changes nothing")
    _store(connection, row, {"tx_hash": chosen, "next_try_at": now_ms, "tries": 0})
    if row["state"] == "quoted":
        move(connection, purchase_id, "pending", reason="hinted", actor=f"user:{row['user_id']}", now_ms=now_ms)
    return get(connection, purchase_id)


def see(connection: Connection, purchase_id: int, tx_hash: str, *, now_ms: int) -> Purchase:
    """The watcher saw the deposit in a block that is not final: a quote becomes pending."""
    row = _row(connection, purchase_id)
    if row["state"] != "quoted":
        return _purchase(row)
    _store(connection, row, {"tx_hash": tx_hash})
    return move(connection, purchase_id, "pending", reason="not_final", actor=WATCHER, now_ms=now_ms)


def put_off(connection: Connection, purchase_id: int, reason: str, *, now_ms: int) -> Purchase:
    """Stay as it is, with the reason, and look again after 2 s, doubling to 60 s (09 §4.6).

    Raises:
        EconomyConflict: the purchase is neither pending nor expired.
    """
    row = _row(connection, purchase_id)
    if row["state"] not in {"pending", "expired"}:
        raise EconomyConflict(f"purchase {purchase_id} is {row['state']}: nothing is awaited")
    wait = min(FIRST_TRY_MS << min(row["tries"], 10), LONGEST_TRY_MS)
    _store(connection, row, {"reason": reason, "next_try_at": now_ms + wait, "tries": row["tries"] + 1})
    return get(connection, purchase_id)


def reject(connection: Connection, purchase_id: int, code: str, *, actor: str = WATCHER, now_ms: int) -> Purchase:
    """Refuse a pending purchase whose own hint proved to be no deposit of ours; nothing was ever paid to us."""
    return move(connection, purchase_id, "rejected", reason=code, actor=actor, now_ms=now_ms)


def give_up(connection: Connection, purchase_id: int, reason: str) -> Purchase:
    """Look up the hint of an expired purchase no more; another hint begins again.

    Raises:
        EconomyConflict: the purchase is not expired.
    """
    row = _row(connection, purchase_id)
    if row["state"] != "expired":
        raise EconomyConflict(f"purchase {purchase_id} is {row['state']}: it is not given up")
    _store(connection, row, {"reason": reason, "next_try_at": None})
    return get(connection, purchase_id)


def ending(
    connection: Connection,
    *,
    now_ms: int,
    watched_ms: int | None = None,
    grace_ms: int = GRACE_MS,
    pending_ms: int = PENDING_MS,
) -> list[Purchase]:
    """What `expire` would end now."""
    through = now_ms if watched_ms is None else min(now_ms, watched_ms)
    rows = connection.execute(
        """
        SELECT * FROM purchases
        WHERE (state = 'quoted' AND expires_at + ? < ?) OR (state = 'pending' AND quoted_at + ? <= ?) ORDER BY id
        """,
        (grace_ms, through, pending_ms, now_ms),
    )
    return [_purchase(row) for row in rows]


def expire(
    connection: Connection,
    *,
    now_ms: int,
    watched_ms: int | None = None,
    grace_ms: int = GRACE_MS,
    pending_ms: int = PENDING_MS,
) -> list[int]:
    """End quotes that nobody paid in time, and purchases whose deposit nobody found in a day; returns their ids.

    A quote waits until the watcher, where there is one, has passed its end: what was paid in time is granted however
    late we hear of it.
    """
    found = ending(connection, now_ms=now_ms, watched_ms=watched_ms, grace_ms=grace_ms, pending_ms=pending_ms)
    for purchase in found:
        why = "not_paid" if purchase.state == "quoted" else "not_found"
        move(connection, purchase.id, "expired", reason=why, actor=WATCHER, now_ms=now_ms)
    return [purchase.id for purchase in found]


# inside


def _refuse_used(connection: Connection, row: Row, tx_hash: str) -> bool:
    """Whether the transaction holds the deposit of this purchase; a wallet may pay for several things in one."""
    known = connection.execute(
        "SELECT purchase_id, nonce FROM chain_deposits WHERE chain_id = ? AND tx_hash = ?", (row["chain_id"], tx_hash)
    ).fetchall()
    is_ours = any(deposit["purchase_id"] == row["id"] for deposit in known)
    if known and not is_ours and all(deposit["nonce"] != row["nonce"] for deposit in known):
        raise DepositUsed(f"the deposit of {tx_hash[:12]}… was used for something else")
    return is_ours


def _row(connection: Connection, purchase_id: int) -> Row:
    row: Row | None = connection.execute("SELECT * FROM purchases WHERE id = ?", (purchase_id,)).fetchone()
    if row is None:
        raise EconomyUnknown(f"there is no purchase {purchase_id}")
    return row


def _store(connection: Connection, row: Row, changes: dict[str, Any]) -> None:
    """Write what may change, sealed again; guarded by the state that was read."""
    changed = connection.execute(
        """
        UPDATE purchases SET state = :state, reason = :reason, moved_at = :moved_at, tx_hash = :tx_hash,
          next_try_at = :next_try_at, tries = :tries, row_hash = :row_hash
        WHERE id = :id AND state = :before
        """,
        {**resealed(dict(row), changes), "before": row["state"]},
    )
    if changed.rowcount != 1:
        raise EconomyConflict(f"purchase {row['id']} is no longer {row['state']}")


def _write_move(
    connection: Connection,
    purchase_id: int,
    before: str | None,
    after: str,
    reason: str | None,
    actor: str,
    now_ms: int,
) -> None:
    seq = 1 + int(one(connection, "SELECT count(*) FROM purchase_moves WHERE purchase_id = ?", (purchase_id,)))
    move = {"purchase_id": purchase_id, "seq": seq, "from_state": before, "to_state": after}
    connection.execute(
        """
        INSERT INTO purchase_moves (purchase_id, seq, from_state, to_state, reason, actor, moved_at, row_hash)
        VALUES (:purchase_id, :seq, :from_state, :to_state, :reason, :actor, :moved_at, :row_hash)
        """,
        sealed({**move, "reason": reason, "actor": actor, "moved_at": now_ms}),
    )


def _purchase(row: Row) -> Purchase:
    values = {name: row[name] for name in row.keys() if name != SEAL}  # noqa: SIM118  # a Row iterates over its values
    return Purchase(**{**values, "nonce": int(row["nonce"]), "amount_wei": int(row["amount_wei"])})
