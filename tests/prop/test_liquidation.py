"""Liquidation: whole, at the mark, with slippage, fee and shortfall; then flat and frozen (04, 10 §3.8, 11.8)."""

import pytest
from msgspec import structs

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.prop import accounts, liquidation, policy, results
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.marks import mark, mark_all
from clash_pipeline.prop.results import Result
from clash_pipeline.units import RATE, USD, usd_text
from tests.fakes import market_rows
from tests.fakes.desk import Desk


def after_a_minute(desk: Desk, price: str) -> Result | None:
    desk.clock.advance(MINUTE_MS)
    desk.price("BTC", price)
    mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())
    with desk.clash.read() as connection:
        return results.get(connection, desk.account_id)


def test_a_drawdown_beyond_the_limit_ends_the_account(desk: Desk) -> None:
    """Long 90,000 at 100: at 91 it has lost 8.1 %, at 88.5 more than the 10 % it may."""
    desk.order("open_long", size_pct="90", leverage=2)
    assert after_a_minute(desk, "91") is None
    result = after_a_minute(desk, "88.5")
    assert result is not None
    assert (result.state, result.trades, result.wins, result.fills) == ("liquidated", 1, 0, 2)
    assert result.reason.startswith("drawdown: equity 89")
    view = desk.view()
    assert (view["state"], view["positions"], view["balance"]) == ("liquidated", [], usd_text(result.final_equity))
    assert view["fills"][0]["origin"] == "liquidation"
    assert view["fills"][0]["price_source"] == "venue"
    assert float(view["fills"][0]["price"]) < 88.5, "slippage is paid"
    assert audit(desk.clash).is_clean


@pytest.mark.parametrize(
    ("basis", "peak", "equity", "is_broken"),
    [
        ("static", 150_000, 90_000, False),
        ("static", 150_000, 89_999, True),
        ("trailing", 150_000, 135_000, False),
        ("trailing", 150_000, 134_999, True),
    ],
)
def test_the_limit_itself_is_still_kept(desk: Desk, basis: str, peak: int, equity: int, is_broken: bool) -> None:
    """A race counts from the start balance, so that a leader is not liquidated above it; the rest from the peak."""
    terms = structs.replace(policy.sandbox(desk.settings), drawdown_basis=basis, max_drawdown=RATE // 10)
    with desk.clash.read() as connection:
        account = accounts.get(connection, desk.account_id)
    account = structs.replace(account, policy=terms, high_water_mark=peak * USD)
    found = liquidation.breach(account, Book(equity * USD, {}), {})
    assert (found is not None) == is_broken


def test_equity_under_maintenance_margin_liquidates(desk: Desk) -> None:
    """Long 2.7 times equity at 5x: maintenance is a tenth of the notional, and no drawdown limit comes first."""
    market_rows.list_asset(desk.market, "MEME", sz_decimals=0, max_leverage=5)
    desk.open(max_drawdown=RATE, max_position_pct=500, max_gross_pct=500)
    market_rows.mid(desk.market, "MEME", "10", desk.clock.now_ms())
    market_rows.context(desk.market, "MEME", desk.clock.now_ms(), mark="10", impact=("10", "10"))
    assert desk.order("open_long", "MEME", size_pct="90", leverage=5).status == "filled"
    assert desk.order("increase", "MEME", size_pct="90", leverage=5).status == "filled"
    assert desk.order("increase", "MEME", size_pct="90", leverage=5).status == "filled"
    desk.clock.advance(MINUTE_MS)
    market_rows.context(desk.market, "MEME", desk.clock.now_ms(), mark="7", impact=("7", "7"))
    mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())
    with desk.clash.read() as connection:
        result = results.get(connection, desk.account_id)
    assert result is not None
    assert result.reason.startswith("maintenance: equity")
    assert audit(desk.clash).is_clean


def test_a_gap_beyond_the_balance_is_a_shortfall_of_its_own(desk: Desk) -> None:
    """Long three times equity, the price halves at once: the balance ends at zero, not below."""
    desk.open(max_drawdown=RATE, max_position_pct=500, max_gross_pct=500)
    desk.order("open_long", size_pct="100", leverage=5)
    for _ in range(2):
        assert desk.order("increase", size_pct="100", leverage=5).status == "filled"
    result = after_a_minute(desk, "50")
    assert result is not None
    assert result.final_equity == 0
    assert result.shortfall > 40_000 * USD
    (group,) = [found for found in desk.view()["ledger"] if found["kind"] == "liquidation"]
    assert group["lines"] == [{"kind": "shortfall", "symbol": "", "amount": usd_text(result.shortfall)}]
    assert audit(desk.clash).is_clean


def test_a_halt_does_not_stop_liquidation_and_a_wick_does_not_start_it(desk: Desk) -> None:
    desk.order("open_long", size_pct="100", leverage=2)
    accounts.halt(desk.clash, actor="ann", reason="look", now_ms=desk.clock.now_ms())
    desk.clock.advance(MINUTE_MS)
    desk.price("BTC", "100")
    market_rows.mid(desk.market, "BTC", "70", desk.clock.now_ms())
    assert mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms()) is not None
    assert after_a_minute(desk, "80") is not None
    assert audit(desk.clash).is_clean


def test_a_position_without_a_mark_goes_at_its_last_one(desk: Desk) -> None:
    desk.order("open_long", size_pct="80", leverage=3)
    desk.order("open_long", "PURR/USDC", size_pct="10")
    desk.clock.advance(15 * MINUTE_MS)
    assert after_a_minute(desk, "80") is not None
    sources = {fill["symbol"]: fill["price_source"] for fill in desk.view()["fills"] if fill["origin"] == "liquidation"}
    assert sources == {"BTC": "venue", "PURR/USDC": "carried"}
    assert audit(desk.clash).is_clean


def test_many_accounts_share_one_look_and_the_ended_ones_are_named(desk: Desk) -> None:
    first = desk.account_id
    desk.order("open_long", size_pct="100", leverage=2)
    second = desk.open()
    desk.order("open_short", size_pct="50", leverage=2)
    desk.clock.advance(MINUTE_MS)
    desk.price("BTC", "80")
    tick = mark_all(desk.clash, desk.venue, [first, second], desk.clock.now_ms())
    assert (tick.ended, [snapshot.account_id for snapshot in tick.snapshots], tick.left) == ([first], [second], {})
    again = mark_all(desk.clash, desk.venue, [first, second], desk.clock.now_ms())
    assert again.snapshots == tick.snapshots
    assert audit(desk.clash).is_clean
