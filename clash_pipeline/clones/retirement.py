"""Whether a clone is retired: a public state, set by an admin or by the arena, with its history."""

from dataclasses import dataclass

from clash_pipeline.storage.sqlite import Connection, one


@dataclass(frozen=True)
class Retirement:
    """One time of being retired; it lasts while nobody reinstated the clone."""

    reason: str
    retired_by: str
    retired_at: int
    reinstated_by: str | None
    reinstated_at: int | None


def is_retired(connection: Connection, clone_id: int) -> bool:
    """Whether a clone is retired now."""
    statement = "SELECT 1 FROM clone_retirements WHERE clone_id = ? AND reinstated_at IS NULL"
    return one(connection, statement, (clone_id,)) is not None


def begin(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Write a retirement; False when the clone is retired already."""
    added = connection.execute(
        """
        INSERT INTO clone_retirements (clone_id, reason, retired_by, retired_at) VALUES (?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (clone_id, reason, actor, now_ms),
    )
    return added.rowcount == 1


def end(connection: Connection, clone_id: int, *, actor: str, now_ms: int) -> bool:
    """End a retirement; False when there is none."""
    changed = connection.execute(
        """
        UPDATE clone_retirements SET reinstated_by = ?, reinstated_at = ? WHERE clone_id = ? AND reinstated_at IS NULL
        """,
        (actor, now_ms, clone_id),
    )
    return changed.rowcount == 1


def history(connection: Connection, clone_id: int) -> list[Retirement]:
    """Every retirement of a clone, oldest first."""
    rows = connection.execute(
        """
        SELECT reason, retired_by, retired_at, reinstated_by, reinstated_at
        FROM clone_retirements WHERE clone_id = ? ORDER BY id
        """,
        (clone_id,),
    )
    return [Retirement(*row) for row in rows]
