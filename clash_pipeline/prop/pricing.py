"""The execution price: a reference from memory, worsened by slippage, rounded to the venue's tick against the trader.

Pure integers. The agent never names a price, and no input ever improves one (10 §3; 11, 3).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from clash_pipeline.market.listing import Listed
from clash_pipeline.prop.policy import (
    IMPACT_TENTHS,
    MIN_HALF_SPREAD,
    SPREAD_CLASSES,
    WORST_DAY_VOLATILITY,
    WORST_HALF_SPREAD,
    Policy,
)
from clash_pipeline.units import RATE, USD, Rounding, mul_div, parse_decimal


class Price(NamedTuple):
    """A venue price exactly as published: `digits / 10 ** places`."""

    digits: int
    places: int

    @staticmethod
    @lru_cache(maxsize=4_096)
    def parse(text: str) -> "Price | None":
        """The price of a decimal text; None when it is not positive. A wave asks for few texts, again and again.

        Raises:
            UnitError: not a plain bounded decimal.
        """
        digits, places = parse_decimal(text, max_int_digits=12, max_frac_digits=20, name="price")
        return Price(digits, places) if digits > 0 else None

    def scaled(self, decimals: int, rounding: Rounding) -> int:
        """The price as an integer of `10 ** -decimals`."""
        return mul_div(self.digits, 10**decimals, 10**self.places, rounding)


@dataclass(frozen=True)
class Reference:
    """A price that may be traded on: where it comes from, when it was true, when we knew it."""

    text: str
    source: str
    at: int
    known_at: int

    @property
    def price(self) -> Price | None:
        """The exact price."""
        return Price.parse(self.text)

    def age_ms(self, now_ms: int) -> int:
        """How old it is."""
        return now_ms - self.at


@dataclass(frozen=True)
class CommonClose:
    """The price of a common fill instant: the final close of one minute, or why there is none (11, 1)."""

    minute: int
    reference: Reference | None
    why: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether waiting longer changes nothing: the minute is final, with or without a trade."""
        return self.why in (None, NO_TRADE)


NO_TRADE = "no trade"
NOT_FINAL = "not final"
NO_CANDLE = "no candle"


@dataclass(frozen=True)
class Liquidity:
    """What slippage and risk are computed from; None is unknown, and then the documented worst case counts.

    `half_spread` and `day_volatility` are rates of 1e-8, `day_volume` is 1e-8 USD; `volume_rank` counts from 1 among
    the perps, and is only looked up where the half-spread is unknown.
    """

    half_spread: int | None
    day_volatility: int | None
    day_volume: int | None
    closes: int
    volume_source: str | None
    volume_rank: int | None = None

    def six_hour_volatility(self, policy: Policy) -> int:
        """σ6h, half of a day's, rounded up, not below the floor; unknown is the policy's worst class (11, 5)."""
        if self.day_volatility is None:
            return max(policy.unknown_volatility, policy.volatility_floor)
        return max(mul_div(self.day_volatility, 1, 2, Rounding.CEIL), policy.volatility_floor)


@dataclass(frozen=True)
class Quote:
    """Everything memory says of one asset at one moment, for a fill and for a mark. Read before the transaction."""

    symbol: str
    asset: Listed | None
    references: tuple[Reference, ...]
    liquidity: Liquidity
    venue_mark: Reference | None
    closes_mark: Reference | None
    common: CommonClose | None = None

    def reference(self, policy: Policy, now_ms: int) -> Reference | None:
        """The newest price young enough, else the newest of all (which the age gate then refuses), else None."""
        fresh = [reference for reference in self.references if self.is_fresh(reference, policy, now_ms)]
        return max(fresh or self.references, key=lambda reference: (reference.at, reference.source), default=None)

    def fill_reference(self, policy: Policy, now_ms: int) -> Reference | None:
        """What a decision is filled at: the common close where the policy has a common instant, else `reference`."""
        if policy.fill_delay_ms:
            return self.common.reference if self.common else None
        return self.reference(policy, now_ms)

    def is_fresh(self, reference: Reference, policy: Policy, now_ms: int) -> bool:
        """Whether a fill may use the price; the limit itself is still accepted, a price of the future never."""
        return 0 <= reference.age_ms(now_ms) <= max_age_ms(self.symbol, reference.source, policy)

    def mark(self, policy: Policy, now_ms: int) -> Reference | None:
        """The venue's mark where known and young, else the median of the last five closes, else None (11, 6)."""
        if self.venue_mark and now_ms - self.venue_mark.known_at <= policy.mark_max_age_ms:
            return self.venue_mark
        if self.closes_mark and self.closes_mark.age_ms(now_ms) <= policy.closes_max_age_ms:
            return self.closes_mark
        return None


def max_age_ms(symbol: str, source: str, policy: Policy) -> int:
    """The oldest price of a source that a fill of this asset may use."""
    by_source = policy.mid_max_age_ms if source == "mid" else policy.candle_max_age_ms
    return min(by_source, dict(policy.symbol_max_age_ms).get(symbol, by_source))


def half_spread(liquidity: Liquidity) -> int:
    """Half the impact spread, at least 0.5 bp; where it is unknown that of its volume class, else the worst (11, 3)."""
    if liquidity.half_spread is not None:
        return max(liquidity.half_spread, MIN_HALF_SPREAD)
    rank = liquidity.volume_rank
    classes = (found.half_spread for found in SPREAD_CLASSES if rank is not None and rank <= found.last_rank)
    return next(classes, WORST_HALF_SPREAD)


def slippage(liquidity: Liquidity, notional: int, cap: int) -> int:
    """max(half impact spread, 0.5 bp) + 0.7 × σ_day × √(Q / V24h), rounded up, at most `cap`; a rate of 1e-8 (11, 3).

    An unknown volatility counts as the worst measured class, an unknown volume as the cap.
    """
    if not liquidity.day_volume:
        return cap
    sigma = WORST_DAY_VOLATILITY if liquidity.day_volatility is None else liquidity.day_volatility
    share = isqrt(mul_div(notional, RATE * RATE, liquidity.day_volume, Rounding.CEIL)) + 1
    impact = mul_div(IMPACT_TENTHS * sigma, share, 10 * RATE, Rounding.CEIL)
    return min(half_spread(liquidity) + impact, cap)


def execution_price(reference: Price, asset: Listed, slippage_rate: int, *, is_buy: bool) -> int:
    """The scaled fill price: buys are rounded up, sells down; 0 when a sell rounds away to nothing."""
    rounding = Rounding.CEIL if is_buy else Rounding.FLOOR
    worsened = RATE + slippage_rate if is_buy else RATE - slippage_rate
    grid = asset.grid
    price = mul_div(reference.digits * worsened, 10**grid.px_decimals, RATE * 10**reference.places, rounding)
    return grid.round_price(price, rounding) if price > 0 else 0


def size_for(notional: int, price: int, asset: Listed) -> int:
    """The largest scaled size whose notional at a scaled price does not exceed `notional`; toward zero (10 §1)."""
    return max(notional, 0) // (price * asset.grid.notional_factor)


def slippage_cost(reference: Price, price: int, size: int, asset: Listed) -> int:
    """What the fill lost against the reference, in 1e-8 USD, rounded up; never negative."""
    notional, scale = asset.grid.notional(price, size), 10 ** (reference.places + asset.sz_decimals)
    below = mul_div(reference.digits * size, USD, scale, Rounding.FLOOR)
    above = mul_div(reference.digits * size, USD, scale, Rounding.CEIL)
    return notional - below if notional > below else above - notional
