"""candleSnapshot: every quirk the sources name."""

import json
from typing import Any

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.replay.history import snapshot
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import text
from clash_pipeline.replay.synthetic import DEFAULT_START_MS as NOW
from clash_pipeline.replay.synthetic import SyntheticMarket


@pytest.fixture
def market(truth: SyntheticMarket) -> LiveMarket:
    return LiveMarket(truth)


def _rows(market: LiveMarket, symbol: str, interval: str, start: int, end: int, now: int) -> list[dict[str, Any]]:
    return [json.loads(row) for row in snapshot(market, market.by_symbol[symbol], interval, start, end, now)]


def test_the_first_row_contains_the_start_and_rows_ascend(market: LiveMarket) -> None:
    rows = _rows(market, "BTC", "1m", NOW - HOUR_MS + 17_000, NOW, NOW)
    assert rows[0]["t"] == NOW - HOUR_MS
    assert [row["t"] for row in rows] == list(range(NOW - HOUR_MS, NOW, MINUTE_MS))


def test_at_most_the_latest_5000_candles_exist(market: LiveMarket) -> None:
    now = NOW + 2 * MINUTE_MS - 1
    rows = _rows(market, "BTC", "1m", 0, now, now)
    assert rows[0]["t"] == NOW + MINUTE_MS - 4_999 * MINUTE_MS
    assert len(rows) == 5_000
    earlier = _rows(market, "BTC", "1m", NOW - 6_000 * MINUTE_MS, NOW - 4_990 * MINUTE_MS, now)
    assert [row["t"] for row in earlier] == [NOW + (index - 4_998) * MINUTE_MS for index in range(9)]
    assert _rows(market, "BTC", "1m", 0, NOW - 5_500 * MINUTE_MS, now) == []


def test_the_last_row_is_the_forming_minute_as_far_as_it_was_spoken(market: LiveMarket) -> None:
    states = market.frames(market.by_symbol["BTC"], NOW)
    rows = _rows(market, "BTC", "1m", NOW - MINUTE_MS, NOW + HOUR_MS, states[0].at)
    assert rows[-1]["t"] == NOW
    assert (rows[-1]["v"], rows[-1]["n"], rows[-1]["c"]) == (states[0].v, states[0].n, states[0].c)
    assert rows[-1]["n"] < states[-1].n
    before_its_first_trade = _rows(market, "BTC", "1m", NOW - MINUTE_MS, NOW + HOUR_MS, states[0].at - 1)
    assert before_its_first_trade[-1]["t"] == NOW - MINUTE_MS


def test_a_finished_row_is_the_truth_in_every_field(market: LiveMarket, truth: SyntheticMarket) -> None:
    rows = _rows(market, "BTC", "1m", NOW - HOUR_MS, NOW - 1, NOW + HOUR_MS)
    for row, minute in zip(rows, truth.minutes("BTC", NOW - HOUR_MS, NOW).rows(), strict=True):
        assert [row[name] for name in "ohlcv"] == [text(value) for value in minute[1:6]]
        assert (row["t"], row["T"], row["s"], row["i"], row["n"]) == (
            minute.t,
            minute.t + 59_999,
            "BTC",
            "1m",
            minute.n,
        )


def test_a_quiet_minute_is_missing_at_first_and_flat_later(market: LiveMarket, truth: SyntheticMarket) -> None:
    minutes = truth.minutes("FTT", NOW, NOW + HOUR_MS).rows()
    quiet = next(minute for minute in minutes if not minute.n)
    end = quiet.t + MINUTE_MS
    soon = _rows(market, "FTT", "1m", quiet.t, end - 1, end + 59_000)
    later = _rows(market, "FTT", "1m", quiet.t, end - 1, end + 60_000)
    assert soon == []
    assert len(later) == 1
    assert len({later[0][name] for name in "ohlc"}) == 1
    assert (later[0]["v"], later[0]["n"]) == ("0.0", 0)


def test_hours_are_made_of_the_minutes_that_traded(market: LiveMarket, truth: SyntheticMarket) -> None:
    for symbol in ("BTC", "FTT"):
        rows = _rows(market, symbol, "1h", NOW - 5 * HOUR_MS, NOW - 1, NOW)
        assert len(rows) == 5
        for row in rows:
            traded = [minute for minute in truth.minutes(symbol, row["t"], row["t"] + HOUR_MS).rows() if minute.n]
            assert row["o"] == text(traded[0].o)
            assert row["h"] == text(max(minute.h for minute in traded))
            assert row["l"] == text(min(minute.l for minute in traded))
            assert row["c"] == text(traded[-1].c)
            assert row["n"] == sum(minute.n for minute in traded)
            sz = market.by_symbol[symbol].sz_decimals
            assert row["v"] == text(sum(round(minute.v * 10**sz) for minute in traded) / 10**sz)
            assert row["T"] == row["t"] + HOUR_MS - 1


def test_the_running_hour_grows_with_the_running_minute(market: LiveMarket) -> None:
    now = NOW + 10 * MINUTE_MS + 40_000
    running = _rows(market, "BTC", "1h", NOW, NOW + HOUR_MS, now)[-1]
    minutes = _rows(market, "BTC", "1m", NOW, NOW + HOUR_MS, now)
    assert running["t"] == NOW
    assert running["c"] == minutes[-1]["c"]
    assert running["n"] == sum(row["n"] for row in minutes)


@pytest.mark.parametrize("interval", ["3m", "5m", "15m", "30m", "2h", "4h", "8h", "12h", "1d", "3d", "1w", "1M"])
def test_every_interval_answers_in_order(market: LiveMarket, interval: str) -> None:
    rows = _rows(market, "BTC", interval, NOW - 9 * DAY_MS, NOW, NOW + 1_000)
    assert rows
    assert [row["t"] for row in rows] == sorted({row["t"] for row in rows})
    assert all(row["i"] == interval and row["T"] > row["t"] for row in rows)


def test_a_delisted_coin_and_an_upside_down_window_have_no_rows(market: LiveMarket) -> None:
    assert _rows(market, "MATIC", "1m", NOW - HOUR_MS, NOW, NOW) == []
    assert _rows(market, "BTC", "1m", NOW, NOW - HOUR_MS, NOW) == []
    assert _rows(market, "BTC", "1m", NOW + HOUR_MS, NOW + 2 * HOUR_MS, NOW) == []
