"""The betting pool of a race: what is on sale, until when, and how much demand there is (05 Races, 11 rules 11 to 15).

The arena opens a pool when sales open, takes a clone out of it before launch, and closes it at launch; what is granted
later is refunded. Times are milliseconds, amounts wei.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown
from clash_pipeline.economy.sealing import resealed, sealed
from clash_pipeline.economy.settlement import CREATOR_BP, RAKE_BP, WEIGHTS, WHOLE_BP, places_of
from clash_pipeline.storage.sqlite import Connection, Row, one
from clash_pipeline.units import Rounding, mul_div

WATCH_GRACE_MS = 600_000
"""How long after the close a pool waits for a watcher that never saw a deposit."""


@dataclass(frozen=True)
class PoolClone:
    """A clone on sale and the user who gets its royalties; None: a house clone."""

    clone_id: int
    creator: int | None


@dataclass(frozen=True)
class Pool:
    """A pool as stored; `state` is open, closed, settled or refunded."""

    race_id: int
    price_wei: int
    opens_at: int
    closes_at: int
    hidden_from: int
    state: str

    def hides_counts(self, now_ms: int) -> bool:
        """Whether tickets per clone are kept back: the last minutes of sales."""
        return self.hidden_from <= now_ms < self.closes_at


@dataclass(frozen=True)
class Demand:
    """Tickets on a clone; `foreign` are those of users other than its owner."""

    tickets: int
    foreign: int


# life


def open_pool(
    connection: Connection,
    race_id: int,
    clones: Sequence[PoolClone],
    *,
    price_wei: int,
    opens_at: int,
    closes_at: int,
    hidden_from: int,
    now_ms: int,
) -> bool:
    """Put a field on sale; False when the same pool stands already.

    Raises:
        EconomyConflict: a pool of this race stands with other terms or another field.
    """
    terms = {"price_wei": str(price_wei), "opens_at": opens_at, "closes_at": closes_at, "hidden_from": hidden_from}
    known = _found(connection, race_id)
    if known is not None:
        has_its_terms = all(known[name] == value for name, value in terms.items())
        if not has_its_terms or field(connection, race_id) != sorted(clones, key=lambda clone: clone.clone_id):
            raise EconomyConflict(f"the pool of race {race_id} stands with other terms or another field")
        return False
    times = {"opened_at": now_ms, "closed_at": None, "ended_at": None}
    connection.execute(
        """
        INSERT INTO economy_pools
          (race_id, price_wei, opens_at, closes_at, hidden_from, state, opened_at, closed_at, ended_at, row_hash)
        VALUES (:race_id, :price_wei, :opens_at, :closes_at, :hidden_from, :state, :opened_at, :closed_at, :ended_at,
                :row_hash)
        """,
        sealed({"race_id": race_id, **terms, "state": "open", **times}),
    )
    connection.executemany(
        """
        INSERT INTO economy_pool_clones (race_id, clone_id, creator, left_at, row_hash)
        VALUES (:race_id, :clone_id, :creator, :left_at, :row_hash)
        """,
        [sealed({"race_id": race_id, **vars(clone), "left_at": None}) for clone in clones],
    )
    return True


def leave(connection: Connection, race_id: int, clone_id: int, *, now_ms: int) -> bool:
    """Take a clone out of the field before launch; False when it left before.

    No ticket on it is granted any more; those that were are refunded at settlement, outside the pool.

    Raises:
        EconomyUnknown: no such pool, or the clone is not in its field.
        EconomyConflict: the race was launched.
    """
    pool = get(connection, race_id)
    row = connection.execute(
        "SELECT * FROM economy_pool_clones WHERE race_id = ? AND clone_id = ?", (race_id, clone_id)
    ).fetchone()
    if row is None:
        raise EconomyUnknown(f"clone {clone_id} is not in the field of race {race_id}")
    if row["left_at"] is not None:
        return False
    if pool.state != "open":
        raise EconomyConflict(f"the pool of race {race_id} is {pool.state}: a clone leaves before launch only")
    connection.execute(
        """
        UPDATE economy_pool_clones SET left_at = :left_at, row_hash = :row_hash
        WHERE race_id = :race_id AND clone_id = :clone_id
        """,
        resealed(dict(row), {"left_at": now_ms}),
    )
    return True


def close_pool(connection: Connection, race_id: int, *, now_ms: int) -> None:
    """Close a pool at launch, once; a deposit that is found later is refunded.

    Raises:
        EconomyUnknown: no such pool.
    """
    row = _row(connection, race_id)
    if row["state"] == "open":
        _store(connection, row, {"state": "closed", "closed_at": now_ms})


def end(connection: Connection, race_id: int, outcome: str, *, now_ms: int) -> None:
    """Note that a closed pool is settled or refunded; only its settlement does this.

    Raises:
        EconomyUnknown: no such pool.
        EconomyConflict: it is not closed.
    """
    row = _row(connection, race_id)
    if row["state"] != "closed":
        raise EconomyConflict(f"the pool of race {race_id} is not closed")
    _store(connection, row, {"state": outcome, "ended_at": now_ms})


# what stands


def get(connection: Connection, race_id: int) -> Pool:
    """The pool of a race.

    Raises:
        EconomyUnknown: it has none.
    """
    row = _row(connection, race_id)
    return Pool(race_id, int(row["price_wei"]), row["opens_at"], row["closes_at"], row["hidden_from"], row["state"])


def field(connection: Connection, race_id: int, *, with_left: bool = True) -> list[PoolClone]:
    """The clones of a pool by id, with or without those that left."""
    rows = connection.execute(
        """
        SELECT clone_id, creator FROM economy_pool_clones
        WHERE race_id = ? AND (left_at IS NULL OR ?) ORDER BY clone_id
        """,
        (race_id, with_left),
    )
    return [PoolClone(*row) for row in rows]


def demand(connection: Connection, race_id: int, *, before_ms: int | None = None) -> dict[int, Demand]:
    """Tickets by clone, of every clone of the field; `before_ms` counts deposits of earlier blocks only."""
    rows = connection.execute(
        """
        SELECT c.clone_id, count(t.id) AS tickets, count(iif(t.user_id IS NOT c.creator, t.id, NULL)) AS others
        FROM economy_pool_clones c LEFT JOIN tickets t
          ON t.race_id = c.race_id AND t.clone_id = c.clone_id AND (? IS NULL OR t.block_time < ?)
        WHERE c.race_id = ? GROUP BY c.clone_id ORDER BY c.clone_id
        """,
        (before_ms, before_ms, race_id),
    )
    return {row["clone_id"]: Demand(row["tickets"], row["others"]) for row in rows}


def multiples(
    connection: Connection, race_id: int, clone_id: int, *, count: int = 1, now_ms: int | None = None
) -> tuple[int | None, ...]:
    """What each of `count` further tickets on a clone would get for 1st, 2nd and 3rd place, in wei; None: unpaid.

    The other paying places are taken to have the average number of tickets of the other clones. With a time, counts
    that are hidden then stay as they stood when the hiding began.

    Raises:
        EconomyUnknown: no such pool, or the clone is not in its field.
    """
    pool = get(connection, race_id)
    before = pool.hidden_from if now_ms is not None and pool.hides_counts(now_ms) else None
    running = {clone.clone_id for clone in field(connection, race_id, with_left=False)}
    if clone_id not in running:
        raise EconomyUnknown(f"clone {clone_id} is not in the field of race {race_id}")
    sold = {key: value.tickets for key, value in demand(connection, race_id, before_ms=before).items()}
    own = sold[clone_id] + count
    return projected(pool.price_wei, own, sum(sold[other] for other in running - {clone_id}), len(running))


def projected(price_wei: int, own: int, others: int, starters: int) -> tuple[int | None, ...]:
    """Payout of a ticket by place, with `own` tickets on its clone and `others` on the rest of the field."""
    taken = (own + others) * price_wei
    pool = taken - sum(mul_div(taken, share, WHOLE_BP, Rounding.FLOOR) for share in (RAKE_BP, CREATOR_BP))
    paying = WEIGHTS[: places_of(starters)]
    rivals = starters - 1
    paid = [
        mul_div(pool, weight * rivals, weight * own * rivals + (sum(paying) - weight) * others, Rounding.FLOOR)
        for weight in paying
    ]
    return (*paid, *(None for _ in WEIGHTS[len(paid) :]))


# the watcher


def watched(connection: Connection, watched_ms: int, *, now_ms: int) -> None:
    """Note that every deposit of final blocks up to a block time is known; it never goes back."""
    connection.execute(
        """
        INSERT INTO economy_watch (id, watched_ms, at) VALUES (1, ?, ?)
        ON CONFLICT (id) DO UPDATE SET watched_ms = max(watched_ms, excluded.watched_ms), at = excluded.at
        """,
        (watched_ms, now_ms),
    )


def watched_ms(connection: Connection) -> int | None:
    """The block time up to which every deposit is known; None when nobody watches a chain."""
    found: int | None = one(connection, "SELECT watched_ms FROM economy_watch")
    return found


def is_watched(connection: Connection, race_id: int, *, now_ms: int, grace_ms: int = WATCH_GRACE_MS) -> bool:
    """Whether every ticket of a pool is known: the watcher is past the close, or there was never anything to watch.

    Raises:
        EconomyUnknown: no such pool.
    """
    pool, seen = get(connection, race_id), watched_ms(connection)
    if seen is not None and seen > pool.closes_at:
        return True
    never = seen is None or one(connection, "SELECT 1 FROM chain_deposits LIMIT 1") is None
    return never and now_ms >= pool.closes_at + grace_ms


# inside


def _found(connection: Connection, race_id: int) -> Row | None:
    row: Row | None = connection.execute("SELECT * FROM economy_pools WHERE race_id = ?", (race_id,)).fetchone()
    return row


def _row(connection: Connection, race_id: int) -> Row:
    row = _found(connection, race_id)
    if row is None:
        raise EconomyUnknown(f"race {race_id} has no pool")
    return row


def _store(connection: Connection, row: Row, changes: dict[str, Any]) -> None:
    """Write what may change, sealed again."""
    connection.execute(
        """
        UPDATE economy_pools SET state = :state, closed_at = :closed_at, ended_at = :ended_at, row_hash = :row_hash
        WHERE race_id = :race_id
        """,
        resealed(dict(row), changes),
    )
