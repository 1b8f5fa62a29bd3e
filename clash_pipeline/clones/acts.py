"""The audit of the public face: every submission, decision, report, retirement and reinstatement, append-only."""

from dataclasses import dataclass
from typing import Literal

from clash_pipeline.clones.refusals import ProfileInvalid
from clash_pipeline.storage.sqlite import Connection

Act = Literal[
    "submitted", "approved", "rejected", "replaced", "removed", "reported", "upheld", "dismissed", "retired",
    "reinstated",
]  # fmt: skip
REASON_CHARACTERS = 500


@dataclass(frozen=True)
class Recorded:
    """One act as stored."""

    id: int
    clone_id: int
    profile_id: int | None
    report_id: int | None
    act: str
    actor: str
    reason: str
    at: int


def record(
    connection: Connection,
    act: Act,
    clone_id: int,
    *,
    actor: str,
    now_ms: int,
    reason: str = "",
    profile_id: int | None = None,
    report_id: int | None = None,
) -> None:
    """Write an act beside what it did, inside the caller's transaction."""
    connection.execute(
        """
        INSERT INTO clone_moderation_acts (clone_id, profile_id, report_id, act, actor, reason, at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (clone_id, profile_id, report_id, act, actor, reason, now_ms),
    )


def of_clone(connection: Connection, clone_id: int) -> list[Recorded]:
    """What was done about a clone's public face, oldest first."""
    rows = connection.execute(
        """
        SELECT id, clone_id, profile_id, report_id, act, actor, reason, at
        FROM clone_moderation_acts WHERE clone_id = ? ORDER BY id
        """,
        (clone_id,),
    )
    return [Recorded(*row) for row in rows]


def needed_reason(reason: str, act: str) -> str:
    """A reason that was given, because this act needs one.

    Raises:
        ProfileInvalid: none, or more than 500 characters.
    """
    said = reason.strip()
    if not 1 <= len(said) <= REASON_CHARACTERS:
        raise ProfileInvalid(f"{act} needs a reason of 1 to {REASON_CHARACTERS} characters, not {len(said)}")
    return said
