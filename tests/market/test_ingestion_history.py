"""Ingestion over time: cycles fall into even steps, and a step without one has no entry."""

from typing import Any

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market import ingestion
from clash_pipeline.market.ingestion_history import history
from clash_pipeline.storage.sqlite import Database

T = 1_753_099_200_000  # a full hour
CANDLES, MIDS = ("hyperliquid", "candles_1m"), ("hyperliquid", "mids")


def _cycle(market: Database, channel: tuple[str, str], at: int, *, error: str | None = None, **values: Any) -> None:
    with market.write() as connection:
        made = ingestion.Cycle(**{"rows": 1, **values})
        ingestion.record(connection, *channel, made, started_at=at, finished_at=at + 100, error=error)


def test_cycles_are_summed_up_by_channel_and_step(market: Database) -> None:
    _cycle(market, CANDLES, T, rows=10, covered=9, expected=10, lags_ms=[100, 100, 900])
    _cycle(market, CANDLES, T + 59 * MINUTE_MS, rows=5, covered=10, expected=10, lags_ms=[200, 200, 300])
    _cycle(market, CANDLES, T + 2 * HOUR_MS, rows=0, error="gone")
    _cycle(market, MIDS, T, rows=7)
    with market.read() as connection:
        found = history(connection, [CANDLES, MIDS], from_t=T, to_t=T + 3 * HOUR_MS, step_ms=HOUR_MS)
    first, later, mids = found
    assert (first.name, first.t, first.cycles, first.rows) == ("hyperliquid.candles_1m", T, 2, 15)
    assert (first.covered, first.expected, first.coverage) == (19, 20, 0.95)
    assert (first.lag_p50_ms, first.lag_p99_ms) == (150, 900)
    assert (later.t, later.cycles, later.failed, later.coverage) == (T + 2 * HOUR_MS, 1, 1, None)
    assert (mids.name, mids.rows, mids.lag_p50_ms) == ("hyperliquid.mids", 7, None)


def test_only_what_was_asked_for_is_there(market: Database) -> None:
    for at in (T - 1, T, T + HOUR_MS):
        _cycle(market, CANDLES, at)
    _cycle(market, MIDS, T)
    with market.read() as connection:
        found = history(connection, [CANDLES], from_t=T, to_t=T + HOUR_MS, step_ms=MINUTE_MS)
        assert [(step.name, step.t) for step in found] == [("hyperliquid.candles_1m", T)]
        with pytest.raises(ValueError, match="at least 1 ms"):
            history(connection, [CANDLES], from_t=T, to_t=T, step_ms=0)
