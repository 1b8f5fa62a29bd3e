"""The risk budget: what the open positions could move in six hours, in 1e-8 USD (11, 5). Pure."""

from collections.abc import Iterable, Mapping

from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.units import RATE, Rounding, mul_div


def volatility(quote: Quote | None, policy: Policy) -> int:
    """σ6h of an asset as a rate of 1e-8; the policy's worst class where it is not known."""
    if quote is None:
        return max(policy.unknown_volatility, policy.volatility_floor)
    return quote.liquidity.six_hour_volatility(policy)


def of(notional: int, volatility_e8: int) -> int:
    """One position's part, rounded up."""
    return mul_div(notional, volatility_e8, RATE, Rounding.CEIL)


def at_risk(positions: Iterable[Position], quotes: Mapping[str, Quote], policy: Policy) -> int:
    """Σ |notional at the mark| × σ6h."""
    return sum(of(held.value, volatility(quotes.get(held.symbol), policy)) for held in positions)


def budget(equity: int, policy: Policy) -> int | None:
    """What may be at risk; None where the account has no budget."""
    return None if policy.risk_budget is None else mul_div(max(equity, 0), policy.risk_budget, RATE, Rounding.FLOOR)
