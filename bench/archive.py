"""A day of 500 assets to one parquet object: candles, then indicators."""

import io
from functools import cache, partial
from typing import Any

from bench.harness import Bench, Contender
from bench.markets import DAY, candles_of, frame, new_market
from clash_pipeline.archive import rows as archived_rows
from clash_pipeline.archive.catalogue import table_named
from clash_pipeline.archive.parquet import DayWriter
from clash_pipeline.market import candles, indicators
from clash_pipeline.storage.sqlite import Database

MINUTES = 1_440
TABLES = {"candles": "hyperliquid_candles_1m", "indicators": "hyperliquid_technical_indicators"}


def benches(quick: bool) -> tuple[Bench, ...]:
    """From rows in a frame, and all the way from SQLite, for each of the two large tables."""
    symbols = 50 if quick else 500
    return tuple(bench for label in TABLES for bench in _of_table(label, symbols))


def _of_table(label: str, symbols: int) -> tuple[Bench, Bench]:
    given, stored = partial(day_rows, label, symbols), partial(with_table, label, symbols)
    sizes: dict[str, float] = {}

    def size(name: str) -> Any:
        return lambda _: {"bytes/row": sizes[name]}

    from_frame = (
        Contender("polars write", "floor", given, partial(plain, sizes, "plain"), size("plain")),
        Contender("clash day", "ours", given, partial(ours, sizes, "ours", label), size("ours")),
    )
    from_file = (
        Contender("fetchall, polars write", "floor", stored, partial(plain_from_file, sizes, "plain"), size("plain")),
        Contender("clash day", "ours", stored, partial(ours_from_file, sizes, "ours"), size("ours")),
    )
    title = f"A day of {symbols} assets to parquet: {label}"
    return (
        Bench(f"archive, {label}", f"{title}, rows in memory", "rows", from_frame, 5, aim=0.8, aim_of="polars write"),
        Bench(
            f"archive, {label} from SQLite", f"{title}, from SQLite", "rows", from_file, 3, is_long=True,
            aim=0.8, aim_of="fetchall, polars write",
        ),
    )  # fmt: skip


@cache
def stored_day(symbols: int) -> Database:
    """A market file with the day's final minutes and their indicators."""
    market = new_market()
    with market.write() as connection:
        candles.store(connection, candles_of(frame(symbols, MINUTES)), origin="rest", final=True, known_at=DAY)
    indicators.backfill(market, from_t=DAY, to_t=DAY + MINUTES * 60_000, known_at=DAY)
    return market


def with_table(label: str, symbols: int) -> tuple[Database, str]:
    """The file, and which table of it."""
    return stored_day(symbols), TABLES[label]


@cache
def day_rows(label: str, symbols: int) -> Any:
    """The rows of the day, as the archive reads them."""
    import polars as pl

    with stored_day(symbols).read() as connection:
        return pl.concat(archived_rows.of_day(connection, table_named(TABLES[label]), DAY), rechunk=True)


def plain(sizes: dict[str, float], name: str, rows: Any) -> int:
    """One call; neither packed, nor checked by content."""
    file = io.BytesIO()
    rows.write_parquet(file, compression="zstd", compression_level=3)
    sizes[name] = file.tell() / rows.height
    return int(rows.height)


def ours(sizes: dict[str, float], name: str, label: str, rows: Any) -> int:
    """Packed decimals, content hash, page checksums."""
    writer = DayWriter(table_named(TABLES[label]), DAY)
    writer.write(rows)
    encoded = writer.finish()
    sizes[name] = len(encoded.body) / encoded.row_count
    return encoded.row_count


def plain_from_file(sizes: dict[str, float], name: str, given: tuple[Database, str]) -> int:
    """All rows into one frame, and that into one file."""
    market, table = given
    spec = table_named(table)
    with market.read() as connection:
        cursor = connection.cursor()
        cursor.row_factory = None
        fetched = cursor.execute(spec.select_day, {"from_t": DAY, "to_t": DAY + 86_400_000}).fetchall()
    return plain(sizes, name, archived_rows.frame(spec, fetched))


def ours_from_file(sizes: dict[str, float], name: str, given: tuple[Database, str]) -> int:
    """A piece at a time, as `archive_day` does it."""
    from clash_pipeline.archive import partitions

    market, table = given
    with market.read() as connection:
        encoded = partitions._encoded(connection, table_named(table), DAY, None)
    sizes[name] = len(encoded.body) / encoded.row_count
    return encoded.row_count
