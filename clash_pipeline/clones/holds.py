"""Holds: what a clone is in. A running audition freezes its toggles, model, engine and publication (05, 09 §4.12).

A race froze what it needs in its accounts when its sales opened; what the owner publishes or toggles after that is for
the race after the next one (11 rule 11), and only retirement waits. The rows are the clone service's; the arena places
and releases them inside its own transactions. A held clone's draft may always be edited.
"""

from dataclasses import dataclass
from typing import Literal

from clash_pipeline.clock import iso
from clash_pipeline.clones.refusals import CloneConflict, CloneHeld, CloneUnknown
from clash_pipeline.storage.sqlite import Connection, one

Reason = Literal["audition", "race"]


@dataclass(frozen=True)
class Hold:
    """What holds a clone: an audition or a race by its id, since when."""

    reason: str
    ref: str
    since: int


def place(connection: Connection, clone_id: int, reason: Reason, ref: str, *, now_ms: int) -> bool:
    """Freeze a clone for one audition or race; False when that hold already stands.

    Raises:
        CloneConflict: this hold was released before, and nothing is run twice.
        CloneUnknown: no such clone.
    """
    known = connection.execute(
        "SELECT released_at FROM clone_holds WHERE clone_id = ? AND reason = ? AND ref = ?", (clone_id, reason, ref)
    ).fetchone()
    if known is not None:
        if known["released_at"] is not None:
            raise CloneConflict(f"{reason} {ref} already released clone {clone_id} at {iso(known['released_at'])}")
        return False
    if one(connection, "SELECT 1 FROM clones WHERE id = ?", (clone_id,)) is None:
        raise CloneUnknown(f"there is no clone {clone_id}")
    connection.execute(
        "INSERT INTO clone_holds (clone_id, reason, ref, since) VALUES (?, ?, ?, ?)", (clone_id, reason, ref, now_ms)
    )
    return True


def release(connection: Connection, clone_id: int, reason: Reason, ref: str, *, now_ms: int) -> bool:
    """End one hold; False when there is none that stands. Other holds go on."""
    changed = connection.execute(
        """
        UPDATE clone_holds SET released_at = ? WHERE clone_id = ? AND reason = ? AND ref = ? AND released_at IS NULL
        """,
        (now_ms, clone_id, reason, ref),
    )
    return changed.rowcount == 1


def of(connection: Connection, clone_id: int) -> list[Hold]:
    """The holds that stand, oldest first."""
    rows = connection.execute(
        "SELECT reason, ref, since FROM clone_holds WHERE clone_id = ? AND released_at IS NULL ORDER BY since, id",
        (clone_id,),
    )
    return [Hold(*row) for row in rows]


def refuse_frozen(connection: Connection, clone_id: int, what: str) -> None:
    """Go on only with a clone that is in no audition.

    Raises:
        CloneHeld: names what waits, and for which audition.
    """
    _refuse(clone_id, [hold for hold in of(connection, clone_id) if hold.reason == "audition"], what)


def refuse_held(connection: Connection, clone_id: int, what: str) -> None:
    """Go on only with a clone that nothing holds.

    Raises:
        CloneHeld: names what waits, and for which audition or race.
    """
    _refuse(clone_id, of(connection, clone_id), what)


def _refuse(clone_id: int, standing: list[Hold], what: str) -> None:
    if standing:
        first = standing[0]
        raise CloneHeld(
            f"clone {clone_id} is held by {first.reason} {first.ref} since {iso(first.since)}: {what} waits"
        )
