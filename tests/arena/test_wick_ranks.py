"""D8 over ranks: a spike of 60 s and ±30 % just before the end of a race changes neither rank nor class of anybody."""

import pytest

from clash_pipeline.arena import ranking
from clash_pipeline.prop import results, venue
from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.pricing import Quote, Reference
from tests.fakes.desk import Desk
from tests.prop import test_wick as wicks
from tests.prop.conftest import desk

__all__ = ["desk"]


@pytest.fixture(autouse=True)
def by_the_rules_of_a_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenarios of the accounts, finished in the order of a race."""

    def order(desk: Desk, racers: list[int]) -> wicks.Finish:
        with desk.clash.read() as connection:
            ended = [results.get(connection, account_id) for account_id in racers]
        placed = ranking.rank(
            ranking.finisher(number, 0, result, is_removed=False)
            for number, result in enumerate(ended)
            if result is not None
        )
        assert len(placed) == len(racers)
        return [(one.clone_id, one.finisher.standing, one.rank) for one in placed]

    monkeypatch.setattr(wicks, "order_of_finish", order)


def test_a_wick_before_the_end_changes_no_rank(desk: Desk) -> None:
    assert wicks.differing(desk, wicks.SEEDS) == []


@pytest.mark.soak
def test_a_wick_before_the_end_changes_no_rank_soak(desk: Desk) -> None:
    assert wicks.differing(desk, wicks.SOAK_SEEDS) == []


def test_control_marks_at_the_last_close_would_change_ranks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def newest_close(quote: Quote, policy: Policy, now_ms: int) -> Reference | None:
        return quote.closes_mark

    monkeypatch.setattr(venue, "MARK_CLOSES", 1)
    monkeypatch.setattr(Quote, "mark", newest_close)
    assert wicks.differing(desk, range(7, 9)) != []
