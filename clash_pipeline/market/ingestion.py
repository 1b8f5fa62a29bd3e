"""How ingestion went: one `ingestion_runs` row a channel and cycle, and a counted, sampled row for what was refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from clash_pipeline.clock import Clock, day_of
from clash_pipeline.storage.sqlite import Connection, Database

SAMPLE_CHARACTERS = 2_000


@dataclass
class Cycle:
    """What one cycle of a channel did; filled in while it runs.

    `lags_ms` are known time less source time, one for each row (or a sample of them).
    """

    rows: int = 0
    rejected: int = 0
    covered: int | None = None
    expected: int | None = None
    through_t: int | None = None
    lags_ms: list[int] = field(default_factory=list)


@contextmanager
def run(market: Database, source: str, channel: str, clock: Clock, expected: int | None = None) -> Iterator[Cycle]:
    """Record a cycle: `ok` on a clean exit, `failed` with its error when the body raises (and the error goes on).

    Raises:
        StorageFull: the disk is below the floor; the body is not entered.
    """
    cycle = Cycle(expected=expected)
    started_at = clock.now_ms()
    error: str | None = None
    try:
        market.require_room()
        yield cycle
    except BaseException as caught:
        error = f"{type(caught).__name__}: {caught}"
        raise
    finally:
        with market.write() as connection:
            record(connection, source, channel, cycle, started_at=started_at, finished_at=clock.now_ms(), error=error)


def record(
    connection: Connection,
    source: str,
    channel: str,
    cycle: Cycle,
    *,
    started_at: int,
    finished_at: int,
    error: str | None = None,
) -> None:
    """Write one finished cycle inside the caller's transaction."""
    p50, p99 = lag_percentiles(cycle.lags_ms)
    connection.execute(
        """
        INSERT INTO ingestion_runs (source, channel, started_at, finished_at, status, through_t, rows_written, rejected,
                                    covered, expected, lag_p50_ms, lag_p99_ms, error)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            source, channel, started_at, finished_at, "failed" if error else "ok", cycle.through_t, cycle.rows,
            cycle.rejected, cycle.covered, cycle.expected, p50, p99, error and error[:SAMPLE_CHARACTERS],
        ),
    )  # fmt: skip


def reject(
    connection: Connection, source: str, channel: str, reason: str, sample: str | bytes, now_ms: int, count: int = 1
) -> None:
    """Count a refused message by reason and day, keeping the first one as a sample."""
    text = sample.decode("utf-8", "replace") if isinstance(sample, bytes) else sample
    connection.execute(
        """
        INSERT INTO ingestion_rejections (source, channel, reason, day, count, first_at, last_at, sample)
        VALUES (:source, :channel, :reason, :day, :count, :now, :now, :sample)
        ON CONFLICT (source, channel, reason, day)
        DO UPDATE SET count = count + excluded.count, last_at = excluded.last_at
        """,
        {
            "source": source, "channel": channel, "reason": reason, "day": day_of(now_ms), "count": count,
            "now": now_ms, "sample": text.encode("utf-8", "replace").decode()[:SAMPLE_CHARACTERS],
        },
    )  # fmt: skip


def forget(market: Database, *, before_ms: int, most: int = 50_000) -> int:
    """Delete cycles and rejections from before a time, at most `most` of each in one call; returns how many."""
    with market.write() as connection:
        cycles = connection.execute(
            "DELETE FROM ingestion_runs WHERE id IN (SELECT id FROM ingestion_runs WHERE started_at < ? LIMIT ?)",
            (before_ms, most),
        )
        refused = connection.execute(
            "DELETE FROM ingestion_rejections WHERE id IN (SELECT id FROM ingestion_rejections WHERE day < ? LIMIT ?)",
            (before_ms, most),
        )
        return cycles.rowcount + refused.rowcount


def through(connection: Connection, source: str, channel: str) -> int | None:
    """Up to which time a channel's rows are known to be in memory."""
    row = connection.execute(
        "SELECT max(through_t) FROM ingestion_runs WHERE source = ? AND channel = ? AND status = 'ok'",
        (source, channel),
    ).fetchone()
    return None if row is None else row[0]


def lag_percentiles(lags_ms: list[int]) -> tuple[int | None, int | None]:
    """The median and the 99th percentile, by nearest rank; None where nothing was measured."""
    if not lags_ms:
        return None, None
    ordered = sorted(lags_ms)
    last = len(ordered) - 1
    return ordered[last // 2], ordered[min(last, last * 99 // 100 + (last * 99 % 100 > 0))]
