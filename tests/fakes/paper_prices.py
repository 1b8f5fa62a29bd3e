"""An execution venue whose prices are set by hand: the port of `prop.venue` without any market memory behind it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market.listing import Listed, Tier
from clash_pipeline.prop.pricing import NO_CANDLE, CommonClose, Liquidity, Quote, Reference
from clash_pipeline.prop.rates import HourKey, Oracle, Source
from clash_pipeline.units import USD

LIQUID = Liquidity(50_000, 3_000_000, 1_000_000_000 * USD, 168, "context")
"""Half a spread of 5 bp, 3 % a day, a billion USD of volume."""


def perp(symbol: str, sz_decimals: int, max_leverage: int) -> Listed:
    """A perp with one margin tier."""
    tiers = (Tier(0, max_leverage),)
    return Listed(symbol, "perp", sz_decimals, max_leverage, tiers, False, frozenset({"ohlcv"}), "crypto", "")


def spot(symbol: str, sz_decimals: int) -> Listed:
    """A spot pair."""
    return Listed(symbol, "spot", sz_decimals, 1, (Tier(0, 1),), False, frozenset({"ohlcv"}), "crypto", "")


@dataclass
class PaperPrices:
    """Assets, their prices as decimal text, and what an hour of funding costs; a price of None is unknown."""

    assets: dict[str, Listed]
    prices: dict[str, str | None]
    rates: dict[HourKey, int] = field(default_factory=dict)
    name: str = "by hand"

    def quotes(self, symbols: Iterable[str], now_ms: int, *, fill_minute: int | None = None) -> dict[str, Quote]:
        """A fresh mid and mark of every symbol that has a price, which is also the close of the common minute."""
        return {symbol: self._quote(symbol, now_ms, fill_minute) for symbol in symbols}

    def funding(self, hours: Iterable[HourKey], now_ms: int) -> dict[HourKey, Source]:
        """The rate that was set for an hour, at the present price."""
        return {
            key: Source(self.rates[key], "paid", key.hour_t, price, key.hour_t)
            for key in hours
            if key in self.rates and (price := self.prices.get(key.symbol))
        }

    def oracles(self, symbols: Iterable[str], at_ms: int, now_ms: int) -> dict[str, Oracle]:
        """The present prices."""
        return {symbol: Oracle(price, at_ms) for symbol in symbols if (price := self.prices.get(symbol))}

    def _quote(self, symbol: str, now_ms: int, fill_minute: int | None) -> Quote:
        price = self.prices.get(symbol)
        mid = () if price is None else (Reference(price, "mid", now_ms, now_ms),)
        mark = None if price is None else Reference(price, "venue", now_ms, now_ms)
        common = None if fill_minute is None else _common(price, fill_minute)
        return Quote(symbol, self.assets.get(symbol), mid, LIQUID, mark, None, common)


def _common(price: str | None, minute: int) -> CommonClose:
    if price is None:
        return CommonClose(minute, None, NO_CANDLE)
    return CommonClose(minute, Reference(price, "candle", minute + MINUTE_MS, minute + MINUTE_MS))
