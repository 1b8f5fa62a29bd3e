"""Worker heartbeats: rows, not side effects. `ok | late | stale | stopped` is a question of age, asked when read."""

import os
import platform
from dataclasses import dataclass

from clash_pipeline.storage.sqlite import Database

LATE_AFTER_INTERVALS = 2
STALE_AFTER_INTERVALS = 5


@dataclass(frozen=True)
class Heartbeat:
    """One worker as it was last heard of; times in epoch ms."""

    worker: str
    instance: str
    started_at: int
    last_beat_at: int
    last_ok_at: int | None
    last_error: str | None
    cycles: int
    expected_interval_sec: int
    is_stopped: bool
    version: str
    host: str
    pid: int

    def status(self, now_ms: int) -> str:
        """`ok`, `late` (two intervals missed), `stale` (five) or `stopped` (said goodbye)."""
        if self.is_stopped:
            return "stopped"
        missed = (now_ms - self.last_beat_at) / (self.expected_interval_sec * 1000)
        if missed > STALE_AFTER_INTERVALS:
            return "stale"
        return "late" if missed > LATE_AFTER_INTERVALS else "ok"


def beat(
    database: Database,
    worker: str,
    *,
    instance: str,
    now_ms: int,
    expected_interval_sec: int,
    version: str,
    error: str | None = None,
    stopped: bool = False,
) -> None:
    """Write one beat; `error` is the reason the last cycle failed, None when it went well."""
    with database.write() as connection:
        connection.execute(
            """
            INSERT INTO worker_heartbeats (worker, instance, started_at, last_beat_at, last_ok_at, last_error, cycles,
                                           expected_interval_sec, is_stopped, version, host, pid)
            VALUES (:worker, :instance, :now, :now, iif(:error IS NULL, :now, NULL), :error, 1,
                    :every, :stopped, :version, :host, :pid)
            ON CONFLICT (worker, instance) DO UPDATE SET
              last_beat_at = excluded.last_beat_at, last_ok_at = coalesce(excluded.last_ok_at, last_ok_at),
              last_error = excluded.last_error, cycles = cycles + 1,
              expected_interval_sec = excluded.expected_interval_sec,
              is_stopped = excluded.is_stopped, version = excluded.version, host = excluded.host, pid = excluded.pid
            """,
            {
                "worker": worker, "instance": instance, "now": now_ms, "error": error, "every": expected_interval_sec,
                "stopped": int(stopped), "version": version, "host": platform.node(), "pid": os.getpid(),
            },
        )  # fmt: skip


def workers(database: Database) -> list[Heartbeat]:
    """The newest instance of each worker, by name."""
    with database.read() as connection:
        rows = connection.execute(
            """
            SELECT worker, instance, started_at, max(last_beat_at) AS last_beat_at, last_ok_at, last_error, cycles,
                   expected_interval_sec, is_stopped, version, host, pid
            FROM worker_heartbeats GROUP BY worker ORDER BY worker
            """
        ).fetchall()
    return [Heartbeat(**{**dict(row), "is_stopped": bool(row["is_stopped"])}) for row in rows]
