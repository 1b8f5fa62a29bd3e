"""What is wrong with what a read found: missing, warming up, stale, late; and how much there should have been."""

from collections.abc import Sequence

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.market.read_plan import ReadEntry
from clash_pipeline.market.reads import indicators
from clash_pipeline.market.reads.windows import Row, since_of, step_of

STALE_AFTER_MS = {
    "ohlcv": 3 * MINUTE_MS,
    "funding": 2 * HOUR_MS,
    "immediate": 15 * MINUTE_MS,
    "later": 2 * HOUR_MS,
    "market": 15 * MINUTE_MS,
    "capital_base": 3 * HOUR_MS,
    "capital_flows": 3 * HOUR_MS,
    "economic_throughput": 3 * HOUR_MS,
}
"""Older than this, or than two steps, the newest row of a channel is stale; indicators follow the candles *(ours)*."""
CADENCE_MS = {
    "funding": 5 * MINUTE_MS,
    "immediate": 5 * MINUTE_MS,
    "later": 30 * MINUTE_MS,
    "market": 5 * MINUTE_MS,
    "capital_base": HOUR_MS,
    "capital_flows": HOUR_MS,
    "economic_throughput": HOUR_MS,
}
"""How often a polled channel says something new (01)."""
CLOSING_MS = 20 * SECOND_MS
"""A minute closes 5 s after its end, and is stored with its indicators soon after *(ours)*."""
ROLLING_UP_MS = 90 * SECOND_MS
"""Hours are rolled up every 60 s."""
POLLING_MS = 2 * MINUTE_MS
"""A poll may take so long beyond its cadence *(ours)*."""


def problem(entry: ReadEntry, rows: Sequence[Row], age_ms: int | None) -> str | None:
    """`missing`, `warming_up` (no value yet), `stale`, `late` (a newer row should be here), or None."""
    if not rows or age_ms is None:
        return "missing"
    if all(value is None for value in rows[-1][1:]):
        return "warming_up"
    stale = STALE_AFTER_MS[entry.channel if entry.channel in STALE_AFTER_MS else "ohlcv"]
    if age_ms > max(stale, 2 * step_of(entry)):
        return "stale"
    return "late" if age_ms > _usual_age(entry) else None


def expected(entry: ReadEntry, rows: Sequence[Row], as_of: int) -> int:
    """How many points a window without a hole has, at most those that are asked for."""
    step, window = step_of(entry), as_of - since_of(entry, as_of)
    if entry.channel not in CADENCE_MS:
        return min(entry.points, window // max(step, MINUTE_MS))
    if entry.channel in ("immediate", "later", "market"):
        named = len({row[1] for row in rows}) if entry.channel == "market" else 1
        return min(entry.points, max(window // max(step, CADENCE_MS[entry.channel]), 1)) * max(named, 1)
    return min(entry.points, window // max(step, HOUR_MS if step == 0 else CADENCE_MS[entry.channel]) + 1)


def _usual_age(entry: ReadEntry) -> int:
    """The greatest age of the newest row while everything works."""
    step, channel = step_of(entry), entry.channel
    if channel == "ohlcv":
        return max(step, MINUTE_MS) + (ROLLING_UP_MS if step and step % HOUR_MS == 0 else CLOSING_MS)
    if channel in indicators.CHANNELS:
        return max(step, MINUTE_MS) + CLOSING_MS
    of_the_hour = HOUR_MS if CADENCE_MS[channel] == HOUR_MS else 0  # its rows bear the start of their hour
    return CADENCE_MS[channel] + of_the_hour + POLLING_MS
