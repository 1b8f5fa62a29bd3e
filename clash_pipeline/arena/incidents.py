"""Incidents of races: why one does not go on, in a row that stands until it does. Inside the caller's transaction."""

from dataclasses import dataclass

from clash_pipeline.storage.sqlite import Connection


@dataclass(frozen=True)
class Incident:
    """What is wrong with a race since when."""

    race_id: int
    code: str
    message: str
    since: int


def raise_one(connection: Connection, race_id: int, code: str, message: str, *, now_ms: int) -> bool:
    """Write an incident; False when one of this code stands already."""
    added = connection.execute(
        "INSERT INTO race_incidents (race_id, code, message, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (race_id, code, message, now_ms),
    )
    return added.rowcount == 1


def clear(connection: Connection, race_id: int, *, now_ms: int) -> int:
    """End every incident of a race that went on; returns how many."""
    changed = connection.execute(
        "UPDATE race_incidents SET cleared_at = max(?, since) WHERE race_id = ? AND cleared_at IS NULL",
        (now_ms, race_id),
    )
    return changed.rowcount


def standing(connection: Connection) -> list[Incident]:
    """What is wrong now, by race."""
    rows = connection.execute(
        "SELECT race_id, code, message, since FROM race_incidents WHERE cleared_at IS NULL ORDER BY race_id, id"
    )
    return [Incident(*row) for row in rows]
