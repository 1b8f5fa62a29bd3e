"""One-hour candles, made of the sixty one-minute candles of the hour and equal to the venue's own (01 Rules).

Over the minutes that traded: open first, high max, low min, close last, volume and trade count summed. A minute without
a trade does not vote, unless no minute of the hour has one. Prices keep the text of the minute they come from.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

import structlog

from clash_pipeline.clock import HOUR_MS
from clash_pipeline.market import candles, minutes
from clash_pipeline.market.candles import Candle
from clash_pipeline.storage.sqlite import Connection, Database

if TYPE_CHECKING:
    import polars as pl

MINUTES = 60
VOLUME_DIGITS, VOLUME_DECIMALS = 38, 20
"""Volumes are added up as exact decimals; a sum that does not fit raises instead of rounding."""
SYMBOLS_A_CHUNK = 32
"""Symbols that a backfill writes in one transaction."""

log = structlog.get_logger(__name__)


def hours(of_minutes: "pl.DataFrame") -> "pl.DataFrame":
    """The hours that minutes make, by symbol and time: `symbol, t, o, h, l, c, v, n, final`.

    `of_minutes` has the fields of `candles.frame`, each minute once, in any order. An hour is final (1) when all of its
    sixty minutes are there and final.
    """
    import polars as pl

    hour = pl.col("t") - pl.col("t") % HOUR_MS
    volume = pl.col("v").cast(pl.Decimal(VOLUME_DIGITS, VOLUME_DECIMALS))
    prices = [pl.col(name).cast(pl.Float64).alias(f"{name}_number") for name in ("h", "l")]
    has_traded = (pl.col("n") > 0) | (pl.col("volume") > 0)
    votes = pl.col("has_traded") | ~pl.col("has_traded").any()
    ordered = of_minutes.sort("symbol", "t").with_columns(*prices, hour=hour, volume=volume)
    grouped = ordered.with_columns(has_traded=has_traded).group_by("symbol", "hour", maintain_order=True)
    return grouped.agg(
        o=pl.col("o").filter(votes).first(),
        h=pl.col("h").filter(votes).get(pl.col("h_number").filter(votes).arg_max()),
        l=pl.col("l").filter(votes).get(pl.col("l_number").filter(votes).arg_min()),
        c=pl.col("c").filter(votes).last(),
        v=_shortest(pl.col("volume").sum()),
        n=pl.col("n").sum(),
        final=((pl.len() == MINUTES) & (pl.col("final").min() == 1)).cast(pl.Int64),
    ).rename({"hour": "t"})


def refresh(connection: Connection, *, hour_t: int, known_at: int, symbols: Collection[str] | None = None) -> int:
    """Write the hour that starts at `hour_t`, of all or some symbols; returns how many rows are new or different."""
    return refresh_range(connection, from_t=hour_t, to_t=hour_t + HOUR_MS, known_at=known_at, symbols=symbols)


def refresh_range(
    connection: Connection, *, from_t: int, to_t: int, known_at: int, symbols: Collection[str] | None = None
) -> int:
    """Write the hours of `[from_t, to_t)` from their final minutes; returns how many rows are new or different.

    An hour of which only a part is final is written as not final, and grows with every call.

    Raises:
        ValueError: a bound is not the start of an hour.
    """
    if from_t % HOUR_MS or to_t % HOUR_MS:
        raise ValueError(f"an hour starts at a multiple of {HOUR_MS} ms, not at {from_t} or {to_t}")
    wanted = candles.followed(connection) if symbols is None else sorted(symbols)
    made = hours(minutes.final_minutes(connection, wanted, from_t, to_t))
    return sum(_store(connection, made, final, known_at) for final in (1, 0))


def backfill(market: Database, *, from_t: int, to_t: int, known_at: int, symbols: Collection[str] | None = None) -> int:
    """Write the hours of a long range, a transaction for every few symbols; returns how many rows changed.

    Raises:
        ValueError: a bound is not the start of an hour.
    """
    written = 0
    for chunk in minutes.chunks(market, symbols, SYMBOLS_A_CHUNK):
        with market.write() as connection:
            written += refresh_range(connection, from_t=from_t, to_t=to_t, known_at=known_at, symbols=chunk)
    return written


def _store(connection: Connection, made: "pl.DataFrame", final: int, known_at: int) -> int:
    rows = made.filter(made["final"] == final).drop("final").rows()
    written = candles.store(
        connection, [Candle._make(row) for row in rows], interval="1h", origin="rollup", final=bool(final),
        known_at=known_at,
    )  # fmt: skip
    for candle in written.conflicts:
        log.warning("hour_differs_from_its_minutes", symbol=candle.symbol, t=candle.t)
    return written.inserted + written.changed


def _shortest(volume: "pl.Expr") -> "pl.Expr":
    """Decimal text without idle zeros; a whole number keeps one, as the venue writes it: `12.0`."""
    import polars as pl

    text = volume.cast(pl.String).str.strip_chars_end("0")
    return pl.when(text.str.ends_with(".")).then(text + "0").otherwise(text)
