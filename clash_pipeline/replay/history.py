"""`candleSnapshot`, with every quirk of sources 1.4."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import repeat

import numpy as np

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.replay.frames import Running, candle_json
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import text, texts
from clash_pipeline.replay.truth import Asset, Minutes

MOST_CANDLES = 5_000
FLAT_AFTER_MS = 60_000
"""A minute without trades is missing from the history until it ended this long ago; then it is a flat row."""
INTERVALS = {
    "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS, "2h": 2 * HOUR_MS, "4h": 4 * HOUR_MS, "8h": 8 * HOUR_MS, "12h": 12 * HOUR_MS,
    "1d": DAY_MS, "3d": 3 * DAY_MS, "1w": 7 * DAY_MS, "1M": 30 * DAY_MS,
}  # fmt: skip
"""The intervals of the venue; `1M` follows the calendar and has its length here only for limits."""


def snapshot(market: LiveMarket, asset: Asset, interval: str, start_ms: int, end_ms: int, now_ms: int) -> list[str]:
    """The candles, as JSON texts, from the one that holds `start_ms` to the one that holds `end_ms` or now."""
    if not asset.has_candles or start_ms > min(end_ms, now_ms):
        return []
    last_t = interval_start(interval, min(end_ms, now_ms))
    first_t = max(interval_start(interval, start_ms), oldest(interval, now_ms))
    states = _minutes(market, asset, first_t, now_ms) if interval == "1m" else _bars(
        market, asset, interval, first_t, now_ms
    )  # fmt: skip
    return [
        candle_json(asset.symbol, state, interval, length_at(interval, state.t))
        for state in states
        if state.t <= last_t
    ]


def interval_start(interval: str, t_ms: int) -> int:
    """The start of the candle that holds a moment; weeks start on Mondays, months with the calendar."""
    if interval == "1M":
        day = datetime.fromtimestamp(t_ms / 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
    offset = 4 * DAY_MS if interval == "1w" else 0
    return t_ms - (t_ms - offset) % INTERVALS[interval]


def length_at(interval: str, t: int) -> int:
    """The length of the candle that starts at `t`."""
    return interval_start("1M", t + 32 * DAY_MS) - t if interval == "1M" else INTERVALS[interval]


def oldest(interval: str, now_ms: int) -> int:
    """The start of the oldest candle the venue still answers for."""
    return interval_start(interval, now_ms) - (MOST_CANDLES - 1) * INTERVALS[interval]


def bar_at(market: LiveMarket, asset: Asset, interval: str, now_ms: int) -> Running | None:
    """The running candle of an interval; None while nothing is known of it."""
    bars = _bars(market, asset, interval, interval_start(interval, now_ms), now_ms)
    return bars[-1] if bars else None


def _minutes(market: LiveMarket, asset: Asset, first_t: int, now_ms: int) -> Iterator[Running]:
    settled = market.settled(asset.symbol, first_t, now_ms)
    times = range(settled.t0, settled.end_t, MINUTE_MS)
    prices = (texts(column.tolist()) for column in (settled.o, settled.h, settled.l, settled.c, settled.v))
    for state in map(Running, repeat(0), times, settled.n.tolist(), *prices):
        if state.n or now_ms - state.t - MINUTE_MS >= FLAT_AFTER_MS:
            yield state
    yield from (state for state in market.unsettled(asset, now_ms) if state.t >= first_t)


def _bars(market: LiveMarket, asset: Asset, interval: str, first_t: int, now_ms: int) -> list[Running]:
    minutes = market.settled(asset.symbol, first_t, now_ms)
    bars = _rolled(minutes, interval, asset.sz_decimals)
    for state in market.unsettled(asset, now_ms):
        start = interval_start(interval, state.t)
        if start < first_t:
            continue
        if bars and bars[-1].t == start:
            bars[-1] = _extended(bars[-1], state, asset.sz_decimals)
        else:
            bars.append(state._replace(t=start))
    return bars


def _rolled(minutes: Minutes, interval: str, sz_decimals: int) -> list[Running]:
    """Candles of whole intervals: minutes without a trade do not vote, unless all of an interval are such."""
    if not len(minutes):
        return []
    times = minutes.t0 + np.arange(len(minutes)) * MINUTE_MS
    starts = np.array([interval_start(interval, t) for t in times.tolist()])
    last_rows = np.flatnonzero(np.diff(starts, append=-1))
    flat = {int(starts[row]): text(float(minutes.c[row])) for row in last_rows}
    bars = {t: Running(0, t, 0, close, close, close, close, "0.0") for t, close in flat.items()}
    return list((bars | _traded(minutes, starts, sz_decimals)).values())


def _traded(minutes: Minutes, starts: "np.ndarray[tuple[int], np.dtype[np.int64]]", sz: int) -> dict[int, Running]:
    voting = np.flatnonzero(minutes.n)
    if not len(voting):
        return {}
    groups = starts[voting]
    edges = np.flatnonzero(np.diff(groups, prepend=-1))
    last = np.append(edges[1:], len(voting)) - 1
    lots = np.rint(minutes.v[voting] * 10**sz).astype(np.int64)
    columns = (
        minutes.o[voting][edges],
        np.maximum.reduceat(minutes.h[voting], edges),
        np.minimum.reduceat(minutes.l[voting], edges),
        minutes.c[voting][last],
        np.add.reduceat(lots, edges) / 10**sz,
    )
    rows = zip(groups[edges].tolist(), *(column.tolist() for column in columns),
               np.add.reduceat(minutes.n[voting], edges).tolist(), strict=True)  # fmt: skip
    return {t: Running(0, t, n, *map(text, prices)) for t, *prices, n in rows}


def _extended(bar: Running, minute: Running, sz_decimals: int) -> Running:
    """A candle with one more (running) minute in it."""
    if not bar.n:
        return minute._replace(t=bar.t)
    lots = round(float(bar.v) * 10**sz_decimals) + round(float(minute.v) * 10**sz_decimals)
    return bar._replace(
        at=minute.at,
        h=max(bar.h, minute.h, key=float),
        l=min(bar.l, minute.l, key=float),
        c=minute.c,
        v=text(lots / 10**sz_decimals),
        n=bar.n + minute.n,
    )
