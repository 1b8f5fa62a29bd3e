"""What an audition is judged by: each kind of rule at its bound, and the worked examples of 10 §2."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.arena import criteria
from clash_pipeline.arena.criteria import Consistency, MinimumActivity, ProfitTarget, Rules, Survival, fair, judge
from clash_pipeline.arena.facts import Facts, Fill, Point
from clash_pipeline.arena.losses import DailyLoss, MaxLoss
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.settings import Settings
from clash_pipeline.units import RATE, USD

T0 = 1_753_056_000_000
"""Midnight, 2025-07-21."""
PERCENT = RATE // 100
Moment = tuple[int, int] | tuple[int, int, int]
"""Time after the start, equity and, where it differs, the balance; whole USD."""


def story(*moments: Moment, start: int = 100_000, **also: Any) -> Facts:
    """An account along some moments; the last one is its end."""
    points, peak = [], start * USD
    for at, equity, *balance in moments:
        peak = max(peak, equity * USD)
        points.append(Point(T0 + at, equity * USD, (balance or [equity])[0] * USD, peak))
    end = points[-1]
    known: dict[str, Any] = {
        "start": start * USD, "final": end.equity, "started_at": T0, "ended_at": end.t, "window_ms": end.t - T0,
        "is_liquidated": False, "max_drawdown": 0, "points": tuple(points[:-1]), "fills": (),
    }  # fmt: skip
    return Facts(**{**known, **also})


def is_met(rule: Any, facts: Facts) -> bool:
    return all(finding.is_met for finding in judge(Rules(1, (rule,)), facts).findings)


# the worked examples: trail 3,000 under 100,000

SPIKE = [(HOUR_MS, 104_000), (2 * HOUR_MS, 99_500)]
NEXT_DAY = [(DAY_MS + HOUR_MS, 104_500), (2 * DAY_MS + HOUR_MS, 101_000)]
THREE = 3 * PERCENT


def test_an_intraday_spike_does_not_move_a_floor_of_the_end_of_day() -> None:
    rule = MaxLoss("trailing-realized-eod", THREE)
    held = story(*SPIKE)
    assert is_met(rule, held)
    found = criteria.loss(rule, held)
    assert found.floor == 97_000 * USD  # as the day before left it


def test_a_close_moves_it_and_what_was_fine_before_fails() -> None:
    rule = MaxLoss("trailing-realized-eod", THREE)
    verdict = judge(Rules(1, (rule,)), story(*SPIKE, *NEXT_DAY))
    (finding,) = verdict.findings
    assert (verdict.cause, finding.floor) == ("max_loss", 101_500 * USD)
    assert finding.at == T0 + 2 * DAY_MS + HOUR_MS
    assert is_met(rule, story(*SPIKE, NEXT_DAY[0], (2 * DAY_MS + HOUR_MS, 101_500)))


def test_a_peak_of_any_minute_moves_an_intraday_floor_at_once() -> None:
    rule = MaxLoss("trailing-intraday-unrealized", THREE)
    (finding,) = judge(Rules(1, (rule,)), story(*SPIKE)).findings
    assert (finding.is_met, finding.floor) == (False, 101_000 * USD)
    assert is_met(rule, story(SPIKE[0], (2 * HOUR_MS, 101_000)))


def test_a_static_floor_never_moves() -> None:
    rule = MaxLoss("static-initial", 10 * PERCENT)
    assert is_met(rule, story((HOUR_MS, 150_000), (2 * DAY_MS, 90_000)))
    assert not is_met(rule, story((HOUR_MS, 150_000), (2 * DAY_MS, 89_999)))


@pytest.mark.parametrize(("offset", "floor"), [(0, 50_000), (100, 50_100)])
def test_a_trailing_floor_locks_at_the_start_balance(offset: int, floor: int) -> None:
    rule = MaxLoss("trailing-locks-at-initial", 4 * PERCENT, lock_offset=offset * USD)
    risen = [(HOUR_MS, 51_000), (DAY_MS, 51_500), (2 * DAY_MS, 58_000), (3 * DAY_MS, 58_000)]
    assert is_met(rule, story(*risen, (4 * DAY_MS, floor), start=50_000))
    assert not is_met(rule, story(*risen, (4 * DAY_MS, floor - 1), start=50_000))
    early = story((HOUR_MS, 51_000), (DAY_MS + HOUR_MS, 49_000), start=50_000)  # 51,000 − 2,000, not locked yet
    assert criteria.loss(rule, early).floor == 49_000 * USD


def test_an_open_profit_does_not_move_a_realized_floor() -> None:
    rule = MaxLoss("trailing-realized-eod", THREE)
    held = story((HOUR_MS, 108_000, 100_000), (DAY_MS + HOUR_MS, 98_000))
    assert is_met(rule, held)
    assert not is_met(rule, story((HOUR_MS, 108_000, 108_000), (DAY_MS + HOUR_MS, 98_000)))


# daily loss


def test_a_daily_floor_counts_from_the_balance_at_midnight() -> None:
    rule = DailyLoss(5 * PERCENT)
    day = [(HOUR_MS, 104_000, 102_000), (DAY_MS + HOUR_MS, 97_000)]
    assert is_met(rule, story(*day))  # 102,000 − 5,000
    assert not is_met(rule, story(day[0], (DAY_MS + HOUR_MS, 96_999)))


@pytest.mark.parametrize(
    ("terms", "floor"),
    [
        ({"basis": "balance"}, 97_000),
        ({"basis": "equity"}, 99_000),
        ({"basis": "higher"}, 99_000),
        ({"basis": "balance", "limit_basis": "day_start"}, 96_900),
    ],
)
def test_what_a_day_starts_from(terms: dict[str, Any], floor: int) -> None:
    rule = DailyLoss(5 * PERCENT, **terms)
    first = (HOUR_MS, 104_000, 102_000)
    assert is_met(rule, story(first, (DAY_MS + HOUR_MS, floor)))
    assert not is_met(rule, story(first, (DAY_MS + HOUR_MS, floor - 1)))


def test_open_losses_count_only_where_the_rule_says_so() -> None:
    dip = [(HOUR_MS, 94_000, 100_000), (2 * HOUR_MS, 100_000)]
    assert not is_met(DailyLoss(5 * PERCENT), story(*dip))
    assert is_met(DailyLoss(5 * PERCENT, includes_open_pnl=False), story(*dip))


def test_a_rule_of_the_end_of_day_looks_then_only() -> None:
    dip = [(HOUR_MS, 94_000), (2 * HOUR_MS, 99_000), (DAY_MS + HOUR_MS, 99_000)]
    assert is_met(DailyLoss(5 * PERCENT, evaluation="end_of_day"), story(*dip))
    low = [(HOUR_MS, 99_000), (2 * HOUR_MS, 94_000), (DAY_MS + HOUR_MS, 99_000)]
    assert not is_met(DailyLoss(5 * PERCENT, evaluation="end_of_day"), story(*low))


def test_a_day_may_begin_elsewhere() -> None:
    path = [(HOUR_MS, 104_000), (3 * HOUR_MS, 98_500)]
    assert is_met(DailyLoss(5 * PERCENT), story(*path))
    assert not is_met(DailyLoss(5 * PERCENT, day_starts_ms=2 * HOUR_MS), story(*path))


# two floors


def test_of_two_floors_in_one_move_the_higher_is_the_cause() -> None:
    both = (MaxLoss("static-initial", 10 * PERCENT), DailyLoss(5 * PERCENT))
    assert judge(Rules(1, both), story((HOUR_MS, 89_000))).cause == "daily_loss"
    late = story((HOUR_MS, 92_000), (DAY_MS + HOUR_MS, 92_000), (DAY_MS + 2 * HOUR_MS, 89_000))
    assert judge(Rules(1, both[:1]), late).cause == "max_loss"
    lower = (MaxLoss("static-initial", 10 * PERCENT), DailyLoss(15 * PERCENT))
    assert judge(Rules(1, lower), story((HOUR_MS, 80_000))).cause == "max_loss"


def test_the_floor_that_broke_first_comes_before_a_higher_one_that_broke_later() -> None:
    rules = Rules(1, (MaxLoss("static-initial", 10 * PERCENT), DailyLoss(5 * PERCENT, evaluation="end_of_day")))
    path = story((HOUR_MS, 89_000), (2 * HOUR_MS, 91_000), (DAY_MS + HOUR_MS, 91_000))
    assert judge(rules, path).cause == "max_loss"


def test_a_loss_is_the_cause_before_a_missed_target() -> None:
    rules = Rules(1, (ProfitTarget(2 * PERCENT), MaxLoss("static-initial", 10 * PERCENT)))
    assert judge(rules, story((HOUR_MS, 80_000))).cause == "max_loss"
    assert judge(rules, story((HOUR_MS, 95_000))).cause == "profit_target"


# the others, at their bound


@pytest.mark.parametrize(("final", "expected"), [(102_000, True), (101_999, False)])
def test_profit_target(final: int, expected: bool) -> None:
    assert is_met(ProfitTarget(2 * PERCENT), story((DAY_MS, final))) is expected


@pytest.mark.parametrize(("best", "expected"), [(600, True), (601, False)])
def test_consistency_is_the_best_period_over_the_profit(best: int, expected: bool) -> None:
    hours = [(HOUR_MS // 2, 100_000 + best), (2 * HOUR_MS, 101_000), (3 * HOUR_MS, 101_000)]
    assert is_met(Consistency(60 * PERCENT, "hour"), story(*hours)) is expected


def test_consistency_by_the_day() -> None:
    path = story((HOUR_MS, 100_900), (2 * HOUR_MS, 100_400), (DAY_MS + HOUR_MS, 101_000))
    assert not is_met(Consistency(60 * PERCENT, "hour"), path)
    assert is_met(Consistency(60 * PERCENT, "day"), path)


def test_without_a_profit_the_best_hour_has_no_share() -> None:
    (finding,) = judge(Rules(1, (Consistency(60 * PERCENT, "hour"),)), story((HOUR_MS, 99_000))).findings
    assert (finding.is_met, finding.value) == (False, None)


def fills(count: int, *, hours: int, usd: int = 5_000, is_opening: bool = True) -> tuple[Fill, ...]:
    return tuple(
        Fill(T0 + number % hours * HOUR_MS + number * MINUTE_MS, usd * USD, 100_000 * USD, is_opening)
        for number in range(count)
    )


@pytest.mark.parametrize(
    ("done", "missed"),
    [
        (fills(6, hours=4), None),
        (fills(5, hours=4), "fills"),
        (fills(6, hours=3), "active_hours"),
        (fills(6, hours=4, usd=4_999), "fills"),
        ((*fills(5, hours=4), Fill(T0, 4_999 * USD, 100_000 * USD, True)), "fills"),
    ],
)
def test_minimum_activity(done: tuple[Fill, ...], missed: str | None) -> None:
    rule = MinimumActivity(6, 5 * PERCENT, 4, "hour")
    assert judge(Rules(1, (rule,)), story((DAY_MS, 100_000), fills=done)).cause == missed


def test_minimum_days_count_days_with_a_trade_opened() -> None:
    rule = MinimumActivity(0, 0, 2, "day", only_opening=True)
    opened = fills(1, hours=1)
    closed = (Fill(T0 + DAY_MS, 5_000 * USD, 100_000 * USD, False),)
    assert not is_met(rule, story((2 * DAY_MS, 100_000), fills=(*opened, *closed)))
    again = (Fill(T0 + DAY_MS, 5_000 * USD, 100_000 * USD, True),)
    assert is_met(rule, story((2 * DAY_MS, 100_000), fills=(*opened, *again)))


def test_survival_is_the_whole_window_without_liquidation() -> None:
    assert is_met(Survival(), story((DAY_MS, 100_000)))
    assert not is_met(Survival(), story((DAY_MS, 100_000), is_liquidated=True))
    assert not is_met(Survival(), story((DAY_MS, 100_000), window_ms=DAY_MS + 1))


# the product's own


def passing(*, final: int = 102_000, hours: Sequence[int] = (500, 500, 500, 500)) -> Facts:
    made = [(number * HOUR_MS + 1, 100_000 + sum(hours[: number + 1])) for number in range(len(hours))]
    return story(*made, (DAY_MS, final), fills=fills(6, hours=4))


def test_the_fair_rules_pass_what_meets_each_of_them_and_say_so() -> None:
    verdict = judge(fair(Settings()), passing())
    assert verdict.cause is None
    assert [(finding.criterion, finding.bound) for finding in verdict.findings] == [
        ("max_loss", 4 * PERCENT), ("survival", DAY_MS), ("profit_target", 2 * PERCENT), ("fills", 6),
        ("active_hours", 4), ("best_hour", 60 * PERCENT),
    ]  # fmt: skip
    assert [finding.value for finding in verdict.findings] == [0, DAY_MS, 2 * PERCENT, 6, 4, 25 * PERCENT]


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (passing(final=101_999), "profit_target"),
        (passing(hours=(1_201, 799, 0, 0)), "best_hour"),
        (passing()._replace(fills=()), "fills"),
        (passing()._replace(max_drawdown=4 * PERCENT + 1), "max_loss"),
        (story((HOUR_MS, 110_000), (2 * HOUR_MS, 105_599), (DAY_MS, 110_000)), "max_loss"),
    ],
)
def test_control_each_of_the_fair_rules_can_fail(facts: Facts, cause: str) -> None:
    assert judge(fair(Settings()), facts).cause == cause


def test_the_trailing_drawdown_is_four_percent_of_the_peak_and_no_more() -> None:
    at_the_bound = story((HOUR_MS, 110_000), (2 * HOUR_MS, 105_600), (DAY_MS, 110_000))
    assert judge(fair(Settings()), at_the_bound).findings[0].value == 4 * PERCENT
    assert judge(fair(Settings()), at_the_bound).findings[0].is_met


def test_rules_and_findings_come_back_as_they_were_stored() -> None:
    every = Rules(1, (*fair(Settings()).criteria, DailyLoss(THREE), MaxLoss("trailing-locks-at-initial", THREE)))
    again = criteria.decode(criteria.canonical.text(every))
    assert (again, again.digest) == (every, every.digest)
    findings = judge(every, passing()).findings
    assert criteria.findings_from(criteria.canonical.text(findings)) == findings


# properties

PATHS = st.lists(st.tuples(st.integers(1, 40), st.integers(80_000, 130_000)), min_size=1, max_size=30)


def along(steps: list[tuple[int, int]]) -> Facts:
    at, moments = 0, []
    for hours, equity in steps:
        at += hours * HOUR_MS
        moments.append((at, equity))
    return story(*moments)


@given(PATHS, st.integers(1, 3_000))
def test_a_loss_is_broken_exactly_when_its_value_is_above_the_limit(steps: list[tuple[int, int]], limit: int) -> None:
    for rule in (
        MaxLoss("static-initial", limit * PERCENT // 100),
        MaxLoss("trailing-realized-eod", limit * PERCENT // 100),
        MaxLoss("trailing-intraday-unrealized", limit * PERCENT // 100, of="peak"),
        MaxLoss("trailing-locks-at-initial", limit * PERCENT // 100, lock_offset=100 * USD),
        DailyLoss(limit * PERCENT // 100, basis="higher"),
    ):
        found = criteria.loss(rule, along(steps))
        assert found.is_broken == (found.value > rule.limit)


@given(PATHS, st.integers(1, 3_000))
def test_floors_are_in_order_of_how_strict_they_are(steps: list[tuple[int, int]], limit: int) -> None:
    """What a stricter kind lets pass, every milder one does too."""
    facts, rate = along(steps), limit * PERCENT // 100
    strict, middle, mild = (
        is_met(MaxLoss(kind, rate), facts)  # type: ignore[arg-type]
        for kind in ("trailing-intraday-unrealized", "trailing-realized-eod", "trailing-locks-at-initial")
    )
    static = is_met(MaxLoss("static-initial", rate), facts)
    assert strict <= middle <= mild <= static


@given(PATHS)
def test_gains_add_up_to_the_profit(steps: list[tuple[int, int]]) -> None:
    facts = along(steps)
    for period in ("hour", "day"):
        assert sum(criteria.gains(facts, period).values()) == facts.pnl  # type: ignore[arg-type]
