"""Running-minute candle frames made from finished candles.

A minute that traded becomes several states with growing volume and trade count; the last one is the finished candle,
text for text, and may arrive up to 200 ms after the minute (sources 1.3). A minute without trades sends nothing.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.replay.numerals import draws, key_of, text
from clash_pipeline.replay.truth import Asset, Minute

MOST_FRAMES = 4
FIRST_AT_MS = 250
"""No minute speaks before this, so that the late frame of the minute before it comes first."""
LAST_AT_MS = 59_900
LATE_MS = 200
LATE_ONE_IN = 20


class Running(NamedTuple):
    """What the venue says of a minute from `at` on, as wire text."""

    at: int
    t: int
    n: int
    o: str
    h: str
    l: str  # noqa: E741 - the venue's own name
    c: str
    v: str


def running(seed: int, asset: Asset, minute: Minute, most: int = MOST_FRAMES) -> tuple[Running, ...]:
    """The states of one minute in the order they are sent; the last equals the finished candle."""
    if not minute.n or not minute.v:
        return ()
    dice = draws(key_of(seed, "frames", asset.symbol, minute.t))
    lots = int(minute.v * 10**asset.sz_decimals + 0.5)
    count = max(min(2 + next(dice) % max(most - 1, 1), most, minute.n, lots), 1)
    path = _path(minute, next(dice) % 2 == 0)
    times = _times(minute.t, count, dice)
    last = Running(times[-1], minute.t, minute.n, *map(text, (minute.o, minute.h, minute.l, minute.c, minute.v)))
    return (*(_state(step, count, times, path, lots, asset, minute) for step in range(1, count)), last)


def candle_json(symbol: str, state: Running, interval: str = "1m", interval_ms: int = MINUTE_MS) -> str:
    """One candle object in the venue's key order."""
    return (
        f'{{"t":{state.t},"T":{state.t + interval_ms - 1},"s":"{symbol}","i":"{interval}","o":"{state.o}",'
        f'"c":"{state.c}","h":"{state.h}","l":"{state.l}","v":"{state.v}","n":{state.n}}}'
    )


def candle_frame(symbol: str, state: Running, interval: str = "1m", interval_ms: int = MINUTE_MS) -> str:
    """One `candle` message; `data` is a single object on the wire."""
    return f'{{"channel":"candle","data":{candle_json(symbol, state, interval, interval_ms)}}}'


def _path(minute: Minute, is_high_first: bool) -> list[float]:
    """The fewest trade prices that make the candle: open, the extremes beyond open and close, close."""
    extremes = [(minute.h, minute.h > max(minute.o, minute.c)), (minute.l, minute.l < min(minute.o, minute.c))]
    beyond = [price for price, is_beyond in (extremes if is_high_first else extremes[::-1]) if is_beyond]
    is_more = bool(beyond) or minute.o != minute.c
    return [minute.o, *beyond, *([minute.c] if is_more else [])]


def _times(t: int, count: int, dice: Iterator[int]) -> list[int]:
    picked = sorted(FIRST_AT_MS + draw % (LAST_AT_MS - FIRST_AT_MS) for draw in islice(dice, count))
    lateness = next(dice)
    if lateness % LATE_ONE_IN == 0:
        picked[-1] = MINUTE_MS + 1 + (lateness >> 8) % LATE_MS
    return [t + offset for offset in picked]


def _state(
    step: int, count: int, times: list[int], path: list[float], lots: int, asset: Asset, minute: Minute
) -> Running:
    """The state after `step` of `count` steps: part of the path, of the trades and of the volume."""
    seen = path[: -(-step * len(path) // count)]
    volume = text((lots * step // count) / 10**asset.sz_decimals)
    trades = max(minute.n * step // count, len(seen))
    o, h, l, c = (text(price) for price in (minute.o, max(seen), min(seen), seen[-1]))  # noqa: E741
    return Running(times[step - 1], minute.t, trades, o, h, l, c, volume)
