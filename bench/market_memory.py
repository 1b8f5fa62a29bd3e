"""A market memory of some days and assets for the benches that read it: every table a plan can ask for."""

import random
from collections.abc import Iterator
from functools import cache

from bench.markets import new_market
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.storage.sqlite import Connection, Database

AS_OF = 1_753_747_203_000
"""2025-07-29T00:00:03Z, shortly after a minute, as a due decision reads."""
END = AS_OF - AS_OF % MINUTE_MS
SUBJECTS = (("global", "defi"), ("chain", "Solana"), ("chain", "Ethereum"), ("stablecoin", "USDT"))
LINKED = 10
"""So many assets have Polymarket markets."""


def symbols(count: int) -> tuple[str, ...]:
    """The made-up assets, all of which have candles, indicators and funding."""
    return tuple(f"C{number:03}" for number in range(count))


@cache
def memory(assets: int, days: int) -> Database:
    """A market file with `days` of everything up to `AS_OF`."""
    market = new_market()
    chance = random.Random(1)
    for number, symbol in enumerate(symbols(assets)):
        with market.write() as connection:
            _asset(connection, symbol, days, chance)
            if number < LINKED:
                _linked(connection, symbol, days)
    with market.write() as connection:
        _macro(connection, days, chance)
        connection.execute("ANALYZE")
    return market


def _asset(connection: Connection, symbol: str, days: int, chance: random.Random) -> None:
    minutes = list(_walk(symbol, days, chance))
    connection.executemany(_CANDLE, (("1m", *row, row[1] + MINUTE_MS + 900) for row in minutes))
    hours = (row for row in minutes if row[1] % HOUR_MS == 0)
    connection.executemany(_CANDLE, (("1h", *row, row[1] + HOUR_MS + 2_000) for row in hours))
    connection.executemany(
        "INSERT INTO hyperliquid_technical_indicators VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((symbol, row[1], *(chance.gauss(50, 10) for _ in range(9)), row[1] + MINUTE_MS + 1_200) for row in minutes),
    )
    connection.executemany(
        "INSERT INTO hyperliquid_funding_rates VALUES (?, 'current', 'HlPerp', ?, ?, 1, '0.00031774', NULL, ?)",
        ((symbol, t, chance.randint(-9_999, 99_999), t + 700) for t in range(END - days * DAY_MS, END, 5 * MINUTE_MS)),
    )


_CANDLE = """
    INSERT INTO hyperliquid_candles (interval, symbol, t, o, h, l, c, v, n, origin, final, known_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'stream', 1, ?)
"""


def _walk(symbol: str, days: int, chance: random.Random) -> Iterator[tuple[str, int, str, str, str, str, str, int]]:
    """Minutes of a random walk; every fifth one without a trade."""
    price = 10.0 ** chance.uniform(-1, 4)
    for t in range(END - days * DAY_MS, END, MINUTE_MS):
        before, trades = price, chance.randint(0, 4)
        price *= 1 + chance.gauss(0, 0.001) * (trades > 0)
        texts = [_as_the_venue(value) for value in (before, max(before, price), min(before, price), price)]
        yield (symbol, t, texts[0], texts[1], texts[2], texts[3], f"{chance.random() * 100 * trades:.2f}", trades)


def _as_the_venue(price: float) -> str:
    """Five significant figures, and always a point."""
    text = f"{price:.5g}"
    return text if "." in text else f"{text}.0"


def _linked(connection: Connection, symbol: str, days: int) -> None:
    outcomes, prices = '["Up","Down"]', '["0.505","0.495"]'
    question = f"Will {symbol} close above its opening price of this hour?"
    for insert, minutes in ((_IMMEDIATE, 5), (_LATER, 30)):
        times = range(END - days * DAY_MS, END, minutes * MINUTE_MS)
        rows = ((symbol, t, f"m-{t // HOUR_MS}", question, outcomes, prices, t + HOUR_MS, t) for t in times)
        connection.executemany(insert, rows)


_IMMEDIATE = "INSERT INTO polymarket_immediate_markets VALUES (?, ?, ?, ?, ?, ?, ?, 12000.5, ?)"
_LATER = "INSERT INTO polymarket_later_markets VALUES (?, ?, ?, ?, ?, ?, ?, 12000.5, ?)"


def _macro(connection: Connection, days: int, chance: random.Random) -> None:
    times = range(END - days * DAY_MS, END, HOUR_MS)
    for statement, figures in (
        ("INSERT INTO defillama_capital_base VALUES (?, ?, ?, ?, ?, ?, NULL, ?)", 3),
        ("INSERT INTO defillama_capital_flows VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)", 5),
        ("INSERT INTO defillama_economic_throughput VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)", 8),
    ):
        connection.executemany(
            statement,
            (
                (*subject, t, *(chance.gauss(1e9, 1e8) for _ in range(figures)), t + 9_000)
                for t in times
                for subject in SUBJECTS
            ),
        )
