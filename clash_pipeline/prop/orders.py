"""From a proposal to the orders it means: sides, sizes and prices of one or two legs. Pure.

An open against a held position is a flip: leg 0 closes, leg 1 opens. Sizes come from the requested notional at the
execution price and are cut toward zero; slippage is computed from the requested notional, so nothing is circular.
"""

from dataclasses import dataclass

from clash_pipeline.market.listing import Listed
from clash_pipeline.prop import fees, pricing
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Liquidity, Reference
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import Rounding, UnitError, mul_div, parse_scaled

PERCENT_DECIMALS = 6
WHOLE = 100 * 10**PERCENT_DECIMALS
"""100 %, in the unit of a parsed percentage."""
FURTHEST_TARGET = 10 * WHOLE
"""A target may lie as far ahead as an answer may ask for: ten times the price (03)."""
OPENING = {"open_long": 1, "open_short": -1}


@dataclass(frozen=True)
class Leg:
    """One order and the fill it would get; `size` and `price` are scaled by the asset's grid."""

    number: int
    is_buy: bool
    is_opening: bool
    size: int
    price: int
    notional: int
    fee: int
    fee_rate: int
    fee_schedule: str
    slippage_rate: int
    slippage: int

    @property
    def side(self) -> str:
        """`buy` or `sell`."""
        return "buy" if self.is_buy else "sell"


def percent(text: str, most: int = WHOLE) -> int | None:
    """A percentage from 0 (exclusive) to 100, or to `most`, in units of 1e-6 %; None when it is none."""
    try:
        digits = len(str(100 * most // WHOLE))
        value = parse_scaled(text, PERCENT_DECIMALS, max_int_digits=digits, name="sizePct")
    except UnitError:
        return None
    return value if 0 < value <= most else None


def requested(proposal: Proposal, position: Position, equity: int) -> int | None:
    """The size (of a reduction, scaled) or notional (of an opening, 1e-8 USD) that is asked for; None if invalid."""
    if proposal.action == "close":
        return abs(position.size)
    share = percent(proposal.size_pct)
    if share is None:
        return None
    whole = abs(position.size) if proposal.action == "reduce" else max(equity, 0)
    return mul_div(whole, share, WHOLE, Rounding.FLOOR)


def legs(
    proposal: Proposal, position: Position, amount: int, asset: Listed, reference: Reference, liquidity: Liquidity,
    *, cap: int, now_ms: int,
) -> tuple[Leg, ...]:  # fmt: skip
    """The orders of a proposal whose amount was accepted; a leg may have size 0, which a gate then refuses."""
    price = reference.price
    if price is None:
        return ()
    desk = _Desk(asset, price, liquidity, cap, fees.at(now_ms))
    if proposal.action in ("close", "reduce"):
        return (desk.sized(0, is_buy=position.size < 0, is_opening=False, size=amount),)
    side = OPENING.get(proposal.action, position.side)
    if position.side == -side:
        closing = desk.sized(0, is_buy=side > 0, is_opening=False, size=abs(position.size))
        return (closing, desk.worth(1, is_buy=side > 0, notional=amount))
    return (desk.worth(0, is_buy=side > 0, notional=amount),)


@dataclass(frozen=True)
class _Desk:
    """Prices the legs of one submission on one asset."""

    asset: Listed
    reference: pricing.Price
    liquidity: Liquidity
    cap: int
    schedule: fees.Schedule

    def worth(self, number: int, *, is_buy: bool, notional: int) -> Leg:
        rate = pricing.slippage(self.liquidity, notional, self.cap)
        price = pricing.execution_price(self.reference, self.asset, rate, is_buy=is_buy)
        size = pricing.size_for(notional, price, self.asset) if price else 0
        return self._leg(number, is_buy, True, size, price, rate)

    def sized(self, number: int, *, is_buy: bool, is_opening: bool, size: int) -> Leg:
        at_reference = self.reference.scaled(self.asset.grid.px_decimals, Rounding.CEIL)
        rate = pricing.slippage(self.liquidity, self.asset.grid.notional(at_reference, size), self.cap)
        price = pricing.execution_price(self.reference, self.asset, rate, is_buy=is_buy)
        return self._leg(number, is_buy, is_opening, size, price, rate)

    def _leg(self, number: int, is_buy: bool, is_opening: bool, size: int, price: int, slippage_rate: int) -> Leg:
        notional = self.asset.grid.notional(price, size)
        fee_rate = fees.rate(self.schedule, self.asset.kind)
        return Leg(
            number=number,
            is_buy=is_buy,
            is_opening=is_opening,
            size=size,
            price=price,
            notional=notional,
            fee=fees.fee(notional, fee_rate),
            fee_rate=fee_rate,
            fee_schedule=self.schedule.name,
            slippage_rate=slippage_rate,
            slippage=pricing.slippage_cost(self.reference, price, size, self.asset),
        )
