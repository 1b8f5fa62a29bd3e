"""Margin of the venue: initial by chosen leverage, maintenance by tiers with deductions, liquidation price (10 §1)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clash_pipeline.market.listing import Tier
from clash_pipeline.units import RATE, Rounding, mul_div


class Bracket(NamedTuple):
    """A tier as maintenance margin sees it: maintenance = notional / (2 × leverage) − deduction."""

    lower_bound: int
    max_leverage: int
    deduction: int


def initial(notional: int, leverage: int) -> int:
    """Initial margin, rounded up."""
    return mul_div(notional, 1, leverage, Rounding.CEIL)


def brackets(tiers: Sequence[Tier]) -> Iterator[Bracket]:
    """Deductions that make maintenance margin continuous in size; each is rounded down, against the account."""
    deduction, previous = 0, None
    for tier in tiers:
        if previous is not None:
            ahead = mul_div(
                tier.lower_bound, previous - tier.max_leverage, 2 * previous * tier.max_leverage, Rounding.FLOOR
            )
            deduction += ahead
        yield Bracket(tier.lower_bound, tier.max_leverage, deduction)
        previous = tier.max_leverage


def bracket_of(tiers: Sequence[Tier], notional: int) -> Bracket:
    """The tier that a notional falls into."""
    found = list(brackets(tiers))
    return next((bracket for bracket in reversed(found) if bracket.lower_bound <= notional), found[0])


def maintenance(tiers: Sequence[Tier], notional: int) -> int:
    """Maintenance margin: half of the initial margin at the tier's maximum leverage, less the deduction, rounded up."""
    bracket = bracket_of(tiers, notional)
    return mul_div(notional, 1, 2 * bracket.max_leverage, Rounding.CEIL) - bracket.deduction


def max_leverage(tiers: Sequence[Tier], notional: int) -> int:
    """The highest leverage the venue gives at this notional."""
    return bracket_of(tiers, notional).max_leverage


def liquidation_price(
    tiers: Sequence[Tier], *, price: int, size: int, sz_factor: int, margin_available: int
) -> int | None:
    """The scaled price at which equity meets maintenance; None when no positive price does.

    price − side × margin_available / size / (1 − l × side), l = 1 / (2 × the tier's leverage); the root whose notional
    lies in its tier counts. `margin_available` is equity less the maintenance required now, `sz_factor` the grid's
    notional factor. Rounded against the account: up for a long, down for a short.
    """
    now = bracket_of(tiers, price * abs(size) * sz_factor)
    required = mul_div(price * abs(size) * sz_factor, 1, 2 * now.max_leverage, Rounding.CEIL) - now.deduction
    found = list(brackets(tiers))
    for index, bracket in enumerate(found):
        root = _root(bracket, price, size, sz_factor, margin_available + required)
        upper = found[index + 1].lower_bound if index + 1 < len(found) else None
        notional = root * abs(size) * sz_factor
        if root > 0 and bracket.lower_bound <= notional and (upper is None or notional < upper):
            return root
    return None


def _root(bracket: Bracket, price: int, size: int, sz_factor: int, equity: int) -> int:
    """Solve equity + (x − price) × size = |size| × x / 2L − deduction for x."""
    side, held, double = (1 if size > 0 else -1), abs(size) * sz_factor, 2 * bracket.max_leverage
    top = (price * held * side - equity - bracket.deduction) * double
    bottom = held * (side * double - 1)
    return mul_div(top, 1, bottom, Rounding.CEIL if side > 0 else Rounding.FLOOR)


def rate_of(part: int, whole: int) -> int:
    """A share as a rate of 1e-8, rounded down; 0 of nothing."""
    return mul_div(part, RATE, whole, Rounding.FLOOR) if whole else 0
