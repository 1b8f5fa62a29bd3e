"""Alerts as rows: what is open, what nobody was told yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from clash_pipeline.alerts.alert import Alert
from clash_pipeline.storage.sqlite import Connection, Row


@dataclass(frozen=True)
class Raised:
    """An alert as stored; `cleared_at` is None while it is open."""

    id: int
    rule: str
    subject: str
    severity: str
    message: str
    raised_at: int
    cleared_at: int | None
    told_raised_at: int | None
    told_cleared_at: int | None

    @property
    def is_told(self) -> bool:
        """Whether the channels took all there is to say of it."""
        return self.told_raised_at is not None and (self.cleared_at is None or self.told_cleared_at is not None)


def update(connection: Connection, found: Iterable[Alert], looked_at: Iterable[str], *, now_ms: int) -> tuple[int, int]:
    """Raise what is new and clear what is gone, of the rules that could be looked at; returns how many of each."""
    rules, now_found = set(looked_at), {alert.key: alert for alert in found}
    standing = {(raised.rule, raised.subject): raised for raised in open_alerts(connection)}
    new = [alert for key, alert in now_found.items() if key not in standing]
    gone = [raised for key, raised in standing.items() if key not in now_found and raised.rule in rules]
    connection.executemany(
        "INSERT INTO alerts (rule, subject, severity, message, raised_at) VALUES (?, ?, ?, ?, ?)",
        [(*alert.key, alert.finding.severity, alert.finding.message, now_ms) for alert in new],
    )
    connection.executemany(
        "UPDATE alerts SET cleared_at = max(?, raised_at) WHERE id = ?", [(now_ms, raised.id) for raised in gone]
    )
    return len(new), len(gone)


def open_alerts(connection: Connection) -> list[Raised]:
    """What stands, the worst and oldest first."""
    rows = connection.execute(
        "SELECT * FROM alerts WHERE cleared_at IS NULL ORDER BY severity = 'critical' DESC, raised_at, id"
    )
    return [_raised(row) for row in rows]


def newest(connection: Connection, limit: int = 100) -> list[Raised]:
    """The newest alerts, cleared ones too."""
    rows = connection.execute("SELECT * FROM alerts ORDER BY id DESC LIMIT ?", (limit,))
    return [_raised(row) for row in rows]


def untold(connection: Connection) -> list[Raised]:
    """What the channels have not taken yet, oldest first."""
    rows = connection.execute(
        """
        SELECT * FROM alerts
        WHERE told_raised_at IS NULL OR (cleared_at IS NOT NULL AND told_cleared_at IS NULL) ORDER BY id
        """
    )
    return [_raised(row) for row in rows]


def told(connection: Connection, raised: Raised, *, now_ms: int) -> None:
    """Remember that the channels took an alert, and its end where it has one."""
    connection.execute(
        """
        UPDATE alerts SET told_raised_at = coalesce(told_raised_at, :now),
                          told_cleared_at = iif(:is_over, :now, told_cleared_at)
        WHERE id = :id
        """,
        {"now": now_ms, "is_over": raised.cleared_at is not None, "id": raised.id},
    )


def _raised(row: Row) -> Raised:
    return Raised(**dict(row))
