"""The immediate and the later market, chosen from a handful of candidates written out."""

import random
from typing import Any

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.market.polymarket.selection import Candidate, Choice, choose

NOW = 1_753_100_000_000


def candidate(market_id: str, ends_in: int | None, liquidity: float | None = 10.0, **changes: Any) -> Candidate:
    end_at = None if ends_in is None else NOW + ends_in
    made = Candidate(market_id, f"slug-{market_id}", None, end_at, True, False, True, liquidity)
    return made._replace(**changes)


def ids(choice: Choice) -> tuple[str | None, str | None]:
    return (choice.immediate and choice.immediate.market_id, choice.later and choice.later.market_id)


def chosen(*candidates: Candidate) -> tuple[str | None, str | None]:
    return ids(choose(candidates, NOW, later_days=60))


def test_the_soonest_is_immediate_and_the_most_liquid_after_it_is_later() -> None:
    soon, liquid, thin = candidate("1", HOUR_MS), candidate("2", 5 * DAY_MS, 900), candidate("3", 2 * HOUR_MS, 5)
    assert chosen(liquid, thin, soon) == ("1", "2")


def test_a_window_that_has_not_begun_can_only_be_later() -> None:
    upcoming = candidate("1", 10 * MINUTE_MS, start_at=NOW + 5 * MINUTE_MS)
    running = candidate("2", 15 * MINUTE_MS, start_at=NOW)
    assert chosen(upcoming, running) == ("2", None)
    assert chosen(upcoming) == (None, "1")


@pytest.mark.parametrize(
    "change", [{"is_closed": True}, {"is_active": False}, {"has_prices": False}, {"end_at": NOW}, {"end_at": None}]
)
def test_what_is_closed_silent_or_over_is_never_chosen(change: dict[str, Any]) -> None:
    assert chosen(candidate("1", HOUR_MS)._replace(**change)) == (None, None)


def test_immediate_ends_within_a_day_and_later_within_the_horizon() -> None:
    assert chosen(candidate("1", DAY_MS)) == ("1", None)
    assert chosen(candidate("1", DAY_MS + 1)) == (None, "1")
    assert chosen(candidate("1", 60 * DAY_MS)) == (None, "1")
    assert chosen(candidate("1", 60 * DAY_MS + 1)) == (None, None)


def test_ties_go_to_liquidity_then_to_the_smaller_id() -> None:
    assert chosen(candidate("11", HOUR_MS, 5), candidate("9", HOUR_MS, 7), candidate("10", HOUR_MS, 7)) == ("9", None)
    assert chosen(candidate("2", HOUR_MS, None), candidate("3", HOUR_MS, 0.0)) == ("3", None)


def test_unknown_liquidity_is_not_zero_but_cannot_win() -> None:
    assert chosen(candidate("1", 2 * DAY_MS, None), candidate("2", 3 * DAY_MS, 0.0)) == (None, "2")
    assert chosen(candidate("1", 2 * DAY_MS, None)) == (None, "1")


def test_any_order_gives_the_same_choice() -> None:
    source = random.Random(5)
    many = [
        candidate(str(place), source.choice((HOUR_MS, DAY_MS, 3 * DAY_MS)), source.choice((None, 1.0, 2.0)))
        for place in range(40)
    ]
    expected = chosen(*many)
    for _ in range(50):
        source.shuffle(many)
        assert chosen(*many) == expected
