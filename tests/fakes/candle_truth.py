"""A small market whose every minute is known: running frames in time order, and the history the venue would show."""

import json
import random

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.market.candles import Candle, flat

FLAT_SHOWN_AFTER_MS = 60_000
"""A minute without trades is missing from the history until it ended this long ago (sources 1.4)."""
ACTIVITY = (1.0, 1.0, 0.95, 0.7, 0.4, 0.1, 0.03)
HISTORY_MINUTES = 40


class CandleTruth:
    """What really happened, minute by minute, from `HISTORY_MINUTES` before `start_t` to `end_t`."""

    def __init__(self, seed: int, *, symbols: int = 20, start_t: int, minutes: int) -> None:
        self.symbols = [f"C{index:02d}" for index in range(symbols)]
        self.start_t = start_t
        self.end_t = start_t + minutes * MINUTE_MS
        self.states: list[tuple[int, Candle]] = []
        """Every running state with the moment it was sent, in order."""
        self._minutes: dict[str, dict[int, list[tuple[int, Candle]]]] = {}
        for symbol in self.symbols:
            self._minutes[symbol] = self._trade(random.Random(f"{seed}:{symbol}"), symbol)
            for states in self._minutes[symbol].values():
                self.states += states
        self.states.sort(key=lambda state: state[0])

    def candles(self, symbol: str, from_t: int, to_t: int) -> list[Candle]:
        """The finished minutes of `[from_t, to_t)`, silent ones as flat rows."""
        found = []
        close = ""
        for t in range(self.start_t - HISTORY_MINUTES * MINUTE_MS, min(to_t, self.end_t), MINUTE_MS):
            states = self._minutes[symbol].get(t)
            candle = states[-1][1] if states else flat(symbol, t, close)
            close = candle.c
            if t >= from_t:
                found.append(candle)
        return found

    def snapshot(self, symbol: str, from_t: int, to_t: int, now_ms: int) -> list[Candle]:
        """What the venue's history says at `now_ms`: the running minute so far, and no silent minute too early."""
        rows = []
        for candle in self.candles(symbol, from_t, min(to_t, minute_of(now_ms))):
            states = [state for at, state in self._minutes[symbol].get(candle.t, ()) if at <= now_ms]
            if states:
                rows.append(states[-1])
            elif now_ms - candle.t - MINUTE_MS >= FLAT_SHOWN_AFTER_MS:
                rows.append(candle)
        running = minute_of(now_ms)
        if from_t <= running < to_t:
            rows += [state for at, state in self._minutes[symbol].get(running, ()) if at <= now_ms][-1:]
        return rows

    def early_state(self, candle: Candle) -> Candle:
        """The first state of a minute; a silent one stays as it is."""
        states = self._minutes[candle.symbol].get(candle.t)
        return states[0][1] if states else candle

    def mids(self, now_ms: int) -> dict[str, str]:
        """The last close of every coin."""
        t = minute_of(now_ms) - MINUTE_MS
        return {symbol: row[0].c for symbol in self.symbols if (row := self.candles(symbol, t, t + MINUTE_MS))}

    def _trade(self, chance: random.Random, symbol: str) -> dict[int, list[tuple[int, Candle]]]:
        activity = chance.choice(ACTIVITY)
        price = chance.randint(2_000, 90_000)
        minutes = {}
        first_t = self.start_t - HISTORY_MINUTES * MINUTE_MS
        for t in range(first_t, self.end_t, MINUTE_MS):
            if t != first_t and chance.random() > activity:
                continue
            states, price = _running(chance, symbol, t, price)
            minutes[t] = states
        return minutes


def _running(chance: random.Random, symbol: str, t: int, price: int) -> tuple[list[tuple[int, Candle]], int]:
    """One to four states of a minute; the last one may be sent a little after its end."""
    prices = [
        max(price + chance.randint(-price // 500 - 1, price // 500 + 1), 1_000) for _ in range(chance.randint(1, 4))
    ]
    moments = sorted(chance.randint(0, MINUTE_MS - 1) for _ in prices)
    if chance.random() < 0.3:
        moments[-1] = MINUTE_MS + chance.randint(0, 400)
    states, volume, count = [], 0, 0
    for index, moment in enumerate(moments):
        seen = prices[: index + 1]
        volume, count = volume + chance.randint(1, 5_000), count + chance.randint(1, 9)
        text = [f"{value / 100:.2f}" for value in (seen[0], max(seen), min(seen), seen[-1])]
        states.append((t + moment, Candle(symbol, t, *text, f"{volume / 1000:.3f}", count)))
    return states, prices[-1]


def frame(candle: Candle, *, length_ms: int = MINUTE_MS, interval: str = "1m") -> str:
    """A candle as the venue sends it."""
    return json.dumps(
        {
            "channel": "candle",
            "data": {
                "t": candle.t, "T": candle.t + length_ms - 1, "s": candle.symbol, "i": interval,
                "o": candle.o, "c": candle.c, "h": candle.h, "l": candle.l, "v": candle.v, "n": candle.n,
            },
        }
    )  # fmt: skip
