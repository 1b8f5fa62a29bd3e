"""The rules engine on recorded candles: it opens and closes on real prices, and the books stay right."""

from pathlib import Path

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, parse_time
from clash_pipeline.decisions import waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.market import candles, indicators
from clash_pipeline.market.candles import Candle
from clash_pipeline.prop import views
from clash_pipeline.prop.marks import mark
from tests.fakes import market_rows
from tests.fakes.world import World

SYMBOLS = ("BTC", "ETH", "SOL")
FIRST = parse_time("2025-07-23T12:00Z")
HOURS = 6


def load(world: World, recordings: Path, from_t: int, to_t: int) -> None:
    """The recorded minutes of [from_t, to_t), each known at its end, with their indicators."""
    import polars as pl

    rows = (
        pl.read_parquet(recordings / "hyperliquid" / "candles_1m_perp_top40_2025-07.parquet")
        .filter(pl.col("coin").is_in(SYMBOLS))
        .with_columns(pl.col("t").dt.epoch("ms"))
        .filter((pl.col("t") >= from_t) & (pl.col("t") < to_t))
        .sort("t", "coin")
    )
    with world.market.write() as connection:
        for coin, t, *prices in rows.select("coin", "t", "o", "h", "l", "c", "v").iter_rows():
            texts = (f"{value:.8f}".rstrip("0").rstrip(".") for value in prices)
            row = Candle(coin, t, *texts, 1)
            candles.store(connection, [row], origin="rest", final=True, known_at=t + MINUTE_MS)
    indicators.backfill(world.market, from_t=FIRST - HOUR_MS, to_t=to_t, known_at=FIRST - 1, symbols=SYMBOLS)


@pytest.mark.recordings
@pytest.mark.slow
def test_rules_trade_recorded_prices(world: World, recordings: Path) -> None:
    """Six recorded hours of three perps: positions open and close again, limits hold, the audit is clean."""
    market_rows.list_asset(world.market, "SOL", sz_decimals=2, max_leverage=20)
    load(world, recordings, FIRST - 14 * HOUR_MS, FIRST + HOURS * HOUR_MS)
    world.clock.set(FIRST)
    clone_id, account_id = world.clone(*SYMBOLS)
    ended = []
    for _ in range(HOURS * 12):
        world.clock.advance(5 * MINUTE_MS)
        ended += waves.run_once(world, clone_id=clone_id).ended
        mark(world.clash, world.market, account_id, world.clock.now_ms())
    assert len(ended) == HOURS * 12 * len(SYMBOLS)
    assert {run.state for run in ended} == {"completed"}
    effects = [run.effective for run in ended]
    assert effects.count("open_long") + effects.count("open_short") >= 5
    assert effects.count("close") >= 4
    with world.clash.read() as connection:
        view = views.account_view(connection, account_id, tail=1_000)
    assert {fill["price_source"] for fill in view["fills"]} == {"candle"}
    assert max(fill["price_age_ms"] for fill in view["fills"]) <= 75_000
    assert len(view["equity_series"]) == HOURS * 12
    assert audit(world.clash).is_clean
