"""Each gate has a test that makes it fire, with the figures it decided on; and one line that passes all of them."""

import re
from pathlib import Path

import pytest

from clash_pipeline.prop import accounts, gates
from clash_pipeline.prop.audit import audit
from tests.fakes import market_rows
from tests.fakes.desk import Desk


def refused(desk: Desk, code: str, action: str = "open_long", **order: object) -> dict[str, object]:
    """Place an order that must be refused with this code; the refusal is stored, and nothing else is."""
    before = desk.view()
    result = desk.order(action, **order)  # type: ignore[arg-type]
    assert (result.status, result.reject_code, result.fills) == ("rejected", code, ())
    after = desk.view()
    assert after["balance"] == before["balance"]
    assert (after["fills"], after["positions"]) == (before["fills"], before["positions"])
    assert (after["actions"][0]["reject_code"], after["actions"][0]["figures"]) == (code, result.figures)
    return dict(result.figures)


def test_an_order_within_all_limits_is_filled(desk: Desk) -> None:
    assert desk.order("open_long", size_pct="10", leverage=2).status == "filled"


def test_trading_halted_by_the_global_switch_and_by_its_own(desk: Desk) -> None:
    now = desk.clock.now_ms()
    assert accounts.halt(desk.clash, actor="admin", reason="drill", now_ms=now)
    assert not accounts.halt(desk.clash, actor="admin", reason="again", now_ms=now)
    assert refused(desk, "trading_halted") == {"halt": "all accounts: drill"}
    assert accounts.release(desk.clash, actor="admin", now_ms=now)
    accounts.halt(desk.clash, actor="admin", reason="look", now_ms=now, account_id=desk.account_id)
    assert refused(desk, "trading_halted") == {"halt": "this account: look"}
    accounts.release(desk.clash, actor="admin", now_ms=now, account_id=desk.account_id)
    assert desk.order("open_long").status == "filled"


@pytest.mark.parametrize("state", ["paused", "locked"])
def test_account_not_active(desk: Desk, state: str) -> None:
    now = desk.clock.now_ms()
    accounts.move(desk.clash, desk.account_id, state, now_ms=now, actor="admin", reason="x")  # type: ignore[arg-type]
    assert refused(desk, "account_not_active") == {"state": state}


def test_window_closed_at_its_very_end(desk: Desk) -> None:
    now = desk.clock.now_ms()
    desk.open(kind="race", ends_at=now + 1)
    assert desk.order("open_long").status == "filled"
    desk.clock.advance(1)
    assert refused(desk, "window_closed")["ends_at"] == now + 1


@pytest.mark.parametrize("action", ["hold", "cancel", "transfer"])
def test_action_unsupported(desk: Desk, action: str) -> None:
    assert refused(desk, "action_unsupported", action) == {"action": action}


def test_symbol_not_allowed_but_what_is_held_may_leave(desk: Desk) -> None:
    desk.open(symbols=("ETH",))
    assert refused(desk, "symbol_not_allowed") == {"symbol": "BTC", "allowed": 1}


def test_symbol_not_tradable(desk: Desk) -> None:
    assert refused(desk, "symbol_not_tradable", symbol="NOPE") == {"symbol": "NOPE", "why": "unknown"}
    market_rows.list_asset(desk.market, "OLD", delisted=True)
    desk.price("OLD", "5")
    assert refused(desk, "symbol_not_tradable", symbol="OLD")["why"] == "delisted"
    market_rows.list_asset(desk.market, "INDEX", channels=("rsi",))
    assert refused(desk, "symbol_not_tradable", symbol="INDEX")["why"] == "context only"


def test_price_unavailable(desk: Desk) -> None:
    market_rows.list_asset(desk.market, "ETH")
    assert refused(desk, "price_unavailable", symbol="ETH") == {"symbol": "ETH"}


def test_price_stale_is_exact_at_the_boundary_for_a_mid(desk: Desk) -> None:
    desk.clock.advance(15_000)
    assert desk.order("open_long").status == "filled"
    desk.clock.advance(1)
    assert refused(desk, "price_stale") == {"source": "mid", "age_ms": 15_001, "limit_ms": 15_000}


def test_price_stale_is_exact_at_the_boundary_for_a_candle(desk: Desk) -> None:
    market_rows.list_asset(desk.market, "ETH")
    closed_at = desk.clock.now_ms() - desk.clock.now_ms() % 60_000
    market_rows.closes(desk.market, "ETH", closed_at, ["2000"], volume="10000")
    desk.clock.set(closed_at + 75_000)
    assert desk.order("open_long", "ETH").fills[0].price_source == "candle"
    desk.clock.advance(1)
    assert refused(desk, "price_stale", symbol="ETH") == {"source": "candle", "age_ms": 75_001, "limit_ms": 75_000}


def test_a_flat_minute_is_not_a_price(desk: Desk) -> None:
    """A frozen asset goes on writing flat minutes; they repeat an old price and must not make it young (09 D4)."""
    market_rows.list_asset(desk.market, "ETH")
    closed_at = desk.clock.now_ms() - desk.clock.now_ms() % 60_000
    market_rows.closes(desk.market, "ETH", closed_at - 120_000, ["2000"])
    market_rows.closes(desk.market, "ETH", closed_at, ["2000", "2000"], volume="0.0")
    assert refused(desk, "price_stale", symbol="ETH")["source"] == "candle"


@pytest.mark.parametrize("size", ["0", "-1", "NaN", "1e-30", "1" + "0" * 30, "100.000001", "0.00001", "", "5%"])
def test_size_invalid(desk: Desk, size: str) -> None:
    assert refused(desk, "size_invalid", size_pct=size)["equity"] == "100000"


def test_size_invalid_when_equity_is_gone(desk: Desk) -> None:
    desk.open(balance_usd=1)
    assert refused(desk, "size_invalid", size_pct="1")["sz_decimals"] == 3


@pytest.mark.parametrize("action", ["increase", "reduce", "close"])
def test_no_position(desk: Desk, action: str) -> None:
    assert refused(desk, "no_position", action) == {"action": action, "symbol": "BTC"}


def test_side_conflict(desk: Desk) -> None:
    desk.order("open_long")
    assert refused(desk, "side_conflict", "open_long")["held"].startswith("99.9")  # type: ignore[attr-defined]
    assert refused(desk, "side_conflict", "open_short", symbol="PURR/USDC")["kind"] == "spot"


def test_below_min_notional_but_a_full_close_is_exempt(desk: Desk) -> None:
    assert refused(desk, "below_min_notional", size_pct="0.009") == {"notional": "8.90089", "limit": "10"}
    desk.order("open_long", size_pct="0.02")
    assert refused(desk, "below_min_notional", "reduce", size_pct="20")["limit"] == "10"
    desk.price("BTC", "40")
    assert desk.order("close").status == "filled"


def test_leverage_exceeded_by_policy_by_asset_and_for_spot(desk: Desk) -> None:
    market_rows.list_asset(desk.market, "TINY", max_leverage=3)
    desk.price("TINY", "10")
    assert refused(desk, "leverage_exceeded", leverage=0) == {"leverage": 0, "limit": 5}
    assert refused(desk, "leverage_exceeded", leverage=51) == {"leverage": 51, "limit": 5}
    assert refused(desk, "leverage_exceeded", symbol="TINY", leverage=4) == {"leverage": 4, "limit": 3}
    assert refused(desk, "leverage_exceeded", symbol="PURR/USDC", leverage=2) == {"leverage": 2, "limit": 1}


def test_leverage_follows_the_tier_of_the_notional(desk: Desk) -> None:
    market_rows.list_asset(desk.market, "TIER", tiers=(("0.0", 5), ("20000.0", 2)))
    desk.price("TIER", "10")
    assert desk.order("open_long", "TIER", size_pct="19", leverage=3).status == "filled"
    assert refused(desk, "leverage_exceeded", "increase", symbol="TIER", size_pct="2", leverage=3)["limit"] == 2


def test_position_limit(desk: Desk) -> None:
    desk.open(max_position_pct=25)
    assert desk.order("open_long", size_pct="25", leverage=2).status == "filled"
    assert refused(desk, "position_limit", "increase", size_pct="1", leverage=2)["limit_pct"] == 25


def test_exposure_limit_counts_every_position(desk: Desk) -> None:
    desk.open(max_gross_pct=30)
    desk.order("open_long", "PURR/USDC", size_pct="20")
    assert desk.order("open_short", size_pct="9", leverage=2).status == "filled"
    assert refused(desk, "exposure_limit", "increase", size_pct="2", leverage=2)["limit_pct"] == 30


def test_open_positions_limit(desk: Desk) -> None:
    desk.open(max_open_positions=1)
    desk.order("open_long")
    assert refused(desk, "open_positions_limit", symbol="PURR/USDC") == {"positions": 2, "limit": 1}


def test_insufficient_margin(desk: Desk) -> None:
    desk.order("open_long", size_pct="60", leverage=1)
    assert "margin" in refused(desk, "insufficient_margin", "open_long", symbol="PURR/USDC", size_pct="50")
    assert desk.order("open_long", "PURR/USDC", size_pct="39").status == "filled"


def test_liquidity_limit_above_the_share_of_a_days_volume_and_where_it_is_unknown(desk: Desk) -> None:
    """0.5 % of 1,000,000 USD is 5,000; an asset whose volume nobody knows cannot be shown to carry any order."""
    desk.price("BTC", "100", day_volume="1000000")
    assert desk.order("open_long", size_pct="4.9").status == "filled"
    figures = refused(desk, "liquidity_limit", "increase", size_pct="5.2")
    assert (figures["limit"], figures["day_volume"]) == ("5000", "1000000")
    market_rows.list_asset(desk.market, "NEW")
    market_rows.mid(desk.market, "NEW", "10", desk.clock.now_ms())
    assert refused(desk, "liquidity_limit", symbol="NEW", size_pct="1") == {
        "notional": "999.698", "limit": "0", "day_volume": None,
    }  # fmt: skip


def test_liquidity_limit_above_the_slippage_an_account_may_pay_but_never_for_a_reduction(desk: Desk) -> None:
    """0.5 bp + 0.7 × 10 % × √(40,000 / 10⁷) = 44.8 bp; on sandbox terms it is only capped."""
    desk.price("BTC", "100", day_volume="10000000")
    assert desk.order("open_long", size_pct="40").status == "filled"
    desk.open(max_slippage=400_000)
    assert refused(desk, "liquidity_limit", size_pct="40") == {"slippage": "0.00447719", "limit": "0.004"}
    assert desk.order("open_long", size_pct="30").status == "filled"
    desk.price("BTC", "100", day_volume="1000000")
    assert desk.order("close").status == "filled"


def test_stop_invalid_where_it_is_no_percentage(desk: Desk) -> None:
    for text in ("0", "-1", "NaN", "1e1", ""):
        assert refused(desk, "stop_invalid", stop=text)["field"] == "stop_loss_pct"
        assert refused(desk, "stop_invalid", target=text)["field"] == "take_profit_pct"
    assert refused(desk, "stop_invalid", stop="100.1")["limit"] == "above 0, at most 100"
    assert refused(desk, "stop_invalid", target="1000.1")["limit"] == "above 0, at most 1000"


def test_stop_invalid_on_the_wrong_side_of_the_execution_price_or_the_mark(desk: Desk) -> None:
    """Bought at 100.03 with the mark at 100: a stop of 0.01 % is 100.01, already reached by the mark."""
    assert refused(desk, "stop_invalid", stop="0.01") == {
        "stop": "100.01", "mark": "100", "why": "wrong side of the mark",
    }  # fmt: skip
    assert refused(desk, "stop_invalid", target="0.001")["why"] == "wrong side of the execution price"
    assert refused(desk, "stop_invalid", "open_short", target="100")["why"] == "wrong side of the execution price"
    assert refused(desk, "stop_invalid", stop="100", symbol="PURR/USDC")["stop"] == "0"


def test_stop_invalid_beyond_the_liquidation_price_or_the_drawdown_floor(desk: Desk) -> None:
    """90 % in BTC: 10 % of drawdown are gone 11.1 % below; without that floor only the margin ends the account."""
    figures = refused(desk, "stop_invalid", size_pct="90", stop="12")
    assert figures["why"] == "beyond the drawdown floor"
    assert (figures["stop"], figures["drawdown floor"]) == ("88.07", "89.006")
    desk.open(max_drawdown=100_000_000, max_position_pct=300)
    assert desk.order("open_long", size_pct="100", leverage=5, stop="99").status == "filled"
    figures = refused(desk, "stop_invalid", "increase", size_pct="100", leverage=5, stop="60")
    assert figures["why"] == "beyond the liquidation price"
    assert refused(desk, "stop_invalid", "increase", size_pct="100", leverage=5)["stop"] == "1"  # the one it kept
    assert desk.order("increase", size_pct="100", leverage=5, stop="40").status == "filled"


def test_risk_budget_of_all_positions_together(desk: Desk) -> None:
    """σ6h is unknown, so 15 %: 3 % of 100,000 USD carries 20,000 of notional, in one asset or in two."""
    desk.open(risk_budget=3_000_000)
    assert refused(desk, "risk_budget", size_pct="21") == {
        "risk": "3149.999496", "limit": "3000", "volatility_6h": "0.15",
    }  # fmt: skip
    assert desk.order("open_long", size_pct="15").status == "filled"
    assert refused(desk, "risk_budget", symbol="PURR/USDC", size_pct="6")["limit"] == "2999.61757203"
    assert refused(desk, "risk_budget", "increase", size_pct="6")["volatility_6h"] == "0.15"
    assert desk.order("reduce", size_pct="10").status == "filled"


def test_risk_budget_takes_volatility_from_a_week_of_hours(desk: Desk) -> None:
    """Hourly returns of ±1 %: σ6h is √6 × 1 % = 2.45 %, so 3 % of equity carries 123 % of it."""
    hour = desk.clock.now_ms() - desk.clock.now_ms() % 3_600_000
    for back in range(168, 0, -1):
        close = "100" if back % 2 else "101"
        market_rows.candle(desk.market, "BTC", hour - back * 3_600_000, close, interval="1h")
    desk.open(risk_budget=3_000_000, max_position_pct=300)
    assert desk.order("open_long", size_pct="100", leverage=5).status == "filled"
    assert refused(desk, "risk_budget", "increase", size_pct="25", leverage=5)["volatility_6h"] == "0.02437395"
    assert desk.order("increase", size_pct="22", leverage=5).status == "filled"


def test_spot_is_paid_in_free_cash_and_not_allowed_in_races(desk: Desk) -> None:
    desk.order("open_long", size_pct="50", leverage=5)
    desk.price("BTC", "150")  # 25,000 USD of profit that is not booked buys no spot
    assert "cash" in refused(desk, "insufficient_margin", symbol="PURR/USDC", size_pct="75")
    assert desk.order("open_long", "PURR/USDC", size_pct="60").status == "filled"
    desk.open(allows_spot=False)
    assert refused(desk, "symbol_not_allowed", symbol="PURR/USDC") == {"symbol": "PURR/USDC", "kind": "spot"}


def test_window_closed_ten_minutes_before_the_end_where_there_is_a_fixing(desk: Desk) -> None:
    now = desk.clock.now_ms()
    desk.open(kind="race", ends_at=now + 600_000, last_order_before_end_ms=600_000)
    assert desk.order("open_long").status == "filled"
    desk.clock.advance(1)
    assert refused(desk, "window_closed", "close") == {
        "now": now + 1, "starts_at": None, "ends_at": now + 600_000, "last_order_at": now,
    }  # fmt: skip


def test_prices_of_one_asset_may_have_to_be_younger(desk: Desk) -> None:
    desk.open(symbol_max_age_ms=(("BTC", 5_000),))
    desk.clock.advance(5_000)
    assert desk.order("open_long").status == "filled"
    desk.clock.advance(1)
    assert refused(desk, "price_stale") == {"source": "mid", "age_ms": 5_001, "limit_ms": 5_000}
    assert desk.order("open_long", "PURR/USDC").status == "filled"


def test_rate_limited_for_an_hour_and_never_for_a_reduction(desk: Desk) -> None:
    desk.open(max_orders_per_hour=2)
    desk.order("open_long", size_pct="1")
    desk.order("increase", size_pct="1")
    assert refused(desk, "rate_limited", "increase", size_pct="1") == {"orders": 2, "limit": 2}
    assert desk.order("reduce", size_pct="50").status == "filled"
    desk.clock.advance(3_600_000)
    desk.price("BTC", "100")
    assert desk.order("increase", size_pct="1").status == "filled"


def test_limits_never_refuse_a_reduction(desk: Desk) -> None:
    """A price that tripled puts the account above every limit; leaving is still allowed."""
    desk.open(max_position_pct=30, max_gross_pct=30)
    desk.order("open_short", size_pct="30", leverage=1)
    desk.price("BTC", "300")
    assert desk.order("reduce", size_pct="50", leverage=50).status == "filled"
    assert desk.order("close", leverage=50).status == "filled"
    assert desk.view()["positions"] == []


def test_every_gate_of_the_list_has_a_test_that_makes_it_fire() -> None:
    """A gate that cannot fire is no gate (10 §3.1)."""
    tested = re.findall(r'refused\(desk, "([a-z_]+)"', Path(__file__).read_text())
    assert {gate.__name__ for gate in gates.GATES} == set(tested)


def test_refusals_leave_clean_books(desk: Desk) -> None:
    desk.order("open_long")
    refused(desk, "side_conflict", "open_long")
    assert audit(desk.clash).is_clean
