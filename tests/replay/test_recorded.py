"""The recorded market: every recorded number, under the wire name, with nothing made up but the trade count."""

from pathlib import Path

import numpy as np
import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import text
from clash_pipeline.replay.recorded import CANDLES, RecordedMarket, RecordingsIncomplete
from clash_pipeline.replay.synthetic import DEFAULT_START_MS as NOW
from clash_pipeline.replay.truth import least_trades


@pytest.fixture(scope="module")
def recorded() -> RecordedMarket:
    from tests.conftest import RECORDINGS

    return RecordedMarket(RECORDINGS)


@pytest.mark.recordings
def test_every_recorded_row_is_there_unchanged(recorded: RecordedMarket, recordings: Path) -> None:
    import polars as pl

    names = {"PURR": "PURR/USDC", "HYPE": "@107", "UBTC": "@142", "VAULT": "@125", "XAUT0": "@182"}
    rows = 0
    for file in CANDLES:
        frame = pl.read_parquet(recordings / "hyperliquid" / file)
        for (market, coin), given in frame.group_by("market", "coin"):
            symbol = str(coin) if market == "perp" else names.get(str(coin))
            if symbol is None:
                continue
            minutes = recorded.minutes(symbol, 0, 2**60)
            assert len(minutes) == len(given)
            given = given.sort("t")
            assert minutes.t0 == given["t"][0]
            for name in "ohlcv":
                assert np.array_equal(getattr(minutes, name), given[name].to_numpy())
            assert ((minutes.n > 0) == (minutes.v > 0)).all()
            assert (minutes.n >= least_trades(minutes.o, minutes.h, minutes.l, minutes.c) * (minutes.v > 0)).all()
            rows += len(given)
    assert rows > 1_200_304


@pytest.mark.recordings
def test_the_registry_lists_everything_and_who_traded_then_is_not_delisted(recorded: RecordedMarket) -> None:
    universe = {entry["name"]: entry for entry in recorded.meta()["universe"]}
    assert len(universe) == 228
    trading = [asset for asset in recorded.assets if asset.has_candles]
    assert (len(trading), sum(asset.kind == "spot" for asset in trading)) == (193, 20)
    assert "isDelisted" not in universe["MKR"]
    assert universe["MATIC"]["isDelisted"]
    market = LiveMarket(recorded)
    assert market.price("MATIC", NOW) is None
    assert market.price("ASTER", NOW) is None, "listed since, without candles then"


@pytest.mark.recordings
def test_recorded_funding_is_used_where_there_is_some(recorded: RecordedMarket, recordings: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(recordings / "hyperliquid" / "funding_history_2023-05_2025-07.parquet")
    given = frame.filter((pl.col("coin") == "BTC") & pl.col("time").is_between(NOW, NOW + 6 * HOUR_MS - 1))
    assert recorded.funding("BTC", NOW, NOW + 6 * HOUR_MS) == list(
        given.sort("time").select("time", "fundingRate").rows()
    )
    assert len(recorded.funding("AAVE", NOW, NOW + 6 * HOUR_MS)) == 6
    assert recorded.funding("@107", NOW, NOW + 6 * HOUR_MS) == []


@pytest.mark.recordings
def test_before_and_after_the_recorded_days_there_is_nothing(recorded: RecordedMarket) -> None:
    minutes = recorded.minutes("BTC", 0, 2**60)
    market = LiveMarket(recorded)
    assert market.price("BTC", minutes.t0 - 1) is None
    assert market.price("BTC", minutes.end_t + 2 * MINUTE_MS) is None
    assert market.price("BTC", minutes.end_t - 1_000) is not None


@pytest.mark.recordings
def test_fewer_symbols_are_the_busiest(recordings: Path) -> None:
    small = RecordedMarket(recordings, symbols=5)
    perps = [asset.symbol for asset in small.assets if asset.kind == "perp"]
    assert {"BTC", "ETH", "SOL"} < set(perps)
    assert len(perps) == 5
    assert text(small.minutes("BTC", NOW, NOW + MINUTE_MS).o[0]) == "120098.0"


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingsIncomplete, match="is missing"):
        RecordedMarket(tmp_path)
