"""An execution venue made of values: every perp at one price, fresh at any moment, with a funding rate every hour."""

from collections.abc import Iterable
from dataclasses import dataclass

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market.listing import Listed, Tier
from clash_pipeline.prop.pricing import CommonClose, Liquidity, Quote, Reference
from clash_pipeline.prop.rates import HourKey, Oracle, Source
from clash_pipeline.units import USD

RESTING = 125_000
"""0.00125 % an hour, in 1e-10."""
DEEP = Liquidity(0, 2_000_000, 10**9 * USD, 168, "context")


@dataclass
class SteadyVenue:
    """Quotes whatever is asked for at `price`."""

    price: str = "100"
    name: str = "steady"

    def quotes(self, symbols: Iterable[str], now_ms: int, *, fill_minute: int | None = None) -> dict[str, Quote]:
        """A mid and a mark of this very moment, and the close of a common minute where one is asked for."""
        mid = Reference(self.price, "mid", now_ms, now_ms)
        mark = Reference(self.price, "venue", now_ms, now_ms)
        common = None if fill_minute is None else self._close(fill_minute)
        return {symbol: Quote(symbol, listed(symbol), (mid,), DEEP, mark, None, common) for symbol in symbols}

    def funding(self, hours: Iterable[HourKey], now_ms: int) -> dict[HourKey, Source]:
        """The resting rate, paid."""
        return {hour: Source(RESTING, "paid", hour.hour_t, self.price, hour.hour_t) for hour in hours}

    def oracles(self, symbols: Iterable[str], at_ms: int, now_ms: int) -> dict[str, Oracle]:
        """The same price."""
        return {symbol: Oracle(self.price, at_ms) for symbol in symbols}

    def _close(self, minute: int) -> CommonClose:
        closed_at = minute + MINUTE_MS
        return CommonClose(minute, Reference(self.price, "candle", closed_at, closed_at))


def listed(symbol: str) -> Listed:
    """A perp of three size decimals that takes leverage up to 40."""
    return Listed(symbol, "perp", 3, 40, (Tier(0, 40),), False, frozenset({"ohlcv"}), "crypto_major", "layer_1")
