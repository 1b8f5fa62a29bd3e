"""The market as it looks at a moment of venue time: running minutes, last prices, the day's sums."""

from typing import NamedTuple

from clash_pipeline.clock import DAY_MS, MINUTE_MS, minute_of
from clash_pipeline.replay.frames import LATE_MS, MOST_FRAMES, Running, running
from clash_pipeline.replay.numerals import text
from clash_pipeline.replay.truth import Asset, MarketTruth, Minutes

MINUTES_KEPT = 8


class Day(NamedTuple):
    """The last 24 hours of an asset."""

    base_volume: float
    usd_volume: float
    previous_price: float


class LiveMarket:
    """A truth, seen through the frames that were sent so far."""

    def __init__(self, truth: MarketTruth, most_frames: int = MOST_FRAMES) -> None:
        self.truth = truth
        self.by_symbol = {asset.symbol: asset for asset in truth.assets}
        self.trading = tuple(asset for asset in truth.assets if asset.has_candles)
        self._most_frames = most_frames
        self._frames: dict[int, dict[str, tuple[Running, ...]]] = {}

    def frames(self, asset: Asset, t: int) -> tuple[Running, ...]:
        """All states of one minute, whether they were sent yet or not."""
        minute = self._frames.get(t)
        if minute is None:
            while len(self._frames) >= MINUTES_KEPT:
                self._frames.pop(next(iter(self._frames)))
            minute = self._frames[t] = {}
        states = minute.get(asset.symbol)
        if states is None:
            rows = self.truth.minutes(asset.symbol, t, t + MINUTE_MS).rows()
            states = running(self.truth.seed, asset, rows[0], self._most_frames) if rows else ()
            minute[asset.symbol] = states
        return states

    def state(self, asset: Asset, t: int, now_ms: int) -> Running | None:
        """The last state of a minute that was sent by now; None before its first trade or without any."""
        latest = None
        for state in self.frames(asset, t):
            if state.at > now_ms:
                break
            latest = state
        return latest

    def settled_end(self, now_ms: int) -> int:
        """Minutes that start before this are past their last possible frame."""
        return minute_of(now_ms - LATE_MS)

    def settled(self, symbol: str, from_t: int, now_ms: int) -> Minutes:
        """The finished minutes from `from_t` on whose last frame is certainly out."""
        return self.truth.minutes(symbol, from_t, self.settled_end(now_ms))

    def unsettled(self, asset: Asset, now_ms: int) -> list[Running]:
        """What is known of the minutes after the settled ones, oldest first."""
        return [state for t in self._unsettled_starts(now_ms) if (state := self.state(asset, t, now_ms))]

    def _unsettled_starts(self, now_ms: int) -> range:
        return range(self.settled_end(now_ms), minute_of(now_ms) + 1, MINUTE_MS)

    def price(self, symbol: str, now_ms: int) -> float | None:
        """The last traded price by now; None where the asset has no book at this time."""
        asset = self.by_symbol.get(symbol)
        if asset is None or not asset.has_candles:
            return None
        for t in reversed(self._unsettled_starts(now_ms)):
            if (state := self.state(asset, t, now_ms)) is not None:
                return float(state.c)
        end = self.settled_end(now_ms)
        last = self.truth.minutes(symbol, end - MINUTE_MS, end)
        return float(last.c[-1]) if len(last) else None

    def price_at(self, symbol: str, t: int) -> float | None:
        """The close of the minute before a past moment; None outside the market's history."""
        before = self.truth.minutes(symbol, minute_of(t) - MINUTE_MS, minute_of(t))
        return float(before.c[-1]) if len(before) else None

    def mids(self, now_ms: int) -> dict[str, str]:
        """Price text of every asset with a book."""
        prices = ((asset.symbol, self.price(asset.symbol, now_ms)) for asset in self.trading)
        return {symbol: text(price) for symbol, price in prices if price is not None}

    def day(self, symbol: str, now_ms: int) -> Day | None:
        """Volumes of the last 24 hours and the price before them."""
        minutes = self.settled(symbol, minute_of(now_ms) - DAY_MS, now_ms)
        if not len(minutes):
            return None
        base, usd = float(minutes.v.sum()), float((minutes.v * minutes.c).sum())
        return Day(base, usd, float(minutes.o[0]))
