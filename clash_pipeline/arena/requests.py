"""Retirements that wait: asked for by an admin or by strikes, carried out once no race or audition holds the clone."""

from dataclasses import dataclass
from typing import Literal

from clash_pipeline.storage.sqlite import Connection


@dataclass(frozen=True)
class Request:
    """A retirement that was asked for and not carried out yet."""

    id: int
    clone_id: int
    requested_by: str
    reason: str
    requested_at: int


def ask(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Write a request; False when one stands already."""
    added = connection.execute(
        """
        INSERT INTO retirement_requests (clone_id, requested_by, reason, requested_at) VALUES (?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        (clone_id, actor, reason, now_ms),
    )
    return added.rowcount == 1


def open_of(connection: Connection, clone_id: int) -> Request | None:
    """The request that stands for a clone, if any."""
    row = connection.execute(
        """
        SELECT id, clone_id, requested_by, reason, requested_at FROM retirement_requests
        WHERE clone_id = ? AND ended_at IS NULL
        """,
        (clone_id,),
    ).fetchone()
    return None if row is None else Request(*row)


def every_open(connection: Connection) -> list[Request]:
    """The requests that stand, oldest first."""
    rows = connection.execute(
        """
        SELECT id, clone_id, requested_by, reason, requested_at FROM retirement_requests
        WHERE ended_at IS NULL ORDER BY id
        """
    )
    return [Request(*row) for row in rows]


def end(
    connection: Connection, clone_id: int, outcome: Literal["retired", "withdrawn"], *, actor: str, now_ms: int
) -> bool:
    """End the request that stands; False when there is none."""
    changed = connection.execute(
        """
        UPDATE retirement_requests SET ended_at = ?, outcome = ?, ended_by = ?
        WHERE clone_id = ? AND ended_at IS NULL
        """,
        (now_ms, outcome, actor, clone_id),
    )
    return changed.rowcount == 1
