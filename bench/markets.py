"""What the benches work on: recorded perps where the recordings are, and made-up markets of any size."""

import os
import random
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from clash_pipeline.clock import DAY_MS, MINUTE_MS
from clash_pipeline.market.candles import Candle
from clash_pipeline.settings import load
from clash_pipeline.storage.files import migrate_all, open_market
from clash_pipeline.storage.sqlite import Database

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

RECORDINGS = Path(os.environ.get("CLASH_RECORDINGS") or Path(__file__).resolve().parents[2] / "shared" / "recordings")
DAY = 1_753_142_400_000
"""2025-07-22T00:00Z, a day that the recordings cover whole."""
FIELDS = ("symbol", "t", "o", "h", "l", "c", "v", "n", "final")
PRICES = ("o", "h", "l", "c", "v")


def closes(minutes: int, symbols: int) -> "NDArray[np.float64]":
    """Random walks of prices between a cent and a hundred thousand dollars, (minutes, symbols)."""
    import numpy as np

    source = np.random.default_rng(1)
    paths = np.exp(np.cumsum(source.normal(0, 1e-3, (minutes, symbols)), axis=0))
    return np.asarray((paths * 10.0 ** source.uniform(-2, 5, symbols)).round(4))


def frame(symbols: int, minutes: int) -> "pl.DataFrame":
    """Candles as `symbol, t, o, h, l, c, v, n, final`: the recorded perps cut to size, else made up."""
    recorded = recorded_perps()
    return made_up(symbols, minutes) if recorded is None else _fitted(recorded, symbols, minutes)


def recorded_perps() -> "pl.DataFrame | None":
    """All recorded perps, in the form above; None where there are no recordings."""
    import polars as pl

    files = sorted((RECORDINGS / "hyperliquid").glob("candles_1m_perp_*.parquet"))
    if not files:
        return None
    rows = pl.concat([pl.read_parquet(file) for file in files]).sort("coin", "t")
    texts = (pl.col(name).cast(pl.String) for name in PRICES)
    counts = (pl.col("v") > 0).cast(pl.Int64)  # the recordings have no trade counts
    return rows.select(pl.col("coin").alias("symbol"), "t", *texts, n=counts, final=pl.lit(1, pl.Int64))


def made_up(symbols: int, minutes: int) -> "pl.DataFrame":
    """Random walks with a quiet third, from the same day on."""
    import polars as pl

    source, rows = random.Random(1), []
    for number in range(symbols):
        price = 10.0 ** source.uniform(-1, 4)
        for t in range(DAY, DAY + minutes * MINUTE_MS, MINUTE_MS):
            before, volume = price, source.random() * 100 if source.random() > 0.3 else 0.0
            price *= 1 + source.gauss(0, 0.001) * (volume > 0)
            high, low = max(before, price), min(before, price)
            texts = [f"{value:.5g}" for value in (before, high, low, price)]
            rows.append((f"C{number:03}", t, *texts, f"{volume:.2f}", int(volume), 1))
    kinds = (pl.String, pl.Int64, *[pl.String] * 5, pl.Int64, pl.Int64)
    return pl.DataFrame(rows, schema=dict(zip(FIELDS, kinds, strict=True)), orient="row")


def candles_of(rows: "pl.DataFrame") -> list[Candle]:
    """The same as candles."""
    return [Candle._make(row) for row in rows.drop("final").iter_rows()]


def new_market() -> Database:
    """A migrated market file in a folder that goes away with it."""
    home = tempfile.mkdtemp(prefix="clash-bench-")
    settings = load({"CLASH_HOME": home})
    migrate_all(settings)
    market = open_market(settings)
    weakref.finalize(market, shutil.rmtree, home, ignore_errors=True)
    return market


def _fitted(recorded: "pl.DataFrame", symbols: int, minutes: int) -> "pl.DataFrame":
    """More symbols than were recorded are other days of the same perps, so that nothing is repeated."""
    import polars as pl

    names = recorded["symbol"].unique(maintain_order=True).to_list()
    parts = []
    for number, start in enumerate(range(0, symbols, len(names))):
        shifted = recorded.with_columns(pl.col("t") - number * DAY_MS, symbol=pl.col("symbol") + f"-{number}")
        wanted = [f"{name}-{number}" for name in names[: symbols - start]]
        inside = (pl.col("t") >= DAY) & (pl.col("t") < DAY + minutes * MINUTE_MS)
        parts.append(shifted.filter(inside & pl.col("symbol").is_in(wanted)))
    return pl.concat(parts).sort("symbol", "t")
