"""Running frames: they grow, and end in exactly the finished candle."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.replay.frames import LATE_MS, candle_frame, running
from clash_pipeline.replay.numerals import text
from clash_pipeline.replay.recorded import RecordedMarket
from clash_pipeline.replay.synthetic import DEFAULT_START_MS, SyntheticMarket
from clash_pipeline.replay.truth import Asset, MarketTruth, Minute

T = DEFAULT_START_MS


def _check(asset: Asset, minute: Minute, seed: int = 7, most: int = 4) -> int:
    states = running(seed, asset, minute, most)
    if not minute.n:
        assert states == ()
        return 0
    last = states[-1]
    wanted = (minute.t, minute.n, *map(text, (minute.o, minute.h, minute.l, minute.c, minute.v)))
    assert last[1:] == wanted
    for before, after in pairwise(states):
        assert before.n < after.n
        assert float(before.v) < float(after.v)
        assert before.at <= after.at
        assert float(before.h) <= float(after.h)
        assert float(before.l) >= float(after.l)
    for state in states:
        assert (
            float(state.l)
            <= min(float(state.o), float(state.c))
            <= max(float(state.o), float(state.c))
            <= float(state.h)
        )
        assert minute.t < state.at <= minute.t + MINUTE_MS + LATE_MS
    return len(states)


@given(
    o=st.integers(1, 400), c=st.integers(1, 400), up=st.integers(0, 9), down=st.integers(0, 9),
    lots=st.integers(1, 10**9), extra=st.integers(0, 40), sz=st.integers(0, 5), most=st.integers(1, 9),
)  # fmt: skip
def test_frames_grow_into_the_candle(
    o: int, c: int, up: int, down: int, lots: int, extra: int, sz: int, most: int
) -> None:
    h, low = max(o, c) + up, max(min(o, c) - down, 1)
    least = 1 + (h > max(o, c)) + (low < min(o, c))
    least += least > 1 or o != c
    minute = Minute(T, o / 10, h / 10, low / 10, c / 10, max(lots, least) / 10**sz, least + extra)
    assert 1 <= _check(Asset("BTC", "perp", sz, True), minute, most=most) <= most


def test_a_minute_is_spoken_in_several_frames_that_any_run_repeats() -> None:
    market = SyntheticMarket(7)
    asset = market.assets[0]
    minutes = market.minutes("BTC", T, T + 6 * HOUR_MS).rows()
    counts = [_check(asset, minute) for minute in minutes]
    assert 2 <= sum(counts) / len(counts) <= 4
    assert [running(7, asset, minute) for minute in minutes] == [running(7, asset, minute) for minute in minutes]
    late = [minute for minute in minutes if running(7, asset, minute)[-1].at > minute.t + MINUTE_MS]
    assert 5 < len(late) < 40, "about one in twenty comes after its minute"


def test_a_frame_has_the_recorded_shape() -> None:
    state = running(7, Asset("BTC", "perp", 5, True), Minute(T, 5.0, 7.0, 4.0, 6.0, 1.5, 9))[-1]
    frame = json.loads(candle_frame("BTC", state))
    assert frame == {
        "channel": "candle",
        "data": {"t": T, "T": T + 59_999, "s": "BTC", "i": "1m", "o": "5.0", "c": "6.0", "h": "7.0", "l": "4.0",
                 "v": "1.5", "n": 9},
    }  # fmt: skip


@pytest.mark.recordings
def test_a_frame_has_the_keys_and_types_of_a_recorded_one(recordings: Path) -> None:
    line = (recordings / "hyperliquid" / "ws_candle_BTC_1m.jsonl").read_text().splitlines()[0]
    real = json.loads(line)
    state = running(7, Asset("BTC", "perp", 5, True), Minute(T, 5.0, 7.0, 4.0, 6.0, 1.5, 9))[-1]
    ours = json.loads(candle_frame("BTC", state))
    assert list(ours["data"]) == list(real["data"])
    assert {k: type(v) for k, v in ours["data"].items()} == {k: type(v) for k, v in real["data"].items()}


@pytest.mark.recordings
@pytest.mark.parametrize("symbol", ["BTC", "FTT", "kPEPE", "@107", "PURR/USDC"])
def test_every_recorded_minute_ends_in_its_candle(recorded_market: MarketTruth, symbol: str) -> None:
    asset = next(asset for asset in recorded_market.assets if asset.symbol == symbol)
    minutes = recorded_market.minutes(symbol, 0, 2**60).rows()
    assert len(minutes) > 6_800
    for minute in minutes:
        _check(asset, minute)


@pytest.fixture(scope="module")
def recorded_market() -> MarketTruth:
    from tests.conftest import RECORDINGS

    return RecordedMarket(RECORDINGS)
