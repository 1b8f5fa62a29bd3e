"""How market data is cut in Dagster: by hour or by UTC day, all assets in one partition (doc/decisions.md)."""

from datetime import UTC, datetime

import dagster as dg

from clash_pipeline.clock import DAY_MS, HOUR_MS, day_of, hour_of
from clash_pipeline.market.spans import Span

FIRST_DAY = "2025-07-01"
"""Partitions begin here, before the first recorded candle."""

HOURS = dg.HourlyPartitionsDefinition(start_date=f"{FIRST_DAY}-00:00", end_offset=1)
"""The running hour is a partition too: what only answers *now* belongs to it."""
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY)
"""Ended days only: a partial day is neither repaired nor archived."""
RUNNING_DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)
"""Days including today, for rows that are refreshed during the day."""


def hours_of(context: dg.AssetExecutionContext) -> list[Span]:
    """The hours a run is about."""
    return _cut(context, HOUR_MS)


def days_of(context: dg.AssetExecutionContext) -> list[Span]:
    """The days a run is about."""
    return _cut(context, DAY_MS)


def hour_key(t_ms: int) -> str:
    """The hourly partition that holds a time."""
    return _key(hour_of(t_ms), "%Y-%m-%d-%H:%M")


def day_key(t_ms: int) -> str:
    """The daily partition that holds a time."""
    return _key(day_of(t_ms), "%Y-%m-%d")


def key_of(span: Span) -> str:
    """The partition of an hour or a day."""
    return day_key(span.from_t) if span.to_t - span.from_t == DAY_MS else hour_key(span.from_t)


def _cut(context: dg.AssetExecutionContext, step_ms: int) -> list[Span]:
    window = context.partition_time_window
    begin, end = (round(edge.timestamp() * 1000) for edge in (window.start, window.end))
    return [Span(t, t + step_ms) for t in range(begin, end, step_ms)]


def _key(t_ms: int, form: str) -> str:
    return datetime.fromtimestamp(t_ms / 1000, UTC).strftime(form)
