"""Stops and targets are armed by the fill that opens a position, re-armed or kept as it grows, gone when it is flat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.prop import accounts, stops
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import Grid
from tests.fakes.desk import Desk


def held(desk: Desk) -> tuple[str | None, str | None]:
    """Stop and target of the open BTC position as people see them."""
    (position,) = desk.view()["positions"]
    return position["stop"], position["target"]


def test_a_fill_arms_in_its_own_transaction_from_its_own_price(desk: Desk) -> None:
    """Bought at 100.03: a stop of 5 % is 95.0285, a target of 8 % is 108.0324; both down to the tick."""
    result = desk.order("open_long", stop="5", target="8")
    assert result.fills[0].price == "100.03"
    assert held(desk) == ("95.028", "108.03")
    assert (result.figures["stop"], result.figures["target"]) == ("95.028", "108.03")
    assert audit(desk.clash).is_clean


def test_a_short_stands_the_other_way_round_and_rounds_up(desk: Desk) -> None:
    """Sold at 99.972: a stop of 5 % is 104.9706, a target of 8 % is 91.97424; both up to the tick."""
    assert desk.order("open_short", stop="5", target="8").fills[0].price == "99.972"
    assert held(desk) == ("104.98", "91.975")


def test_a_target_may_lie_as_far_ahead_as_an_answer_may_ask(desk: Desk) -> None:
    """Answers ask for up to 1,000 %: for a long that is a price; a short cannot gain more than all of it."""
    assert desk.order("open_short", target="150").reject_code == "stop_invalid"
    assert desk.order("open_long", target="1000").status == "filled"
    assert held(desk) == (None, "1100.3")
    assert desk.order("increase", size_pct="1", target="1000.000001").reject_code == "stop_invalid"


def test_an_increase_keeps_what_it_does_not_name_and_rearms_what_it_does(desk: Desk) -> None:
    desk.order("open_long", stop="5", target="8")
    desk.order("increase", size_pct="5")
    assert held(desk) == ("95.028", "108.03")
    desk.order("increase", size_pct="5", stop="2")
    assert held(desk) == ("98.029", "108.03")


def test_a_reduction_keeps_both_whatever_it_says(desk: Desk) -> None:
    desk.order("open_long", stop="5", target="8")
    assert desk.order("reduce", size_pct="50", stop="1", target="-3").status == "filled"
    assert held(desk) == ("95.028", "108.03")


def test_a_close_clears_and_a_flip_arms_only_what_it_names(desk: Desk) -> None:
    desk.order("open_long", stop="5", target="8")
    desk.order("open_short", target="4")
    assert held(desk)[0] is None
    assert held(desk)[1] == "95.974"
    desk.order("close")
    with desk.clash.read() as connection:
        flat = accounts.positions(connection, desk.account_id)["BTC"]
    assert (flat.size, flat.stop, flat.target) == (0, None, None)
    desk.order("open_long")
    assert held(desk) == (None, None)


def test_a_rejected_increase_leaves_the_old_stop(desk: Desk) -> None:
    desk.order("open_long", stop="5")
    assert desk.order("increase", stop="0").reject_code == "stop_invalid"
    assert held(desk) == ("95.028", None)


def test_spot_is_armed_too(desk: Desk) -> None:
    """Bought at 2.0006, spot has 7 decimals at 1 size decimal: a stop of 10 % is 1.80054, down to five figures."""
    assert desk.order("open_long", "PURR/USDC", stop="10").status == "filled"
    assert held(desk) == ("1.8005", None)


@given(
    price=st.integers(1, 10**9),
    sz_decimals=st.integers(0, 5),
    side=st.sampled_from([1, -1]),
    stop=st.decimals("0.000001", "100", places=6),
)
def test_triggers_are_on_the_tick_and_rounded_like_the_fill_they_lead_to(
    price: int, sz_decimals: int, side: int, stop: object
) -> None:
    grid = Grid("perp", sz_decimals)
    armed = stops.armed(
        Proposal("X", "open_long", "1", 1, str(stop), str(stop)), Position("X", "perp", 2), side, price, grid
    )
    assert armed.stop is not None
    assert armed.target is not None
    share = int(str(stop).replace(".", ""))
    for trigger, exact in (
        (armed.stop, price * (10**8 - side * share)),
        (armed.target, price * (10**8 + side * share)),
    ):
        if trigger:
            assert grid.on_tick(trigger)
        assert trigger * 10**8 <= exact if side > 0 else trigger * 10**8 >= exact


@pytest.mark.parametrize("text", ["0", "-5", "101", "1e1", "x"])
def test_nonsense_arms_no_price(text: str) -> None:
    made = stops.armed(Proposal("X", "open_long", "1", 1, text), Position("X", "perp", 2), 1, 100, Grid("perp", 2))
    assert (made.stop, made.target) == (0, None)
