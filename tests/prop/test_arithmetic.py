"""Positions, prices, fees and margin against independent exact fractions and the venue's own check values."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import parse_time
from clash_pipeline.market.listing import Listed, Tier
from clash_pipeline.prop import fees, margin, pricing
from clash_pipeline.prop.positions import Position, after_fill
from clash_pipeline.prop.pricing import Liquidity, Price
from clash_pipeline.units import RATE, USD, Grid, Rounding, usd_text

ETH_TIERS = (Tier(0, 25), Tier(100_000_000 * USD, 15))


def asset(sz_decimals: int = 2, kind: str = "perp") -> Listed:
    return Listed("X", kind, sz_decimals, 40, (Tier(0, 40),), False, frozenset({"ohlcv"}), "c", "s")


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 5_000), st.integers(1, 10**7)), max_size=40),
    sz_decimals=st.integers(0, 5),
)
def test_positions_equal_fractions(steps: list[tuple[bool, int, int]], sz_decimals: int) -> None:
    """Size and realized PnL are exact; the cost is a fraction rounded once a reduction, against the account."""
    grid = Grid("perp", sz_decimals)
    position, realized_sum = Position("X", "perp", sz_decimals), 0
    cash = Fraction(0)
    for is_buy, size, raw in steps:
        price = grid.round_price(raw, Rounding.CEIL)
        side = 1 if is_buy else -1
        if position.side == -side:
            size = min(size, abs(position.size))
        before = position
        effect = after_fill(position, is_buy=is_buy, size=size, price=price, fee=0, leverage=1, now_ms=0)
        position, realized_sum = effect.position, realized_sum + effect.realized
        money = Fraction(price, 10**grid.px_decimals) * Fraction(size, 10**sz_decimals) * USD
        cash -= side * money
        if before.side == -side and size < abs(before.size):
            exact = Fraction(before.cost * size, abs(before.size))
            released = before.cost - position.cost
            assert released == (floor(exact) if before.size > 0 else ceil(exact))
        assert cash == realized_sum - position.side * position.cost  # money in = profit booked − basis held
        assert position.size == before.size + side * size
        assert (position.size == 0) == (position.opened_at is None)


def test_a_fill_never_crosses_zero() -> None:
    held = after_fill(Position("X", "perp", 2), is_buy=True, size=5, price=100, fee=0, leverage=1, now_ms=0).position
    with pytest.raises(ValueError, match="crosses the position of 5"):
        after_fill(held, is_buy=False, size=6, price=100, fee=0, leverage=1, now_ms=0)


@given(
    digits=st.integers(1, 10**9),
    places=st.integers(0, 6),
    sz_decimals=st.integers(0, 5),
    rate=st.integers(0, 100 * 10_000),
    is_buy=st.booleans(),
)
def test_execution_prices_are_worse_than_the_reference_and_on_the_tick(
    digits: int, places: int, sz_decimals: int, rate: int, is_buy: bool
) -> None:
    listed, reference = asset(sz_decimals), Price(digits, places)
    price = pricing.execution_price(reference, listed, rate, is_buy=is_buy)
    exact = Fraction(digits, 10**places) * (1 + Fraction(rate if is_buy else -rate, RATE))
    got = Fraction(price, 10**listed.grid.px_decimals)
    assert got >= exact if is_buy else got <= exact
    if price:
        assert listed.grid.on_tick(price)
        assert pricing.slippage_cost(reference, price, 7, listed) >= 0


@pytest.mark.parametrize(
    ("liquidity", "notional", "rate"),
    [
        # half 0.5 bp at least; σ 2 %, Q/V = 1e-4, √ = 1 %: 0.7 × 2 % × 1 % = 1.4 bp
        (Liquidity(0, 2_000_000, 10**9 * USD, 168, "context"), 100_000 * USD, 19_001),
        (Liquidity(170_000, 2_000_000, 10**9 * USD, 168, "context"), 100_000 * USD, 184_001),
        (Liquidity(None, 2_000_000, 10**9 * USD, 168, "context"), 100_000 * USD, 184_001),  # unknown spread: 17 bp
        (Liquidity(0, None, 10**9 * USD, 0, "context"), 100_000 * USD, 75_001),  # unknown σ: 10 % a day
        (Liquidity(0, 2_000_000, None, 168, None), 100_000 * USD, 1_000_000),  # unknown volume: the cap
        (Liquidity(0, 50_000_000, 1_000 * USD, 168, "context"), 100_000 * USD, 1_000_000),  # never above the cap
    ],
)
def test_slippage_by_hand(liquidity: Liquidity, notional: int, rate: int) -> None:
    assert pricing.slippage(liquidity, notional, 1_000_000) == rate


@given(st.integers(1, 10**15), st.integers(1, 10**15), st.integers(0, 10**7), st.integers(1, 10**18))
def test_slippage_is_never_below_the_formula(q: int, more: int, sigma: int, volume: int) -> None:
    """Rounded up, and larger orders never pay a smaller rate."""
    liquidity, cap = Liquidity(0, sigma, volume, 168, "context"), 10**9
    rate = pricing.slippage(liquidity, q, cap)
    impact_squared = Fraction(49, 100) * Fraction(sigma, RATE) ** 2 * Fraction(q, volume)
    assert rate == cap or Fraction(rate - 5_000, RATE) ** 2 >= impact_squared
    assert pricing.slippage(liquidity, q + more, cap) >= rate


def test_fees_are_dated_and_rounded_up() -> None:
    """4.5 bp of 1.00000001 USD is 45,000.00045 units: a user pays 45,001."""
    today, old = fees.at(parse_time("2025-07-21")), fees.at(parse_time("2024-01-01"))
    assert (fees.rate(today, "perp"), fees.rate(today, "spot"), fees.rate(old, "perp")) == (45_000, 70_000, 35_000)
    assert fees.fee(100_000_001, 45_000) == 45_001
    assert fees.at(0) == fees.SCHEDULES[0]


def test_sizes_are_cut_toward_zero() -> None:
    assert asset(2).grid.size_text(pricing.size_for(100 * USD, 3_0000, asset(2))) == "33.33"
    assert pricing.size_for(-1, 100, asset(2)) == 0


def test_maintenance_margin_of_the_venues_example() -> None:
    """ETH, 150M notional: 100M × 2 % + 50M × 3.333 % = 3,666,666.67 (10 §1 Tiers); continuous at the bound."""
    required = margin.maintenance(ETH_TIERS, 150_000_000 * USD)
    assert usd_text(required).startswith("3666666.66666667")
    bound = 100_000_000 * USD
    assert abs(margin.maintenance(ETH_TIERS, bound) - margin.maintenance(ETH_TIERS, bound - 1)) <= 2
    assert [usd_text(bracket.deduction) for bracket in margin.brackets(ETH_TIERS)] == ["0", "1333333.33333333"]


@pytest.mark.parametrize(("leverage", "rate"), [(40, "0.0125"), (20, "0.025"), (3, "0.16666667")])
def test_maintenance_rates(leverage: int, rate: str) -> None:
    assert usd_text(margin.maintenance((Tier(0, leverage),), USD)) == rate


def test_liquidation_prices_of_the_venues_example() -> None:
    """BTC, 0.1 at 60,000, 10x, max 40x: margin 600, required 75, available 525: 54,683.5443 and 65,185.1852."""
    tiers, available = (Tier(0, 40),), 525 * USD
    long = margin.liquidation_price(tiers, price=600_000_000, size=10, sz_factor=100, margin_available=available)
    short = margin.liquidation_price(tiers, price=600_000_000, size=-10, sz_factor=100, margin_available=available)
    assert long == 546_835_444  # 54,683.54430…, rounded up
    assert short == 651_851_851  # 65,185.18518…, rounded down


def test_liquidation_takes_the_root_that_lies_in_its_tier() -> None:
    """At the root, equity equals the maintenance of the tier the notional is then in."""
    tiers = (Tier(0, 40), Tier(1_000 * USD, 4))
    price, size, equity = 2_000_0000, 100, 900 * USD  # 4 px decimals, 2 size decimals: 1 unit at 2,000 USD
    available = equity - margin.maintenance(tiers, price * size * 100)
    root = margin.liquidation_price(tiers, price=price, size=size, sz_factor=100, margin_available=available)
    assert root is not None
    at_root = equity + (root - price) * size * 100
    assert abs(at_root - margin.maintenance(tiers, root * size * 100)) <= size * 100


def test_a_long_that_cannot_be_liquidated_has_no_price() -> None:
    found = margin.liquidation_price((Tier(0, 40),), price=100, size=1, sz_factor=100, margin_available=10**12)
    assert found is None


def test_initial_margin_is_rounded_up() -> None:
    assert margin.initial(100, 3) == 34
