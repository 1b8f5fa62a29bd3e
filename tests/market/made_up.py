"""Made-up minutes: seeded random walks of closes as candles, and how they are put into a database."""

import random
from collections.abc import Sequence

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market import candles
from clash_pipeline.market.candles import Candle
from clash_pipeline.storage.sqlite import Database


def walk(symbol: str, from_t: int, minutes: int, seed: int, *, quiet: float = 0.3) -> list[Candle]:
    """A random walk of prices with four decimals; a share of the minutes is `quiet`, that is without a trade."""
    source, price, made = random.Random(f"{seed} {symbol}"), 40.0, []
    for t in range(from_t, from_t + minutes * MINUTE_MS, MINUTE_MS):
        if source.random() < quiet:
            made.append(candles.flat(symbol, t, f"{price:.4f}"))
            continue
        opened, price = price, price * (1 + source.gauss(0, 0.002))
        high, low = max(opened, price) * 1.0005, min(opened, price) * 0.9995
        made.append(
            Candle(symbol, t, f"{opened:.4f}", f"{high:.4f}", f"{low:.4f}", f"{price:.4f}", f"{source.random():.3f}", 3)
        )
    return made


def put(market: Database, rows: Sequence[Candle], *, known_at: int, final: bool = False) -> None:
    """Store minutes as the stream would, or, final, as a REST answer would."""
    with market.write() as connection:
        candles.store(connection, rows, origin="rest" if final else "stream", final=final, known_at=known_at)
