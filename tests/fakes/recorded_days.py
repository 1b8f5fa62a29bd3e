"""The recorded minutes as the files hold them, read without any product code, and the comparison with stored ones."""

from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

PERP_FILES = ("candles_1m_perp_top40_2025-07.parquet", "candles_1m_perp_other133_2025-07.parquet")
SPOT_FILE = "candles_1m_spot_2025-07.parquet"
FIELDS = ("o", "h", "l", "c", "v")
SPOT_NAMES = {
    "PURR": "PURR/USDC", "HFUN": "@1", "JEFF": "@4", "CATBAL": "@59", "PIP": "@85", "HYPE": "@107", "VAULT": "@125",
    "LIQD": "@132", "UBTC": "@142", "USDE": "@150", "UETH": "@151", "USDXL": "@152", "FEUSD": "@153", "USOL": "@156",
    "BUDDY": "@160", "UFART": "@162", "USDT0": "@166", "USDHL": "@180", "XAUT0": "@182", "UPUMP": "@188",
}  # fmt: skip
"""The wire name of each recorded pair, as the recordings' README gives it."""


class Difference(NamedTuple):
    """One cell, or with field `row` a whole row, that is not as recorded; None is absence."""

    symbol: str
    t: int
    field: str
    recorded: Any
    stored: Any


def recorded_days(recordings: Path) -> pl.DataFrame:
    """Every recorded minute by symbol and time: `symbol, t` (ms)`, o, h, l, c, v` (floats)."""
    folder = recordings / "hyperliquid"
    perps = pl.concat([pl.read_parquet(folder / name) for name in PERP_FILES])
    spots = pl.read_parquet(folder / SPOT_FILE).with_columns(pl.col("coin").replace_strict(SPOT_NAMES))
    columns = (pl.col("coin").alias("symbol"), pl.col("t").cast(pl.Int64), *(pl.col(name) for name in FIELDS))
    return pl.concat([perps.select(columns), spots.select(columns)]).sort("symbol", "t")


def differences(recorded: pl.DataFrame, stored: pl.DataFrame) -> list[Difference]:
    """Rows missing and added, numbers that differ in any bit, and texts that are not the shortest exact ones.

    `stored` has the decimal texts of the memory under the same names.
    """
    key = ["symbol", "t"]
    missing, added = (one.join(other, on=key, how="anti") for one, other in ((recorded, stored), (stored, recorded)))
    doubled = stored.filter(stored.select(key).is_duplicated())
    wrong = [Difference(*row, "row", "present", None) for row in missing.select(key).rows()]
    wrong += [Difference(*row, "row", None, "present") for row in added.select(key).rows()]
    wrong += [Difference(*row, "row", "once", "twice") for row in doubled.select(key).rows()]
    both = recorded.join(stored.select(*key, *FIELDS), on=key, suffix="_text")
    for name in FIELDS:
        found = both.select(*key, given=name, text=f"{name}_text").join(_shortest(both[name]), on="given", how="left")
        is_other = (pl.col("text").cast(pl.Float64) != pl.col("given")) | (pl.col("text") != pl.col("wanted"))
        wrong += [
            Difference(*row[:2], name, *row[2:]) for row in found.filter(is_other).select(*key, "given", "text").rows()
        ]
    return wrong


def _shortest(numbers: pl.Series) -> pl.DataFrame:
    """For each number its shortest exact decimal text, without an exponent and with at least one decimal."""
    given = numbers.unique()
    texts = [_plain(repr(number)) for number in given.to_list()]
    return pl.DataFrame({"given": given, "wanted": texts})


def _plain(text: str) -> str:
    if "e" not in text:
        return text
    plain = f"{Decimal(text):f}"
    return plain if "." in plain else f"{plain}.0"
