"""What ingestion did since somebody last looked: finished cycles, summed up by channel, with a cursor to go on from."""

from collections.abc import Sequence
from typing import NamedTuple

from clash_pipeline.storage.sqlite import Connection, Row, one

CYCLES_AT_ONCE = 20_000
"""An observer that was away for long catches up in steps of this many cycles."""


class ChannelReport(NamedTuple):
    """The cycles of one channel; `lag_p50_ms` is the median cycle's, `lag_p99_ms` the worst cycle's."""

    source: str
    channel: str
    cycles: int
    failed: int
    rows: int
    rejected: int
    covered: int | None
    expected: int | None
    lag_p50_ms: int | None
    lag_p99_ms: int | None
    through_t: int | None
    first_at: int
    last_at: int
    last_error: str | None

    @property
    def coverage(self) -> float | None:
        """Assets with fresh rows over assets that should have them, or None where that is not known."""
        return self.covered / self.expected if self.covered is not None and self.expected else None


def since(connection: Connection, cursor: int) -> tuple[list[ChannelReport], int]:
    """Reports of the channels that finished cycles after `cursor`, and the cursor to ask with next time.

    Rows are written finished, one transaction after the other, so an id once passed never appears again.
    """
    rows = connection.execute(_SINCE, (cursor, CYCLES_AT_ONCE)).fetchall()
    if not rows:
        newest = one(connection, "SELECT max(id) FROM ingestion_runs") or 0
        return [], min(cursor, newest)  # a rebuilt memory counts from one again
    channels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        channels.setdefault((row["source"], row["channel"]), []).append(row)
    return [_report(*key, cycles) for key, cycles in sorted(channels.items())], rows[-1]["id"]


_SINCE = """
SELECT * FROM ingestion_runs WHERE id > ? AND status <> 'running' ORDER BY id LIMIT ?
"""


def _report(source: str, channel: str, cycles: Sequence[Row]) -> ChannelReport:
    last = cycles[-1]
    medians = sorted(row["lag_p50_ms"] for row in cycles if row["lag_p50_ms"] is not None)
    return ChannelReport(
        source=source,
        channel=channel,
        cycles=len(cycles),
        failed=sum(row["status"] == "failed" for row in cycles),
        rows=sum(row["rows_written"] for row in cycles),
        rejected=sum(row["rejected"] for row in cycles),
        covered=last["covered"],
        expected=last["expected"],
        lag_p50_ms=medians[(len(medians) - 1) // 2] if medians else None,
        lag_p99_ms=max((row["lag_p99_ms"] for row in cycles if row["lag_p99_ms"] is not None), default=None),
        through_t=max((row["through_t"] for row in cycles if row["through_t"] is not None), default=None),
        first_at=cycles[0]["started_at"],
        last_at=last["finished_at"] or last["started_at"],
        last_error=next((row["error"] for row in reversed(cycles) if row["error"]), None),
    )
