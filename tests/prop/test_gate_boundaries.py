"""Every limit is accepted at its very last unit and refused one beyond it; found by asking, not by constants."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec import structs

from clash_pipeline.prop import gates, limits
from clash_pipeline.prop.case import Case, Instant
from clash_pipeline.prop.gates import first_rejection
from clash_pipeline.prop.pricing import Liquidity, Quote, Reference
from clash_pipeline.units import RATE, USD
from tests.fakes.cases import NOW, case, held, quote, terms


def code(made: Case) -> str | None:
    rejection = first_rejection(made)
    return rejection.code if rejection else None


def settled(build: Callable[[int], Case], figure: Callable[[Case], int], start: int) -> tuple[Case, int]:
    """The case at which a figure that depends on its own limit stands still, and that figure."""
    value = start
    for _ in range(50):
        made = build(value)
        if figure(made) == value:
            return made, value
        value = figure(made)
    raise AssertionError("the figure does not settle")


def test_below_min_notional() -> None:
    notional = case().legs[0].notional
    assert code(case(min_order=notional)) is None
    assert code(case(min_order=notional + 1)) == "below_min_notional"


@pytest.mark.parametrize(("leverage", "is_accepted"), [(0, False), (1, True), (5, True), (6, False)])
def test_leverage_exceeded(leverage: int, is_accepted: bool) -> None:
    assert code(case(leverage=leverage)) == (None if is_accepted else "leverage_exceeded")


def test_position_limit() -> None:
    """A tenth of equity more, onto a position that makes the whole exactly 25 % of it."""

    base = held("BTC", 15_000 * USD, mark=100_000, mark_source="venue", mark_at=NOW)
    own = structs.replace(base, size=150_000)  # 150 BTC at 100: worth its cost, so equity is the balance

    def at(equity: int) -> Case:
        return case("increase", balance=equity, positions=(own,), max_position_pct=25)

    made, equity = settled(at, lambda made: 4 * made.notional_after, 100_000 * USD)
    assert code(made) is None
    short = at(equity - 4)
    assert short.notional_after == made.notional_after
    assert code(short) == "position_limit"


def test_exposure_limit() -> None:
    """Other positions fill what this order leaves of 30 % of equity."""
    own = case(max_gross_pct=30).notional_after
    left = 30_000 * USD - own
    assert code(case(positions=(held("ETH", left),), max_gross_pct=30)) is None
    assert code(case(positions=(held("ETH", left + 1),), max_gross_pct=30)) == "exposure_limit"


def test_open_positions_limit() -> None:
    others = tuple(held(f"X{number}", 100 * USD) for number in range(9))
    assert code(case(positions=others)) is None
    assert code(case(positions=(*others, held("X9", 100 * USD)))) == "open_positions_limit"


def test_insufficient_margin() -> None:
    free = case().after.free
    assert code(case(positions=(held("ETH", free),))) is None
    assert code(case(positions=(held("ETH", free + 1),))) == "insufficient_margin"


def test_insufficient_cash_for_spot() -> None:
    """An unbooked profit of a perp raises equity but is no cash."""
    rich = held("ETH", 100 * USD, mark=10_000_000, mark_source="venue", mark_at=NOW, leverage=5)
    rich = structs.replace(rich, size=1_000)  # 1 ETH at 10,000, bought at 100
    spot = case(kind="spot", positions=(rich,))
    cash = spot.book.cash - spot.legs[0].notional - spot.legs[0].fee
    assert (rich.unrealized, spot.book.free - spot.book.cash) == (9_900 * USD, 9_900 * USD)

    def of(tied: int) -> Case:
        return case(kind="spot", positions=(held("PURR", tied, kind="spot"), rich))

    assert code(of(cash)) is None
    assert code(of(cash + 1)) == "insufficient_margin"


def test_liquidity_limit_by_volume() -> None:
    """0.5 % of the day: the notional is a two-hundredth of the volume, and the volume sets the slippage."""

    def of(volume: int) -> Case:
        return case(on=quote("BTC", day_volume=volume), max_volume_share=500_000, slippage_cap=10**8)

    made, volume = settled(of, lambda made: 200 * made.legs[0].notional, 2_000_000 * USD)
    assert code(made) is None
    less = of(volume - 200)
    assert less.legs[0].notional == made.legs[0].notional
    assert code(less) == "liquidity_limit"


def test_liquidity_limit_by_slippage() -> None:
    rate = case().legs[0].slippage_rate
    assert code(case(max_slippage=rate)) is None
    assert code(case(max_slippage=rate - 1)) == "liquidity_limit"


def test_risk_budget() -> None:
    """σ6h of the other asset is unknown: at 10 % its cost carries ten times its risk."""
    known = {"risk_budget": 3_000_000, "unknown_volatility": RATE // 10}
    left = 3_000 * USD - case(**known).risk_after
    assert code(case(positions=(held("ETH", left * 10),), **known)) is None
    assert code(case(positions=(held("ETH", left * 10 + 1),), **known)) == "risk_budget"


def test_rate_limited() -> None:
    assert code(case(opened=59)) is None
    assert code(case(opened=60)) == "rate_limited"


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("kind", ["liquidation price", "drawdown floor"])
def test_stop_invalid_at_the_end_of_the_account(side: int, kind: str) -> None:
    """A stop that was armed before and is kept on an increase: at the bound it may still fire, behind it never."""
    limit = RATE if kind == "liquidation price" else RATE // 10
    own = held("BTC", 200_000 * USD, mark=100_000, mark_source="venue", mark_at=NOW, leverage=5)
    own = structs.replace(own, size=side * 2_000_000)

    def of(stop: int | None) -> Case:
        return case(
            "increase", size_pct="10", leverage=5, positions=(structs.replace(own, stop=stop),), max_drawdown=limit,
            max_position_pct=300,
        )  # fmt: skip

    after = of(None)
    bound = (
        after.after.liquidation_price("BTC", after.listing)
        if kind == "liquidation price"
        else after.after.price_at_equity("BTC", after.equity_floor)
    )
    assert bound is not None
    assert code(of(bound)) is None
    rejection = first_rejection(of(bound - side))
    assert rejection is not None
    assert (rejection.code, rejection.figures["why"]) == ("stop_invalid", f"beyond the {kind}")


@pytest.mark.parametrize(("field", "toward"), [("stop", -1), ("target", 1)])
@pytest.mark.parametrize("side", [1, -1])
def test_stop_invalid_at_the_execution_price_and_the_mark(field: str, toward: int, side: int) -> None:
    """At the price it has been reached; one unit to its own side it has not."""
    own = held("BTC", 10_000 * USD, mark=100_000, mark_source="venue", mark_at=NOW)
    own = structs.replace(own, size=side * 100_000)

    def of(trigger: int) -> Case:
        return case("increase", positions=(structs.replace(own, **{field: trigger}),))

    price = case("increase", positions=(own,)).legs[0].price
    reached = max(price, 100_000) if toward * side > 0 else min(price, 100_000)
    assert code(of(reached)) == "stop_invalid"
    assert code(of(reached + toward * side)) is None


@pytest.mark.parametrize(("source", "limit"), [("mid", 15_000), ("candle", 75_000)])
@pytest.mark.parametrize("symbol_limit", [None, 4_000])
def test_price_stale_by_source_and_asset(source: str, limit: int, symbol_limit: int | None) -> None:
    limit, own = symbol_limit or limit, (("BTC", symbol_limit),) if symbol_limit else ()

    def aged(by_ms: int) -> Case:
        old = replace(quote("BTC"), references=(Reference("100", source, NOW - by_ms, NOW - by_ms),))
        return case(on=old, symbol_max_age_ms=own)

    assert code(aged(limit)) is None
    assert code(aged(limit + 1)) == "price_stale"


def test_no_fill_older_than_the_policy_when_one_asset_the_venue_or_everything_is_frozen_d4() -> None:
    """D4: whatever froze, the age of the asset itself decides; its neighbours trade on."""
    for frozen in ({"BTC"}, {"BTC", "ETH"}):
        for symbol, at in (("BTC", NOW - 15_001), ("ETH", NOW - 15_001 if "ETH" in frozen else NOW)):
            stale = replace(quote("BTC"), references=(Reference("100", "mid", at, at),))
            assert code(case(on=stale)) == ("price_stale" if symbol in frozen else None)


def test_control_without_its_gate_a_stale_price_would_be_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of D4: the check above depends on the gate."""
    stale = replace(quote("BTC"), references=(Reference("100", "mid", NOW - 15_001, NOW),))
    assert code(case(on=stale)) == "price_stale"
    monkeypatch.setattr(gates, "GATES", tuple(gate for gate in gates.GATES if gate is not gates.price_stale))
    assert code(case(on=stale)) is None


def test_window_closed_at_the_end_and_at_the_fixing() -> None:
    made = case()

    def ending(at: int, quiet: int = 0) -> Case:
        changed = terms(made, last_order_before_end_ms=quiet)
        return replace(changed, account=structs.replace(changed.account, ends_at=at))

    assert code(ending(NOW + 1)) is None
    assert code(ending(NOW)) == "window_closed"
    assert code(ending(NOW + 600_000, 600_000)) is None
    assert code(ending(NOW + 599_999, 600_000)) == "window_closed"
    early = replace(made, account=structs.replace(made.account, starts_at=NOW + 1))
    assert code(early) == "window_closed"
    assert code(replace(made, account=structs.replace(made.account, starts_at=NOW))) is None


def test_window_closed_counts_the_common_instant_and_not_when_it_was_applied() -> None:
    """A run of tick T − 11 min is filled as of T − 10 min, though its minute is final only seconds later."""
    tick = NOW - NOW % 60_000 - 60_000
    made = replace(terms(case(), fill_delay_ms=60_000, last_order_before_end_ms=600_000), instant=Instant(tick))
    made = replace(made, account=structs.replace(made.account, ends_at=tick + 660_000))
    assert code(made) == "price_unavailable"  # past the window's gate
    late = replace(made, instant=Instant(tick + 60_000))
    assert code(late) == "window_closed"


@pytest.mark.parametrize("gate", [limits.leverage_exceeded, limits.position_limit, limits.exposure_limit,
    limits.open_positions_limit, limits.insufficient_margin, limits.liquidity_limit, limits.stop_invalid,
    limits.risk_budget, limits.rate_limited])  # fmt: skip
@pytest.mark.parametrize("action", ["reduce", "close"])
def test_a_reduction_is_never_refused_by_a_limit(gate: gates.Gate, action: str) -> None:
    """Far above every limit at once, with a volume that nobody knows and a stop that is nonsense."""
    own = structs.replace(held("BTC", 90_000 * USD, mark=300_000, mark_source="venue", mark_at=NOW), size=-900_000)
    others = tuple(held(f"X{number}", 50_000 * USD) for number in range(12))
    nobody = Quote("BTC", quote("BTC").asset, quote("BTC", "300").references,
                   Liquidity(None, None, None, 0, None), None, None)  # fmt: skip
    made = case(
        action, size_pct="50", leverage=50, positions=(own, *others), opened=1_000, stop="-1", on=nobody,
        max_slippage=0, max_volume_share=0, risk_budget=0,
    )  # fmt: skip
    assert gate(made) is None
    assert code(made) is None
