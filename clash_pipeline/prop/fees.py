"""Taker fees as dated data: which schedule applied at a moment, and its rate in 1e-8 (10 §1, Fees)."""

from typing import NamedTuple

from clash_pipeline.clock import parse_time
from clash_pipeline.units import RATE, Rounding, mul_div


class Schedule(NamedTuple):
    """The base taker rates from a day on; `name` is stored on every fill."""

    name: str
    from_t: int
    perp: int
    spot: int


SCHEDULES = (
    Schedule("hyperliquid-2023-06", parse_time("2023-06-01"), perp=35_000, spot=35_000),
    Schedule("hyperliquid-2025-05", parse_time("2025-05-05"), perp=45_000, spot=70_000),
)
"""Oldest first: 3.5 bp until the venue moved to 4.5 bp for perps and 7 bp for spot."""


def at(t_ms: int) -> Schedule:
    """The schedule in force; times before the first one take the first."""
    return next((schedule for schedule in reversed(SCHEDULES) if schedule.from_t <= t_ms), SCHEDULES[0])


def rate(schedule: Schedule, kind: str) -> int:
    """The taker rate of an asset kind, in 1e-8."""
    return schedule.perp if kind == "perp" else schedule.spot


def fee(notional: int, rate_e8: int) -> int:
    """The fee of a notional, rounded up once."""
    return mul_div(notional, rate_e8, RATE, Rounding.CEIL)
