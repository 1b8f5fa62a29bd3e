"""Sharpe and Sortino of an equity curve on a fixed grid, annualised by that grid; the only floats of prop (09 L7).

The grid is the UTC hour, whatever the age and the cadence of the account: irregular samples and the square root of
their number would make the same skill score higher the longer it runs (10 §3.2). The first point is the start balance
at the hour in which the account began, the last one the final equity; between them stands the newest snapshot before
each full hour, so that thinning minutes to hours changes nothing.

Definitions agree with empyrical's `sharpe_ratio`, `sortino_ratio`, `cum_returns_final` and `max_drawdown` (risk-free
rate and required return 0, sample deviation) at 8,760 periods a year. They differ on purpose in four places: where the
deviation is zero there is no ratio here and an infinite one there; our maximum drawdown is measured on the minute
snapshots and seeded with the start balance, not on the grid; win rate and profit factor count closing fills with their
own fee, not periods; and nothing is annualised but the two ratios.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import fsum, isfinite, sqrt

from clash_pipeline.clock import DAY_MS, HOUR_MS, hour_of

GRID_MS = HOUR_MS
YEAR_MS = 365 * DAY_MS
Point = tuple[int, int]
"""Time and equity in 1e-8 USD."""


def on_grid(points: Sequence[Point], *, started_at: int, ended_at: int, start: int, final: int) -> list[int]:
    """Equity at every full hour from the one the account began in to the first one at or behind its end."""
    first, last = hour_of(started_at), hour_of(ended_at - 1) + HOUR_MS if ended_at > started_at else hour_of(started_at)
    curve, at, newest = [start], 0, start
    for hour in range(first + GRID_MS, last, GRID_MS):
        while at < len(points) and points[at][0] < hour:
            newest = points[at][1]
            at += 1
        curve.append(newest)
    return [*curve, final]


def returns(equities: Sequence[int]) -> list[float]:
    """The relative step of each grid interval; empty as soon as one begins at nothing."""
    if any(before <= 0 for before in equities[:-1]):
        return []
    return [(after - before) / before for before, after in pairwise(equities)]


def sharpe(equities: Sequence[int]) -> float | None:
    """Mean over sample deviation of the grid returns, a year; None for fewer than two or none that differ."""
    steps = returns(equities)
    if len(steps) < 2:
        return None
    mean = fsum(steps) / len(steps)
    deviation = sqrt(fsum((step - mean) ** 2 for step in steps) / (len(steps) - 1))
    return _ratio(mean, deviation)


def sortino(equities: Sequence[int]) -> float | None:
    """Mean over downside deviation of the grid returns, a year; None for fewer than two or without a loss."""
    steps = returns(equities)
    if len(steps) < 2:
        return None
    downside = sqrt(fsum(min(step, 0.0) ** 2 for step in steps) / len(steps))
    return _ratio(fsum(steps) / len(steps), downside)


def _ratio(mean: float, deviation: float) -> float | None:
    if deviation <= 0.0:
        return None
    ratio = mean / deviation * sqrt(YEAR_MS / GRID_MS)
    return ratio if isfinite(ratio) else None
