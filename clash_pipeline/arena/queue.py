"""The promotion queue: first in, first out by the time of passing; a place waits, is admitted, expires or is left.

Rows only; who is admitted, and what a closed gate means, is `entry`. Every function works inside the caller's
transaction.
"""

from dataclasses import dataclass
from typing import Literal

from clash_pipeline.arena.admission import Blocked
from clash_pipeline.storage.sqlite import Connection, Row


@dataclass(frozen=True)
class Place:
    """One place. `blocked` says which gate fails since when, `head_since` since when it is passed over as the head."""

    id: int
    audition_id: int
    clone_id: int
    passed_at: int
    state: str
    blocked: Blocked | None
    blocked_at: int | None
    head_since: int | None
    ended_at: int | None
    reason: str | None


def join(connection: Connection, audition_id: int, clone_id: int, *, now_ms: int) -> None:
    """Put a clone that has just passed at the end."""
    connection.execute(
        "INSERT INTO promotion_queue (audition_id, clone_id, passed_at, state) VALUES (?, ?, ?, 'waiting')",
        (audition_id, clone_id, now_ms),
    )


def waiting(connection: Connection) -> list[Place]:
    """Everybody who waits, in the order of admission."""
    rows = connection.execute("SELECT * FROM promotion_queue WHERE state = 'waiting' ORDER BY passed_at, id")
    return [_place(row) for row in rows]


def of(connection: Connection, clone_id: int) -> Place | None:
    """The place at which a clone waits, if any."""
    row = connection.execute(
        "SELECT * FROM promotion_queue WHERE clone_id = ? AND state = 'waiting'", (clone_id,)
    ).fetchone()
    return None if row is None else _place(row)


def by_audition(connection: Connection, audition_id: int) -> Place | None:
    """The place that a passed audition gave; None where it gave none."""
    row = connection.execute("SELECT * FROM promotion_queue WHERE audition_id = ?", (audition_id,)).fetchone()
    return None if row is None else _place(row)


def every(connection: Connection, *, limit: int = 100) -> list[Place]:
    """The newest places, ended ones too, newest first."""
    rows = connection.execute("SELECT * FROM promotion_queue ORDER BY id DESC LIMIT ?", (limit,))
    return [_place(row) for row in rows]


def end(
    connection: Connection, place: Place, state: Literal["admitted", "expired", "left"], reason: str, *, now_ms: int
) -> bool:
    """End a place that waits; False when it ended before."""
    changed = connection.execute(
        "UPDATE promotion_queue SET state = ?, reason = ?, ended_at = ? WHERE id = ? AND state = 'waiting'",
        (state, reason, now_ms, place.id),
    )
    return changed.rowcount == 1


def note(
    connection: Connection, place: Place, blocked: Blocked | None, *, blocked_at: int | None, head_since: int | None
) -> bool:
    """Write down what a place waits for; False when the row says so already."""
    if (place.blocked, place.blocked_at, place.head_since) == (blocked, blocked_at, head_since):
        return False
    code, sentence = blocked or (None, None)
    changed = connection.execute(
        """
        UPDATE promotion_queue SET blocked_code = ?, blocked = ?, blocked_at = ?, head_since = ?
        WHERE id = ? AND state = 'waiting'
        """,
        (code, sentence, blocked_at, head_since, place.id),
    )
    return changed.rowcount == 1


def _place(row: Row) -> Place:
    blocked = None if row["blocked_code"] is None else Blocked(row["blocked_code"], row["blocked"])
    return Place(
        row["id"], row["audition_id"], row["clone_id"], row["passed_at"], row["state"], blocked, row["blocked_at"],
        row["head_since"], row["ended_at"], row["reason"],
    )  # fmt: skip
