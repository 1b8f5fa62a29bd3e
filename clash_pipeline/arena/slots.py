"""Slots: which clone occupies which, since when, and how each occupancy ended. Rows only; who may enter is `entry`.

Every function works inside the caller's transaction.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection

AFTER_LEFT = point("arena.slots.after_left")


class Occupant(NamedTuple):
    """A clone in a slot."""

    slot_no: int
    clone_id: int
    entered_at: int


@dataclass(frozen=True)
class Occupancy:
    """One stay of a clone in a slot, ended or not; `queue_id` is None for a house clone."""

    id: int
    slot_no: int
    clone_id: int
    queue_id: int | None
    entered_at: int
    entered_by: str
    left_at: int | None
    left_by: str | None
    reason: str | None


def occupants(connection: Connection) -> list[Occupant]:
    """Who occupies a slot now, by slot number."""
    rows = connection.execute(
        "SELECT slot_no, clone_id, entered_at FROM arena_slots WHERE left_at IS NULL ORDER BY slot_no"
    )
    return [Occupant(*row) for row in rows]


def of(connection: Connection, clone_id: int) -> Occupant | None:
    """The slot of a clone; None without one."""
    row = connection.execute(
        "SELECT slot_no, clone_id, entered_at FROM arena_slots WHERE clone_id = ? AND left_at IS NULL", (clone_id,)
    ).fetchone()
    return None if row is None else Occupant(*row)


def free(taken: Collection[Occupant], capacity: int) -> list[int]:
    """The numbers that nobody occupies, lowest first; none while as many clones as that are in slots."""
    numbers = {occupant.slot_no for occupant in taken}
    open_numbers = [number for number in range(1, capacity + 1) if number not in numbers]
    return open_numbers[: max(capacity - len(numbers), 0)]


def enter(
    connection: Connection, clone_id: int, slot_no: int, *, actor: str, now_ms: int, queue_id: int | None = None
) -> Occupant:
    """Put a clone into a free slot; the indexes refuse a slot that is taken and a clone that has one."""
    connection.execute(
        "INSERT INTO arena_slots (slot_no, clone_id, queue_id, entered_at, entered_by) VALUES (?, ?, ?, ?, ?)",
        (slot_no, clone_id, queue_id, now_ms, actor),
    )
    return Occupant(slot_no, clone_id, now_ms)


def leave(connection: Connection, clone_id: int, reason: str, now_ms: int, *, actor: str = "arena") -> bool:
    """Free the slot of a clone; False when it has none."""
    changed = connection.execute(
        """
        UPDATE arena_slots SET left_at = max(:now, entered_at), left_by = :actor, reason = :reason
        WHERE clone_id = :clone AND left_at IS NULL
        """,
        {"now": now_ms, "actor": actor, "reason": reason, "clone": clone_id},
    )
    fault(AFTER_LEFT)
    return changed.rowcount == 1


def history(connection: Connection, clone_id: int) -> list[Occupancy]:
    """Every stay of a clone, oldest first."""
    rows = connection.execute(
        """
        SELECT id, slot_no, clone_id, queue_id, entered_at, entered_by, left_at, left_by, reason
        FROM arena_slots WHERE clone_id = ? ORDER BY id
        """,
        (clone_id,),
    )
    return [Occupancy(*row) for row in rows]
