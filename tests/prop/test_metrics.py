"""Sharpe and Sortino: on one grid for everybody, equal to empyrical to 1e-9 where definitions coincide."""

import math
import random
from itertools import pairwise

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.prop import metrics
from clash_pipeline.prop.margin import rate_of
from clash_pipeline.units import RATE, USD

PERIODS = 8_760
START = 100_000 * USD
T0 = 1_753_100_400_000
"""2025-07-21T12:20:00Z."""
CURVES = st.lists(st.integers(50_000 * USD, 150_000 * USD), min_size=3, max_size=60).filter(
    lambda curve: len({after * 10**9 // before for before, after in pairwise(curve)}) > 1
)


@given(CURVES)
def test_the_ratios_are_those_of_empyrical(curve: list[int]) -> None:
    steps = np.array(metrics.returns(curve))
    ours, theirs = metrics.sharpe(curve), empyrical.sharpe_ratio(steps, annualization=PERIODS)
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    if (steps < 0).any():
        ours, theirs = metrics.sortino(curve), empyrical.sortino_ratio(steps, annualization=PERIODS)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)


@given(CURVES)
def test_return_and_drawdown_agree_where_they_are_measured_on_the_same_points(curve: list[int]) -> None:
    steps = np.array(metrics.returns(curve))
    assert curve[-1] / curve[0] - 1 == pytest.approx(empyrical.cum_returns_final(steps), rel=1e-9, abs=1e-9)
    peaks = [max(curve[: at + 1]) for at in range(len(curve))]
    deepest = max(rate_of(peak - equity, peak) for peak, equity in zip(peaks, curve, strict=True))
    assert -deepest / RATE == pytest.approx(empyrical.max_drawdown(steps), abs=1.1e-8)


def test_where_the_definitions_differ() -> None:
    """A curve that never moves has no ratio here; empyrical answers not-a-number or infinity."""
    flat, rising = [START] * 5, [100 * USD, 101 * USD, 103 * USD]
    assert metrics.sharpe(flat) is None
    assert not math.isfinite(empyrical.sharpe_ratio(np.zeros(4), annualization=PERIODS))
    assert metrics.sortino(rising) is None
    assert not math.isfinite(empyrical.sortino_ratio(np.array(metrics.returns(rising)), annualization=PERIODS))
    assert metrics.sharpe([START, START]) is None
    assert metrics.sharpe([0, START, START]) is None


def test_the_grid_takes_the_newest_snapshot_before_each_full_hour() -> None:
    """From 12:20 to 15:00: 12:00 is the start balance, 13:00 and 14:00 the snapshots before, 15:00 the end."""
    points = [
        (T0 + 20 * MINUTE_MS, 101),
        (T0 + 39 * MINUTE_MS, 102),
        (T0 + 40 * MINUTE_MS, 103),
        (T0 + 99 * MINUTE_MS, 104),
    ]
    curve = metrics.on_grid(points, started_at=T0, ended_at=T0 + 160 * MINUTE_MS, start=100, final=105)
    assert curve == [100, 102, 104, 105]


def test_an_account_that_ends_inside_an_hour_has_it_as_a_whole_point() -> None:
    assert metrics.on_grid([], started_at=T0, ended_at=T0 + MINUTE_MS, start=100, final=90) == [100, 90]
    assert metrics.on_grid([], started_at=T0, ended_at=T0, start=100, final=100) == [100, 100]


def test_thinning_minutes_to_the_last_of_each_hour_changes_no_ratio() -> None:
    source = random.Random(4)
    minutes = [(T0 + at * MINUTE_MS, START + source.randrange(-USD, USD) * 1_000) for at in range(600)]
    hourly = {t // HOUR_MS: (t, equity) for t, equity in minutes}
    span = {"started_at": T0, "ended_at": T0 + 600 * MINUTE_MS, "start": START, "final": minutes[-1][1]}
    assert metrics.on_grid(minutes, **span) == metrics.on_grid(list(hourly.values()), **span)


def test_twice_the_time_at_the_same_skill_is_the_same_score() -> None:
    """The mistake of 10 §3.2: a t-statistic would grow by √2; ours stays where it is."""
    once = [START]
    for step in (0.002, -0.001, 0.003, -0.002, 0.001) * 20:
        once.append(round(once[-1] * (1 + step)))
    twice = once + [round(equity * once[-1] / once[0]) for equity in once[1:]]
    first, second = metrics.sharpe(once), metrics.sharpe(twice)
    assert first is not None
    assert second == pytest.approx(first, rel=0.01)


def test_control_a_wrong_annualisation_does_not_agree() -> None:
    curve = [START, START + USD, START - USD, START + 3 * USD]
    steps = np.array(metrics.returns(curve))
    assert metrics.sharpe(curve) != pytest.approx(empyrical.sharpe_ratio(steps, annualization=252), rel=1e-3)
