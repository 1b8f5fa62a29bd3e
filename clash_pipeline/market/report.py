"""What one refresh of a polled channel did, for whoever asked for it."""

from typing import NamedTuple

from clash_pipeline.market import ingestion
from clash_pipeline.market.decoding import Refused, tally
from clash_pipeline.storage.sqlite import Connection


class Report(NamedTuple):
    """Rows written, entries refused, how many of the expected subjects have a fresh row, and what failed."""

    rows: int
    rejected: int
    covered: int | None
    expected: int | None
    error: str | None = None


def report_of(cycle: ingestion.Cycle) -> Report:
    """The report of a finished cycle."""
    return Report(cycle.rows, cycle.rejected, cycle.covered, cycle.expected)


def keep_refused(connection: Connection, source: str, channel: str, refused: tuple[Refused, ...], now_ms: int) -> int:
    """Count and sample refused entries in the caller's transaction; returns how many."""
    for reason, (count, shown) in tally(refused).items():
        ingestion.reject(connection, source, channel, reason, shown, now_ms, count)
    return len(refused)
