"""Candle frames of the WebSocket to durable rows: decode, follow the minutes, write each minute in a transaction."""

import random
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from bench.harness import Bench, Contender
from bench.markets import DAY, candles_of, frame, new_market
from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.market import candles
from clash_pipeline.storage.sqlite import Database

FRAMES_A_MINUTE = 6
"""Repetitions of a running minute in which there were trades; a quiet coin sends nothing."""
GRACE_MS = 6_000
FLOOR = "INSERT INTO hyperliquid_candles VALUES (?, '1m', ?, ?, ?, ?, ?, ?, ?, 'stream', 1, ?)"


class Played(NamedTuple):
    """Frames in order of time, cut into minutes: (the minute, its frames)."""

    symbols: list[str]
    minutes: list[tuple[int, list[tuple[int, bytes]]]]

    @property
    def frames(self) -> int:
        """How many."""
        return sum(len(frames) for _, frames in self.minutes)


def benches(quick: bool) -> tuple[Bench, ...]:
    """400 coins for a quarter of an hour."""
    symbols, minutes = (50, 5) if quick else (400, 15)
    contenders = (
        Contender("msgspec and executemany", "floor", partial(given, symbols, minutes), barest),
        Contender("clash stream", "ours", partial(given, symbols, minutes), ours),
    )
    title = f"{played(symbols, minutes).frames:,} frames of {symbols} coins to durable rows"
    return (Bench("stream", title, "frames", contenders, 5, aim=0.8, aim_of="msgspec and executemany"),)


@cache
def played(symbols: int, minutes: int) -> Played:
    """The frames of recorded minutes, made as the venue repeats them: growing high, low, volume and count."""
    source, made = random.Random(1), []
    rows = [row for row in candles_of(frame(symbols, minutes)) if float(row.v)]
    for row in rows:
        for number in range(1, FRAMES_A_MINUTE + 1):
            at = row.t + int((number - source.random()) * MINUTE_MS / FRAMES_A_MINUTE)
            made.append((at, _frame(row, number)))
    made.sort(key=lambda item: item[0])
    parts = [(t, list(part)) for t, part in groupby(made, key=lambda item: item[0] - item[0] % MINUTE_MS)]
    return Played(sorted({row.symbol for row in rows}), parts)


def _frame(row: candles.Candle, number: int) -> bytes:
    is_last = number == FRAMES_A_MINUTE
    high, low, close = (row.h, row.l, row.c) if is_last else (row.o, row.o, row.o)
    volume = row.v if is_last else f"{float(row.v) * number / FRAMES_A_MINUTE:.4f}"
    data = {"t": row.t, "T": row.t + MINUTE_MS - 1, "s": row.symbol, "i": "1m", "o": row.o, "c": close, "h": high}
    return msgspec.json.encode({"channel": "candle", "data": data | {"l": low, "v": volume, "n": number}})


def given(symbols: int, minutes: int) -> tuple[Database, Played]:
    """An empty file, and what arrives."""
    return new_market(), played(symbols, minutes)


def ours(state: tuple[Database, Played]) -> int:
    """The product's state machine and writer; every frame is also checked, and every minute judged for finality."""
    from clash_pipeline.market.hyperliquid.arrivals import Arrivals, ArrivalWriter
    from clash_pipeline.market.hyperliquid.stream import CandleStream, StreamPolicy
    from clash_pipeline.storage import leases

    market, arriving = state
    clock = SettableClock(DAY - MINUTE_MS)
    lease = leases.acquire(market, "bench", "bench", now_ms=DAY, ttl_ms=10**9)
    stream = CandleStream(StreamPolicy(is_skew_estimated=False))
    writer = ArrivalWriter(market, clock, lease)
    stream.opened(clock.now_ms())
    stream.follow(dict.fromkeys(arriving.symbols), clock.now_ms())
    for symbol in arriving.symbols:
        stream.receive(_acknowledged(symbol), clock.now_ms())
    for t, frames in arriving.minutes:
        for at, raw in frames:
            stream.receive(raw, at)
        end = t + MINUTE_MS + GRACE_MS
        clock.set(end)
        stream.receive(b'{"channel":"pong"}', end)
        stream.tick(end)
        arrived = Arrivals()
        arrived.add(stream.drain())
        writer.write(arrived, expected=len(arriving.symbols))
    return arriving.frames


def _acknowledged(symbol: str) -> bytes:
    wanted = {"method": "subscribe", "subscription": {"type": "candle", "coin": symbol, "interval": "1m"}}
    return msgspec.json.encode({"channel": "subscriptionResponse", "data": wanted})


class Row(msgspec.Struct):
    """A candle."""

    t: int
    s: str
    o: str
    c: str
    h: str
    l: str  # noqa: E741
    v: str
    n: int


class Frame(msgspec.Struct):
    """A message of the stream."""

    channel: str
    data: Row


def barest(state: tuple[Database, Played]) -> int:
    """The last state of each minute wins; nothing is checked, a minute ends when the clock says so."""
    market, arriving = state
    decoder: Any = msgspec.json.Decoder(Frame)
    for t, frames in arriving.minutes:
        last = {}
        for _, raw in frames:
            row = decoder.decode(raw).data
            last[row.s] = row
        known_at = t + MINUTE_MS
        with market.write() as connection:
            connection.executemany(
                FLOOR, [(r.s, r.t, r.o, r.h, r.l, r.c, r.v, r.n, known_at) for _, r in sorted(last.items())]
            )
    return arriving.frames
