"""One-minute rows to hours: ours keeps the text of prices and adds volumes exactly, the others work on floats."""

from functools import cache, partial
from typing import Any

from bench.harness import Bench, Contender
from bench.markets import frame
from clash_pipeline.clock import HOUR_MS


def benches(quick: bool) -> tuple[Bench, ...]:
    """A day of 500 symbols."""
    size = (50, 240) if quick else (500, 1_440)
    contenders = (
        Contender("numpy, floats in order", "floor", partial(arrays, *size), by_numpy),
        Contender("clash hours, exact text", "ours", partial(minutes, *size), ours),
        Contender("polars, exact sums only", "peer", partial(minutes, *size), by_polars_text),
        Contender("polars, floats", "peer", partial(floats, *size), by_polars),
        Contender("duckdb, floats", "peer", partial(floats, *size), by_duckdb),
    )
    return (Bench("rollup", f"Hours of {size[0]} symbols × {size[1]:,} minutes", "minutes", contenders, 7),)


@cache
def minutes(symbols: int, count: int) -> Any:
    """As they come out of the table: decimal text."""
    return frame(symbols, count)


@cache
def floats(symbols: int, count: int) -> Any:
    """The same, already parsed, with the hour beside it."""
    import polars as pl

    numbers = minutes(symbols, count).with_columns(pl.col("o", "h", "l", "c", "v").cast(pl.Float64))
    return numbers.with_columns(hour=pl.col("t") // HOUR_MS)


@cache
def arrays(symbols: int, count: int) -> Any:
    """The same as arrays, with the places where an hour begins."""
    import numpy as np

    rows = floats(symbols, count)
    hour = rows["hour"].to_numpy()
    starts = np.flatnonzero(np.r_[True, (hour[1:] != hour[:-1])])
    return starts, *(rows[name].to_numpy() for name in ("o", "h", "l", "c", "v", "n"))


def ours(rows: Any) -> int:
    """The product's rollup."""
    from clash_pipeline.market import rollup

    rollup.hours(rows)
    return int(rows.height)


def by_numpy(prepared: Any) -> int:
    """Reductions between known places."""
    import numpy as np

    starts, o, h, l, c, v, n = prepared  # noqa: E741
    ends = np.r_[starts[1:], len(o)] - 1
    np.stack([o[starts], np.maximum.reduceat(h, starts), np.minimum.reduceat(l, starts), c[ends]])
    np.add.reduceat(v, starts), np.add.reduceat(n, starts)
    return len(o)


def by_polars(rows: Any) -> int:
    """Group and aggregate floats; minutes without a trade vote, which is wrong in some hours."""
    import polars as pl

    rows.group_by("symbol", "hour", maintain_order=True).agg(
        pl.col("o").first(), pl.col("h").max(), pl.col("l").min(), pl.col("c").last(), pl.col("v", "n").sum()
    )
    return int(rows.height)


def by_polars_text(rows: Any) -> int:
    """The same from text, volumes as decimals, without the voting rule or the texts of high and low."""
    import polars as pl

    numbers = pl.col("o", "h", "l", "c").cast(pl.Float64)
    volumes = pl.col("v").cast(pl.Decimal(38, 20))
    return by_polars(rows.with_columns(numbers, volumes, hour=pl.col("t") // HOUR_MS))


def by_duckdb(rows: Any) -> int:
    """The same as SQL over the frame."""
    import duckdb

    minute_rows = rows.to_arrow()
    connection = duckdb.connect()
    connection.register("minute_rows", minute_rows)
    connection.sql(
        """
        SELECT symbol, hour, arg_min(o, t), max(h), min(l), arg_max(c, t), sum(v), sum(n)
        FROM minute_rows GROUP BY symbol, hour
        """
    ).fetchall()
    connection.close()
    return int(rows.height)
