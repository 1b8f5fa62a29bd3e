"""Retention: archive every day that is over, verify it, prune what is older than its hot window. Run it as often as
you like; a store that is down only delays (01 Retention)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from clash_pipeline.archive import bookkeeping, partitions, readiness
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.readiness import PartitionRefused
from clash_pipeline.archive.stores import ArtifactStore, StoreError, StoreUnavailable
from clash_pipeline.archive.tables import ArchivedTable
from clash_pipeline.clock import day_of, iso
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

log = structlog.get_logger(__name__)


class Outcome(StrEnum):
    """What became of one day."""

    KEPT = "kept"
    """Archived before, and still within its hot window (or pinned)."""
    ARCHIVED = "archived"
    PRUNED = "pruned"
    WAITING = "waiting"
    """Not complete yet: minutes that are neither final nor lost."""
    DELAYED = "delayed"
    """The store did not answer; tried again next time."""
    FAILED = "failed"
    """The store refuses, or what it gave back was wrong; somebody should look."""


@dataclass(frozen=True)
class DayOutcome:
    """One day of one table in a retention run."""

    table: str
    day: int
    outcome: Outcome
    rows: int = 0
    reason: str | None = None
    is_new: bool = False
    """Whether this run put it into the store."""


@dataclass
class RetentionReport:
    """What a retention run did."""

    days: list[DayOutcome] = field(default_factory=list)
    written_off: int = 0
    """Gaps that became `lost`."""

    @property
    def counts(self) -> dict[str, int]:
        """How many days came to which outcome."""
        return dict(Counter(day.outcome.value for day in self.days))

    @property
    def archived(self) -> list[DayOutcome]:
        """The days this run put into the store."""
        return [day for day in self.days if day.is_new]

    @property
    def pruned_rows(self) -> int:
        """Rows deleted from SQLite."""
        return sum(day.rows for day in self.days if day.outcome is Outcome.PRUNED)

    @property
    def problems(self) -> list[DayOutcome]:
        """The days that wait for the store or for a person."""
        return [day for day in self.days if day.outcome in {Outcome.DELAYED, Outcome.FAILED}]


Progress = Callable[[DayOutcome], None]


def run(
    market: Database, store: ArtifactStore, settings: Settings, now_ms: int, progress: Progress | None = None
) -> RetentionReport:
    """Archive, verify and prune whatever is due, of every table."""
    report = RetentionReport()
    down: str | None = None
    for table in TABLES.values():
        for day in days_due(market, table, now_ms):
            report.written_off += readiness.write_off(market, table, day, now_ms, readiness.lost_after_ms(settings))
            outcome = _retained(market, store, table, day, now_ms, settings, down)
            if outcome.outcome is Outcome.DELAYED:
                down = outcome.reason  # the rest is not tried against a store that does not answer
            report.days.append(outcome)
            if progress is not None:
                progress(outcome)
    log.info("retention", **report.counts, pruned_rows=report.pruned_rows, written_off=report.written_off)
    return report


def days_due(market: Database, table: ArchivedTable, now_ms: int) -> list[int]:
    """The days of a table before today that have rows in SQLite, or a prune that was cut off; oldest first."""
    with market.read() as connection:
        found = {row["day"] for row in connection.execute(table.list_days, {"before": day_of(now_ms)})}
    return sorted(found | {one.day for one in bookkeeping.partitions(market, table.name) if one.is_half_pruned})


def _retained(
    market: Database, store: ArtifactStore, table: ArchivedTable, day: int, now_ms: int, settings: Settings,
    down: str | None,
) -> DayOutcome:  # fmt: skip
    """One day, with everything that can hold it up told as its outcome."""
    partition = bookkeeping.current(market, table.name, day)
    is_settled = partition is not None and partition.verified_at is not None
    is_due = partitions.is_beyond_hot(table, day, now_ms, settings)
    is_pinned = partition is not None and partition.is_pinned(now_ms)
    if is_settled and (not is_due or is_pinned):
        return DayOutcome(table.name, day, Outcome.KEPT, reason="pinned" if is_pinned else None)
    if down is not None:
        return DayOutcome(table.name, day, Outcome.DELAYED, reason=down)
    try:
        return _advanced(market, store, table, day, now_ms, settings, is_settled=is_settled, is_due=is_due)
    except PartitionRefused as refused:
        return DayOutcome(table.name, day, Outcome.WAITING, reason=str(refused))
    except StoreUnavailable as error:
        return DayOutcome(table.name, day, Outcome.DELAYED, reason=str(error))
    except StoreError as error:
        log.error("retention_failed", table=table.name, day=iso(day)[:10], reason=str(error))
        return DayOutcome(table.name, day, Outcome.FAILED, reason=str(error))


def _advanced(
    market: Database, store: ArtifactStore, table: ArchivedTable, day: int, now_ms: int, settings: Settings, *,
    is_settled: bool, is_due: bool,
) -> DayOutcome:  # fmt: skip
    rows = 0 if is_settled else partitions.archive_day(market, store, table.name, day, now_ms).row_count
    if not is_due:
        return DayOutcome(table.name, day, Outcome.ARCHIVED, rows, is_new=True)
    is_new = not is_settled
    try:
        pruned = partitions.prune_day(market, store, table.name, day, now_ms, settings)
    except PartitionRefused as refused:
        if refused.reason != "changed":
            raise
        partitions.archive_day(market, store, table.name, day, now_ms)  # rows came after the archive: now with them
        is_new = True
        pruned = partitions.prune_day(market, store, table.name, day, now_ms, settings)
    return DayOutcome(table.name, day, Outcome.PRUNED, pruned, is_new=is_new)
