"""What somebody has to look at: one open row for each kind and thing; raising it again changes nothing."""

from dataclasses import dataclass

import structlog

from clash_pipeline.storage.sqlite import Connection

MOST_CHARACTERS = 1_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Incident:
    """One of them; open while it has no end."""

    id: int
    kind: str
    ref: str
    detail: str
    raised_at: int
    closed_at: int | None
    closed_by: str | None


def raise_incident(connection: Connection, kind: str, ref: str, detail: str, *, now_ms: int) -> bool:
    """Open an incident; False when one of this kind and thing is open already."""
    made = connection.execute(
        "INSERT INTO economy_incidents (kind, ref, detail, raised_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (kind, ref) WHERE closed_at IS NULL DO NOTHING",
        (kind, ref, detail[:MOST_CHARACTERS], now_ms),
    )
    if made.rowcount:
        log.error("economy_incident", kind=kind, ref=ref, detail=detail[:MOST_CHARACTERS])
    return bool(made.rowcount)


def close(connection: Connection, kind: str, ref: str, *, actor: str, now_ms: int) -> bool:
    """End an incident whose cause has ended; False when none is open."""
    ended = connection.execute(
        "UPDATE economy_incidents SET closed_at = ?, closed_by = ? WHERE kind = ? AND ref = ? AND closed_at IS NULL",
        (now_ms, actor, kind, ref),
    )
    return bool(ended.rowcount)


def open_ones(connection: Connection) -> list[Incident]:
    """Those that nobody has closed, the oldest first."""
    rows = connection.execute(
        "SELECT id, kind, ref, detail, raised_at, closed_at, closed_by FROM economy_incidents "
        "WHERE closed_at IS NULL ORDER BY id"
    )
    return [Incident(*row) for row in rows]
