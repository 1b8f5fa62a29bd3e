"""Stops and targets fire on the mark and fill at the worse of trigger and next execution price (04, 11.6)."""

import pytest

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.prop import accounts
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.marks import mark
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.prop.triggers import fired
from tests.fakes import market_rows
from tests.fakes.desk import Desk


def armed(
    desk: Desk, action: str = "open_long", symbol: str = "BTC", *, stop: str | None = "5", target: str | None = "5"
) -> None:
    """A position of 10 % with a stop and a target so many percent from its entry at 100."""
    desk.run_id += 1
    (result,) = desk.submit(Proposal(symbol, action, "10", 1, stop, target))
    assert result.status == "filled", result
    desk.clock.advance(MINUTE_MS)


def tick(desk: Desk) -> None:
    mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())


def newest_fill(desk: Desk) -> tuple[str, str, str]:
    fill = desk.view()["fills"][0]
    return fill["origin"], fill["side"], fill["price"]


@pytest.mark.parametrize(
    ("action", "price", "origin", "side", "filled_at"),
    [
        ("open_long", "90", "stop", "sell", "89.976"),  # gapped through 95.028: the next price is worse
        ("open_long", "110", "target", "sell", "105.03"),  # past 105.03: the trigger is worse
        ("open_short", "110", "stop", "buy", "110.04"),
        ("open_short", "90", "target", "buy", "94.974"),
    ],
)
def test_the_worse_of_trigger_and_next_price_is_paid(
    desk: Desk, action: str, price: str, origin: str, side: str, filled_at: str
) -> None:
    armed(desk, action)
    desk.price("BTC", price)
    tick(desk)
    assert newest_fill(desk) == (origin, side, filled_at)
    assert desk.view()["positions"] == []
    assert audit(desk.clash).is_clean


def test_a_trigger_that_is_not_reached_does_nothing(desk: Desk) -> None:
    armed(desk)
    desk.price("BTC", "96")
    tick(desk)
    assert newest_fill(desk)[0] == "decision"
    with desk.clash.read() as connection:
        held = accounts.positions(connection, desk.account_id)["BTC"]
    assert (held.stop, held.target) == (95_028, 105_030)


@pytest.mark.parametrize(("mark_at", "kind"), [(950, "stop"), (951, None), (1_049, None), (1_050, "target")])
def test_touching_the_trigger_is_enough(mark_at: int, kind: str | None) -> None:
    position = Position("BTC", "perp", 3, size=1, cost=1, opened_at=1, mark=mark_at, stop=950, target=1_050)
    found = fired(position)
    assert (found.kind if found else None) == kind


def test_spot_has_stops_too(desk: Desk) -> None:
    armed(desk, symbol="PURR/USDC")
    desk.price("PURR/USDC", "1.5")
    tick(desk)
    assert newest_fill(desk)[:2] == ("stop", "sell")


def test_a_wick_of_the_price_fires_nothing(desk: Desk) -> None:
    """The mid crashes by 30 %, the mark does not: stops look at the mark."""
    armed(desk)
    desk.price("BTC", "100")
    market_rows.mid(desk.market, "BTC", "70", desk.clock.now_ms())
    tick(desk)
    assert newest_fill(desk)[0] == "decision"


def test_without_a_fresh_price_it_stays_armed_until_the_next_tick(desk: Desk) -> None:
    armed(desk)
    market_rows.context(desk.market, "BTC", desk.clock.now_ms(), mark="90")
    tick(desk)
    assert newest_fill(desk)[0] == "decision"
    desk.clock.advance(MINUTE_MS)
    desk.price("BTC", "90")
    tick(desk)
    assert newest_fill(desk)[:2] == ("stop", "sell")


def test_a_carried_mark_fires_nothing(desk: Desk) -> None:
    armed(desk)
    desk.clock.advance(20 * MINUTE_MS)
    market_rows.mid(desk.market, "BTC", "90", desk.clock.now_ms())
    tick(desk)
    assert newest_fill(desk)[0] == "decision"


def test_a_kill_switch_stops_stops_too_and_a_pause_does_not(desk: Desk) -> None:
    armed(desk)
    accounts.halt(desk.clash, actor="ann", reason="look", now_ms=desk.clock.now_ms())
    accounts.move(desk.clash, desk.account_id, "paused", now_ms=desk.clock.now_ms(), actor="ann", reason="look")
    desk.price("BTC", "91")
    tick(desk)
    assert newest_fill(desk)[0] == "decision"
    accounts.release(desk.clash, actor="ann", now_ms=desk.clock.now_ms())
    desk.clock.advance(MINUTE_MS)
    desk.price("BTC", "91")
    tick(desk)
    assert newest_fill(desk)[0] == "stop"
    assert audit(desk.clash).is_clean


def test_the_natural_key_of_a_triggered_order_is_its_minute(desk: Desk) -> None:
    armed(desk)
    desk.price("BTC", "90")
    tick(desk)
    tick(desk)
    with desk.clash.read() as connection:
        rows = connection.execute("SELECT symbol, trigger_minute FROM prop_orders WHERE origin = 'stop'").fetchall()
    assert [tuple(row) for row in rows] == [("BTC", minute_of(desk.clock.now_ms()))]
