"""The order of finish: total, whatever the sequence, and by the rules of 11 (16)."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.arena import ranking
from clash_pipeline.arena.ranking import CLASSES, LEAST_GROSS_SHARE, Finisher

FIGURES = st.integers(-3, 3)


def finisher(clone_id: int = 1, **changed: Any) -> Finisher:
    """An active survivor with some figures changed."""
    plain = Finisher(
        clone_id=clone_id, slot_entered_at=0, is_removed=False, is_liquidated=False, final_equity=100, max_drawdown=5,
        ended_at=1_000, fills=3, gross_share=LEAST_GROSS_SHARE,
    )  # fmt: skip
    return plain._replace(**changed)


@st.composite
def fields(draw: st.DrawFn) -> list[Finisher]:
    """Up to eight starters whose figures often tie."""
    clones = draw(st.lists(st.integers(1, 30), unique=True, max_size=8))
    return [
        Finisher(
            clone_id, draw(FIGURES), draw(st.booleans()), draw(st.booleans()), draw(FIGURES), draw(FIGURES),
            draw(FIGURES), draw(st.integers(0, 1)),
            draw(st.sampled_from((None, 0, LEAST_GROSS_SHARE - 1, LEAST_GROSS_SHARE))),
        )
        for clone_id in clones
    ]  # fmt: skip


@given(fields(), st.randoms(use_true_random=False))
def test_the_sequence_of_the_starters_changes_nothing(field: list[Finisher], chance: random.Random) -> None:
    shuffled = chance.sample(field, len(field))
    assert ranking.rank(shuffled) == ranking.rank(field)


@given(fields())
def test_every_starter_has_one_rank(field: list[Finisher]) -> None:
    placed = ranking.rank(field)
    assert [one.rank for one in placed] == list(range(1, len(field) + 1))
    assert sorted(one.clone_id for one in placed) == sorted(one.clone_id for one in field)


@given(fields())
def test_each_neighbour_is_better_by_the_first_rule_that_tells_them_apart(field: list[Finisher]) -> None:
    """An oracle that shares no code with the key: the rules, one after the other."""
    placed = [one.finisher for one in ranking.rank(field)]
    for better, worse in itertools.pairwise(placed):
        assert is_better(better, worse)
        assert not is_better(worse, better)


def is_better(one: Finisher, other: Finisher) -> bool:
    if one.standing != other.standing:
        return CLASSES.index(one.standing) < CLASSES.index(other.standing)
    if one.standing == "liquidated" and one.ended_at != other.ended_at:
        return one.ended_at > other.ended_at
    if one.final_equity != other.final_equity:
        return one.final_equity > other.final_equity
    if one.max_drawdown != other.max_drawdown:
        return one.max_drawdown < other.max_drawdown
    if one.slot_entered_at != other.slot_entered_at:
        return one.slot_entered_at < other.slot_entered_at
    return one.clone_id < other.clone_id


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"final_equity": 101}, {}),
        ({"max_drawdown": 4}, {}),
        ({"slot_entered_at": -1}, {}),
        ({}, {"fills": 0, "final_equity": 900}),
        ({}, {"gross_share": LEAST_GROSS_SHARE - 1, "final_equity": 900}),
        ({}, {"gross_share": None, "final_equity": 900}),
        ({"fills": 0}, {"is_liquidated": True, "final_equity": 900}),
        ({"is_liquidated": True, "ended_at": 1_001}, {"is_liquidated": True, "final_equity": 900}),
        ({"is_liquidated": True}, {"is_removed": True, "final_equity": 900}),
        ({"is_removed": True, "final_equity": 101}, {"is_removed": True, "ended_at": 2_000}),
    ],
)
def test_the_rules_one_by_one(better: dict[str, Any], worse: dict[str, Any]) -> None:
    """The better one has the larger id, which decides last."""
    placed = ranking.rank([finisher(1, **worse), finisher(2, **better)])
    assert [one.clone_id for one in placed] == [2, 1]


def test_the_smaller_clone_id_decides_last() -> None:
    assert [one.clone_id for one in ranking.rank([finisher(2), finisher(1)])] == [1, 2]


def test_a_clone_finishes_once() -> None:
    with pytest.raises(ValueError, match="a clone finishes once"):
        ranking.rank([finisher(1), finisher(1)])


def test_control_equity_alone_is_no_order_of_finish() -> None:
    """Sorted by equity only, an idle clone and a liquidated one would win."""
    idle, broken = finisher(1, fills=0, final_equity=900), finisher(2, is_liquidated=True, final_equity=800)
    field = [idle, broken, finisher(3)]
    by_equity = sorted(field, key=lambda one: -one.final_equity)
    assert [one.clone_id for one in ranking.rank(field)] == [3, 1, 2] != [one.clone_id for one in by_equity]
