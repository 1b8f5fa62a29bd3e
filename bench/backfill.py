"""All recorded perps into a new market file: minutes, the hours and the indicators made of them."""

from functools import cache, partial
from typing import Any, NamedTuple

from bench.harness import Bench, Contender
from bench.markets import candles_of, made_up, new_market, recorded_perps
from clash_pipeline.clock import DAY_MS, HOUR_MS, day_of, hour_of
from clash_pipeline.market import candles, indicators, rollup
from clash_pipeline.storage.sqlite import Database, one

CHUNK = 50_000
"""Candles written in one transaction by the product: about seven perps."""
TABLES = ("hyperliquid_candles", "hyperliquid_technical_indicators")
FLOOR_CANDLES = "INSERT INTO hyperliquid_candles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
FLOOR_INDICATORS = "INSERT INTO hyperliquid_technical_indicators VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Rows(NamedTuple):
    """What is to be written, finished: all rows of both tables, in the order of their keys."""

    candles: list[tuple[Any, ...]]
    indicators: list[tuple[Any, ...]]


def benches(quick: bool) -> tuple[Bench, ...]:
    """The product's way, and `executemany` alone with rows that are there already."""
    contenders = (
        Contender("executemany alone", "floor", partial(with_finished, quick), write_finished),
        Contender("clash backfill", "ours", partial(with_source, quick), ours),
        Contender("clash backfill again", "ours", partial(with_source_there, quick), ours_again),
    )
    count = len(source(quick))
    title = f"Backfill of {count:,} minutes of perps, with their hours and indicators"
    return (Bench("backfill", title, "rows written", contenders, 3, is_long=True, aim=0.7, aim_of="executemany alone"),)


@cache
def source(quick: bool) -> list[candles.Candle]:
    """The recorded perps, or as many made-up rows."""
    recorded = recorded_perps()
    rows = made_up(20, 3_000) if recorded is None else recorded
    return candles_of(rows.head(60_000) if quick else rows)


def with_source(quick: bool) -> tuple[Database, list[candles.Candle]]:
    """An empty file, and the minutes to be filled in."""
    return new_market(), source(quick)


def ours(given: tuple[Database, list[candles.Candle]]) -> int:
    """Store, roll up, derive: what a backfill of a past range does once the venue has answered."""
    market, minutes = given
    from_t, to_t = min(row.t for row in minutes), max(row.t for row in minutes) + 1
    written = 0
    for start in range(0, len(minutes), CHUNK):
        with market.write() as connection:
            piece = minutes[start : start + CHUNK]
            written += candles.store(connection, piece, origin="rest", final=True, known_at=to_t).inserted
    written += rollup.backfill(market, from_t=hour_of(from_t), to_t=hour_of(to_t) + HOUR_MS, known_at=to_t)
    written += indicators.backfill(market, from_t=day_of(from_t), to_t=day_of(to_t) + DAY_MS, known_at=to_t)
    return written


@cache
def filled(quick: bool) -> Database:
    """A file that holds everything."""
    market, minutes = with_source(quick)
    ours((market, minutes))
    return market


def with_source_there(quick: bool) -> tuple[Database, list[candles.Candle]]:
    """The file that holds everything, and the same minutes once more."""
    return filled(quick), source(quick)


def ours_again(given: tuple[Database, list[candles.Candle]]) -> int:
    """The same work, which finds that nothing has changed; counted in the rows that it looks at."""
    changed = ours(given)
    assert changed == 0, f"{changed} rows changed"
    with given[0].read() as connection:
        return sum(one(connection, f"SELECT count(*) FROM {table}") for table in TABLES)  # noqa: S608  (above)


@cache
def finished_of(market: Database) -> Rows:
    """All rows of a file, as tuples."""
    with market.read() as connection:
        cursor = connection.cursor()
        cursor.row_factory = None
        return Rows(*(cursor.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES))  # noqa: S608  (above)


def with_finished(quick: bool) -> tuple[Database, Rows]:
    """An empty file, and the rows that ours ends with."""
    return new_market(), finished_of(filled(quick))


def write_finished(given: tuple[Database, Rows]) -> int:
    """One transaction, sorted by key."""
    market, rows = given
    with market.write() as connection:
        connection.executemany(FLOOR_CANDLES, rows.candles)
        connection.executemany(FLOOR_INDICATORS, rows.indicators)
    return len(rows.candles) + len(rows.indicators)
