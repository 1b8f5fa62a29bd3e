"""L3 and L4: random fills on the venue's tick and size rules against exact fractions, and what must not depend on form.

The oracle knows no scaled integer: it works on the values themselves and rounds once, where the contract says so.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest

from clash_pipeline.market.listing import Listed, Tier
from clash_pipeline.prop import fees, orders, pricing
from clash_pipeline.prop.orders import Leg
from clash_pipeline.prop.positions import Effect, Position, after_fill
from clash_pipeline.prop.pricing import Liquidity, Reference
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import RATE, USD, Rounding, scaled_text

NOW = 1_753_100_000_000
UNIT = Fraction(1, USD)
MAX_DECIMALS = {"perp": 6, "spot": 8}
KINDS = [("perp", decimals) for decimals in range(6)] + [("spot", decimals) for decimals in range(5)]


@dataclass(frozen=True)
class Market:
    """One asset with a reference price, as a venue would publish it, and its liquidity."""

    asset: Listed
    price: Fraction
    text: str
    liquidity: Liquidity


def market(source: random.Random) -> Market:
    """Five significant figures, now and then a mid with one decimal more than the tick allows."""
    kind, sz_decimals = source.choice(KINDS)
    decimals = MAX_DECIMALS[kind] - sz_decimals
    figures = source.randint(1, 99_999)
    places = source.randint(0, decimals) + (source.random() < 0.2)
    asset = Listed("X", kind, sz_decimals, 40, (Tier(0, 40),), False, frozenset({"ohlcv"}), "c", "s")
    volume = source.choice([None, 0, source.randint(1, 10**10) * USD])
    liquidity = Liquidity(
        source.choice([None, source.randint(0, 300_000)]), source.choice([None, source.randint(0, 50_000_000)]),
        volume, 168, "context", source.choice([None, source.randint(1, 300)]),
    )  # fmt: skip
    return Market(asset, Fraction(figures, 10**places), scaled_text(figures, places), liquidity)


def tick(price: Fraction, found: Listed) -> Fraction:
    """The step of prices around a value: five significant figures, the kind's decimals, whole numbers always."""
    step = Fraction(1, 10 ** (MAX_DECIMALS[found.kind] - found.sz_decimals))
    while step < 1 and price / step >= 10**5:
        step *= 10
    return step


def on_the_grid(price: Fraction, found: Listed, *, is_buy: bool) -> Fraction:
    step = tick(price, found)
    return (ceil(price / step) if is_buy else floor(price / step)) * step


def check_leg(leg: Leg, found: Market, wanted: Fraction | None) -> None:
    """Price, size, notional, fee and slippage of a leg; `wanted` is the notional asked for, None for a given size."""
    asset, sign = found.asset, 1 if leg.is_buy else -1
    price = Fraction(leg.price, 10**asset.grid.px_decimals)
    size = Fraction(leg.size, 10**asset.sz_decimals)
    worsened = found.price * (1 + sign * Fraction(leg.slippage_rate, RATE))
    assert price == on_the_grid(worsened, asset, is_buy=leg.is_buy)
    if wanted is not None and price:
        lot = Fraction(1, 10**asset.sz_decimals)
        assert size == floor(wanted / price / lot) * lot
    assert leg.notional * UNIT == price * size
    assert leg.fee == ceil(price * size * Fraction(leg.fee_rate, RATE) / UNIT)
    assert sign * (price - found.price) >= 0
    lost = sign * (price - found.price) * size
    assert leg.slippage == ceil(lost / UNIT)


def check_position(before: Position, effect: Effect, leg: Leg) -> None:
    """Basis and profit: what a reduction releases is rounded once (04), a full close releases the rest.

    The fraction of a unit that it books is owed by the basis that is left, so that equity at the fill does not move.
    """
    after = effect.position
    if leg.is_opening:
        assert (after.cost - before.cost, effect.realized) == (leg.notional, 0)
        return
    exact = Fraction(before.cost * leg.size, abs(before.size))
    released = floor(exact) if before.size > 0 else ceil(exact)
    assert before.cost - after.cost == (released if after.size else before.cost)
    assert after.size != 0 or after.cost == 0
    assert _equity(before, leg.price) == effect.realized + _equity(after, leg.price)


def _equity(position: Position, price: int) -> int:
    return position.side * (position.grid.notional(price, abs(position.size)) - position.cost)


def walk(seed: int, fills: int) -> int:
    """Trade one random market after the other until so many fills are checked; returns how many."""
    source, done = random.Random(seed), 0
    while done < fills:
        found = market(source)
        position = Position("X", found.asset.kind, found.asset.sz_decimals)
        for _ in range(source.randint(1, 12)):
            for leg, wanted in _legs(source, found, position):
                check_leg(leg, found, wanted)
                if leg.size == 0 or leg.price == 0:
                    continue
                effect = after_fill(
                    position, is_buy=leg.is_buy, size=leg.size, price=leg.price, fee=leg.fee, leverage=1, now_ms=NOW
                )
                check_position(position, effect, leg)
                position, done = effect.position, done + 1
    return done


def _legs(source: random.Random, found: Market, position: Position) -> list[tuple[Leg, Fraction | None]]:
    held = position.size != 0
    action = source.choice(
        ["reduce", "close", "increase", "open_long", "open_short"] if held else ["open_long", "open_short"]
    )
    if orders.OPENING.get(action) == position.side and held:
        action = "increase"
    asked = Proposal("X", action, scaled_text(source.randint(1, 10**8), 6))
    equity = source.randint(1, 10**6) * USD + source.randint(0, USD)
    amount = orders.requested(asked, position, equity)
    assert amount is not None
    reference = Reference(found.text, "mid", NOW, NOW)
    made = orders.legs(asked, position, amount, found.asset, reference, found.liquidity, cap=1_000_000, now_ms=NOW)
    return [(leg, amount * UNIT if leg.is_opening else None) for leg in made]


def test_random_fills_equal_the_fraction_oracle_l3() -> None:
    assert walk(7, 20_000) >= 20_000


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_random_fills_equal_the_fraction_oracle_l3_whole(seed: int) -> None:
    assert walk(seed, 100_000) >= 100_000


def _favour(is_wrong: Callable[..., int], name: str) -> Callable[..., int]:
    def rounded(*given: Any, **more: Any) -> int:
        return is_wrong(*given, **more) - 1

    rounded.__name__ = name
    return rounded


def test_control_one_unit_in_the_accounts_favour_is_found_l3(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a fee or a cost of a unit less, a price rounded for the trader, a lot more, a basis turned."""
    real = pricing.execution_price
    for target, name, wrong in (
        (fees, "fee", _favour(fees.fee, "fee")),
        (pricing, "size_for", lambda *given: real_size(*given) + 1),
        (pricing, "execution_price", lambda *given, is_buy: real(*given, is_buy=not is_buy)),
        (pricing, "slippage_cost", _favour(pricing.slippage_cost, "slippage_cost")),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(target, name, wrong)
            with pytest.raises(AssertionError):
                walk(7, 200)
    with monkeypatch.context() as broken:
        swapped = {Rounding.FLOOR: Rounding.CEIL, Rounding.CEIL: Rounding.FLOOR}
        from clash_pipeline.prop import positions
        from clash_pipeline.units import mul_div

        broken.setattr(positions, "mul_div", lambda a, b, c, rounding: mul_div(a, b, c, swapped[rounding]))
        with pytest.raises(AssertionError):
            walk(7, 2_000)


real_size = pricing.size_for


def test_slippage_is_the_formula_rounded_up_by_less_than_a_thousandth_of_a_basis_point() -> None:
    """Compared as squares, for the root is irrational: never below, and above by two units and one of the root."""
    source = random.Random(3)
    for _ in range(5_000):
        sigma, volume, notional = source.randint(0, RATE), source.randint(1, 10**18), source.randint(1, 10**15)
        rate = pricing.slippage(Liquidity(0, sigma, volume, 168, "context"), notional, 10**12) - 5_000
        exact = (Fraction(7, 10) * sigma) ** 2 * Fraction(notional, volume)
        assert rate**2 >= exact
        over = rate - 2 - Fraction(7, 10) * Fraction(sigma, RATE) * 2
        assert over <= 0 or over**2 <= exact


@dataclass(frozen=True)
class Fill:
    """One fill of a metamorphic walk."""

    symbol: str
    is_buy: bool
    size: int
    price: int


Books = tuple[dict[str, Position], int]


def trade(trades: list[Fill], rate: int = 45_000) -> Books:
    """The positions and the balance that fills make, from nothing; a fill never crosses zero."""
    held: dict[str, Position] = {}
    balance = 0
    for one in trades:
        before = held.get(one.symbol, Position(one.symbol, "perp", 2))
        size = min(one.size, abs(before.size)) if before.side * (1 if one.is_buy else -1) < 0 else one.size
        paid = fees.fee(before.grid.notional(one.price, size), rate)
        made = after_fill(before, is_buy=one.is_buy, size=size, price=one.price, fee=paid, leverage=1, now_ms=NOW)
        held[one.symbol], balance = made.position, balance + made.realized - paid
    return held, balance


def fills(source: random.Random, symbols: str, many: int) -> list[Fill]:
    return [
        Fill(source.choice(symbols), source.random() < 0.5, source.randint(1, 10**5), source.randint(1, 10**7))
        for _ in range(many)
    ]


def check_split(source: random.Random) -> None:
    """An order in k parts at one price: same size and basis, fees less than a unit a part apart."""
    held, price = fills(source, "A", 2), source.randint(1, 10**7)
    side = trade(held)[0]["A"].side >= 0
    parts = [source.randint(1, 10**5) for _ in range(source.randint(1, 8))]
    whole, one = trade([*held, Fill("A", side, sum(parts), price)])
    split, many = trade([*held, *(Fill("A", side, size, price) for size in parts)])
    assert (whole["A"].size, whole["A"].cost) == (split["A"].size, split["A"].cost)
    assert 0 <= one - many == split["A"].fees - whole["A"].fees < len(parts)


def check_scale(source: random.Random) -> None:
    """Ten times the sizes: ten times the basis, profit and fees, but for less than ten units a fill."""
    trades = fills(source, "AB", source.randint(1, 6))
    held, balance = trade(trades)
    scaled, more = trade([Fill(one.symbol, one.is_buy, 10 * one.size, one.price) for one in trades])
    for symbol, position in held.items():
        assert scaled[symbol].size == 10 * position.size
        assert abs(scaled[symbol].cost - 10 * position.cost) <= 10 * len(trades)
    assert abs(more - 10 * balance) <= 30 * len(trades)


def check_commute(source: random.Random) -> None:
    """Symbols do not know each other: any interleaving that keeps each one's own order gives the same books."""
    trades = fills(source, "ABC", source.randint(2, 8))
    queues = {symbol: [one for one in trades if one.symbol == symbol] for symbol in "ABC"}
    order = [one.symbol for one in trades]
    source.shuffle(order)
    mixed = [queues[symbol].pop(0) for symbol in order]
    assert trade(mixed) == trade(trades)


METAMORPHIC = (check_split, check_scale, check_commute)


def metamorphic(seed: int, rounds: int) -> None:
    """So many random books, each looked at in every way."""
    source = random.Random(seed)
    for number in range(rounds):
        METAMORPHIC[number % len(METAMORPHIC)](source)


def test_form_does_not_matter_l4() -> None:
    metamorphic(11, 10_000)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_form_does_not_matter_l4_whole(seed: int) -> None:
    metamorphic(seed, 100_000)


def test_control_form_that_matters_is_found_l4(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a fixed fee a fill, and a basis that is rounded away each time, break two of the three ways."""
    with monkeypatch.context() as broken:
        broken.setattr(fees, "fee", lambda notional, rate: 1_000)
        with pytest.raises(AssertionError):
            metamorphic(11, 30)
    with monkeypatch.context() as broken:
        broken.setattr(fees, "fee", lambda notional, rate: notional * notional // 10**18)
        with pytest.raises(AssertionError):
            metamorphic(11, 300)
