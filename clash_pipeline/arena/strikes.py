"""Strikes: races that were settled without a ticket of somebody else on a clone (11, 18).

A settled race is counted once. In this order: a sale clears the strikes that stand; a clone that was on sale for the
whole window and sold nothing takes one, provided anybody bought a ticket of the race; and while somebody could take its
slot, the slot with the least demand takes one more.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from clash_pipeline.arena import entry, requests, slots
from clash_pipeline.arena.slots import Occupant
from clash_pipeline.economy import pools
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, one

RACES_OF_DEMAND = 12
"""The least demand is that of a clone's last so many settled races."""
ARENA = "arena"
AFTER_DEMAND = point("arena.strikes.after_demand")
AFTER_CLEARED = point("arena.strikes.after_cleared")
AFTER_STRUCK = point("arena.strikes.after_struck")


class Sold(NamedTuple):
    """Tickets of a race on one clone; `by_others` leaves out those of its owner."""

    clone_id: int
    tickets: int
    by_others: int
    was_on_sale: bool = True


class Strike(NamedTuple):
    """One strike that stands or was cleared."""

    clone_id: int
    race_id: int
    kind: str
    at: int
    cleared_at: int | None
    cleared_by: int | None


def record(connection: Connection, race_id: int, now_ms: int, *, limit: int) -> list[Strike]:
    """Count a settled race once, by the demand of its pool and the queue as it stands; returns its strikes.

    Raises:
        EconomyUnknown: the race has no pool.
    """
    stayed = {clone.clone_id for clone in pools.field(connection, race_id, with_left=False)}
    sold = [
        Sold(clone_id, found.tickets, found.foreign, clone_id in stayed)
        for clone_id, found in pools.demand(connection, race_id).items()
    ]
    return count(connection, race_id, sold, limit=limit, is_queued=entry.is_wanted(connection, now_ms), now_ms=now_ms)


def count(
    connection: Connection, race_id: int, sold: Sequence[Sold], *, limit: int, is_queued: bool, now_ms: int
) -> list[Strike]:
    """The same by what was sold.

    `is_queued` says whether somebody could take a slot. Who then has `limit` strikes is asked to retire. A race that
    was counted before changes nothing.
    """
    if one(connection, "SELECT 1 FROM clone_demand WHERE race_id = ?", (race_id,)) is not None:
        return of_race(connection, race_id)
    _write_demand(connection, race_id, sold, now_ms)
    fault(AFTER_DEMAND)
    for each in sold:
        if each.by_others:
            clear(connection, each.clone_id, race_id, now_ms=now_ms)
    fault(AFTER_CLEARED)
    if any(each.tickets for each in sold):
        for each in sold:
            if each.was_on_sale and not each.by_others:
                _strike(connection, each.clone_id, race_id, "unsold", now_ms)
    if is_queued and (least := _least_demanded(connection, {each.clone_id for each in sold})) is not None:
        _strike(connection, least, race_id, "least_demand", now_ms)
    fault(AFTER_STRUCK)
    given = of_race(connection, race_id)
    for clone_id in sorted({strike.clone_id for strike in given}):
        if (standing := len(of(connection, clone_id))) >= limit and slots.of(connection, clone_id):
            reason = f"{standing} strikes in a row, {limit} retire a clone"
            requests.ask(connection, clone_id, actor=ARENA, reason=reason, now_ms=now_ms)
    return given


def clear(connection: Connection, clone_id: int, race_id: int, *, now_ms: int) -> int:
    """Clear every strike that stands, by the race of a sale; 0 as the race is an admin's act. Returns how many."""
    changed = connection.execute(
        "UPDATE clone_strikes SET cleared_at = ?, cleared_by = ? WHERE clone_id = ? AND cleared_at IS NULL",
        (now_ms, race_id, clone_id),
    )
    return changed.rowcount


def of(connection: Connection, clone_id: int) -> list[Strike]:
    """The strikes that stand, oldest first."""
    rows = connection.execute(
        """
        SELECT clone_id, race_id, kind, at, cleared_at, cleared_by FROM clone_strikes
        WHERE clone_id = ? AND cleared_at IS NULL ORDER BY race_id, kind
        """,
        (clone_id,),
    )
    return [Strike(*row) for row in rows]


def of_race(connection: Connection, race_id: int) -> list[Strike]:
    """The strikes that a race gave."""
    rows = connection.execute(
        """
        SELECT clone_id, race_id, kind, at, cleared_at, cleared_by FROM clone_strikes
        WHERE race_id = ? ORDER BY clone_id, kind
        """,
        (race_id,),
    )
    return [Strike(*row) for row in rows]


def demand(connection: Connection, clone_id: int, *, since: int = 0) -> int:
    """Tickets of others over a clone's last twelve settled races, those settled before `since` left out."""
    return int(
        one(
            connection,
            """
            SELECT coalesce(sum(by_others), 0) FROM (
              SELECT by_others FROM clone_demand WHERE clone_id = ? AND settled_at >= ? ORDER BY race_id DESC LIMIT ?
            )
            """,
            (clone_id, since, RACES_OF_DEMAND),
        )
    )


def _least_demanded(connection: Connection, raced: set[int]) -> int | None:
    """Of the clones that were on sale and still have a slot, the one least wanted; of equals the longest there."""
    here = {occupant.clone_id: occupant for occupant in slots.occupants(connection) if occupant.clone_id in raced}
    wanted = {clone_id: demand(connection, clone_id, since=here[clone_id].entered_at) for clone_id in here}
    return min(here, key=lambda clone_id: _in_order(here, wanted, clone_id), default=None)


def _in_order(here: Mapping[int, Occupant], wanted: Mapping[int, int], clone_id: int) -> tuple[int, int, int]:
    return wanted[clone_id], here[clone_id].entered_at, clone_id


def _write_demand(connection: Connection, race_id: int, sold: Sequence[Sold], now_ms: int) -> None:
    connection.executemany(
        """
        INSERT INTO clone_demand (race_id, clone_id, tickets, by_others, was_on_sale, settled_at)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        [
            (race_id, each.clone_id, each.tickets, each.by_others, int(each.was_on_sale), now_ms)
            for each in sorted(sold)
        ],
    )


def _strike(connection: Connection, clone_id: int, race_id: int, kind: str, now_ms: int) -> None:
    connection.execute(
        "INSERT INTO clone_strikes (clone_id, race_id, kind, at) VALUES (?, ?, ?, ?)", (clone_id, race_id, kind, now_ms)
    )
