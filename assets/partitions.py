"""How market data is cut in Dagster: by hour or by UTC day, all assets in one partition (dagster-facts, "Ten facts")."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import dagster as dg

from clash_pipeline.clock import DAY_MS, HOUR_MS, day_of, hour_of

FIRST_DAY = "2025-07-01"
"""Partitions begin here, before the first recorded candle."""

HOURS = dg.HourlyPartitionsDefinition(start_date=f"{FIRST_DAY}-00:00", end_offset=1)
"""The running hour is a partition too: what only answers *now* belongs to it."""
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY)
"""Ended days only: a partial day is neither repaired nor archived."""
RUNNING_DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)
"""Days including today, for rows that are refreshed during the day."""

HOUR_KEY = "%Y-%m-%d-%H:%M"
DAY_KEY = "%Y-%m-%d"


class Span(NamedTuple):
    """The time a run is about, `[from_t, to_t)` in epoch ms; a single-run backfill covers many partitions."""

    from_t: int
    to_t: int

    @property
    def hours(self) -> Sequence[int]:
        """The start of each hour."""
        return range(self.from_t, self.to_t, HOUR_MS)

    @property
    def days(self) -> Sequence[int]:
        """The start of each day."""
        return range(self.from_t, self.to_t, DAY_MS)


def span_of(context: dg.AssetExecutionContext) -> Span:
    """The time of a run's partitions."""
    window = context.partition_time_window
    return Span(_ms(window.start.timestamp()), _ms(window.end.timestamp()))


def hour_key(t_ms: int) -> str:
    """The partition that holds a time."""
    return _key(hour_of(t_ms), HOUR_KEY)


def day_key(t_ms: int) -> str:
    """The daily partition that holds a time."""
    return _key(day_of(t_ms), DAY_KEY)


def _key(t_ms: int, form: str) -> str:
    return datetime.fromtimestamp(t_ms / 1000, UTC).strftime(form)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
