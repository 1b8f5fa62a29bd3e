"""Retention is run as often as you like; what cannot be done now is told and done later."""

from collections.abc import Iterator

import pytest

from clash_pipeline.archive import partitions, retention
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.stores import MemoryStore, Put, StoreRefused, StoreUnavailable
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.market_days import DAY, all_rows, fill_any, fill_hours, fill_minutes

CANDLES = "hyperliquid_candles_1m"
QUOTES = "polymarket_quotes"


class FlakyStore(MemoryStore):
    """A store whose answers can be switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.asked = 0

    def _maybe(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error

    def put(self, key: str, body: bytes, *, if_absent: bool = True) -> Put:
        self._maybe()
        return super().put(key, body, if_absent=if_absent)

    def get(self, key: str) -> bytes:
        self._maybe()
        return super().get(key)

    def list(self, prefix: str) -> Iterator[str]:
        self._maybe()
        return super().list(prefix)


@pytest.fixture
def store() -> FlakyStore:
    """A store that works until told otherwise."""
    return FlakyStore()


def outcomes(report: retention.RetentionReport) -> list[tuple[str, int, str]]:
    return [(day.table, (day.day - DAY) // DAY_MS, day.outcome.value) for day in report.days]


def test_each_table_follows_its_own_window(market: Database, store: FlakyStore, settings: Settings) -> None:
    for day in range(3):
        fill_minutes(market, DAY + day * DAY_MS, ("BTC",))
        fill_hours(market, DAY + day * DAY_MS, ("BTC",))
        fill_any(market, QUOTES, DAY + day * DAY_MS, rows=5)
    report = retention.run(market, store, settings, DAY + 3 * DAY_MS + HOUR_MS)
    minutes = [(CANDLES, 0, "pruned"), (CANDLES, 1, "pruned"), (CANDLES, 2, "archived")]
    others = [(name, day, "archived") for name in ("hyperliquid_candles_1h", QUOTES) for day in range(3)]
    assert outcomes(report) == minutes + others
    assert report.pruned_rows == 2 * 1_440
    assert len(report.archived) == 9
    assert {row[1] // DAY_MS for row in all_rows(market, CANDLES)} == {(DAY + 2 * DAY_MS) // DAY_MS}


def test_running_it_again_changes_nothing_and_asks_the_store_nothing(
    market: Database, store: FlakyStore, settings: Settings
) -> None:
    fill_minutes(market, symbols=("BTC",))
    retention.run(market, store, settings, DAY + DAY_MS + HOUR_MS)
    asked = store.asked
    again = retention.run(market, store, settings, DAY + DAY_MS + 2 * HOUR_MS)
    assert outcomes(again) == [(CANDLES, 0, "kept")]
    assert store.asked == asked
    assert again.archived == []


def test_today_is_left_alone(market: Database, store: FlakyStore, settings: Settings) -> None:
    fill_minutes(market, symbols=("BTC",))
    assert retention.run(market, store, settings, DAY + DAY_MS - 1).days == []
    waiting = retention.run(market, store, settings, DAY + DAY_MS + MINUTE_MS)
    assert [(day.outcome, day.reason) for day in waiting.days] == [
        ("waiting", f"{CANDLES} of 2025-07-21 is not over yet (running_day)")
    ]


def test_a_store_that_is_down_only_delays(market: Database, store: FlakyStore, settings: Settings) -> None:
    for name in (QUOTES, "hyperliquid_funding_rates", "defillama_capital_flows"):
        fill_any(market, name, rows=5)
    before = {name: all_rows(market, name) for name in TABLES}
    store.error = StoreUnavailable("put: 503 SlowDown")
    down = retention.run(market, store, settings, DAY + 9 * DAY_MS)
    assert down.counts == {"delayed": 3}
    assert {day.reason for day in down.problems} == {"put: 503 SlowDown"}
    assert store.asked == 1  # the others did not wait for the same silence
    assert {name: all_rows(market, name) for name in TABLES} == before
    store.error = None
    assert retention.run(market, store, settings, DAY + 9 * DAY_MS).counts == {"pruned": 3}


def test_a_store_that_refuses_is_a_failure_for_a_person(
    market: Database, store: FlakyStore, settings: Settings
) -> None:
    fill_any(market, QUOTES, rows=5)
    store.error = StoreRefused("put: 403 AccessDenied")
    report = retention.run(market, store, settings, DAY + 9 * DAY_MS)
    assert [(day.outcome, day.reason) for day in report.problems] == [("failed", "put: 403 AccessDenied")]
    assert len(all_rows(market, QUOTES)) == 5


def test_a_day_with_open_gaps_waits_and_others_do_not(market: Database, store: FlakyStore, settings: Settings) -> None:
    fill_minutes(market, DAY, ("BTC",), minutes=range(0, 1_440, 2))
    fill_minutes(market, DAY + DAY_MS, ("BTC",))
    now = DAY + 3 * DAY_MS
    assert outcomes(retention.run(market, store, settings, now)) == [(CANDLES, 0, "waiting"), (CANDLES, 1, "pruned")]


def test_a_day_that_can_never_be_repaired_does_not_stay_for_ever(
    market: Database, store: FlakyStore, settings: Settings
) -> None:
    fill_minutes(market, DAY, ("BTC",), minutes=range(700))
    fill_minutes(market, DAY, ("BTC",), minutes=range(705, 1_440))
    early = DAY + DAY_MS + 5_000 * MINUTE_MS - 1
    assert retention.run(market, store, settings, early).counts == {"waiting": 1}
    late = retention.run(market, store, settings, early + 1)
    assert (late.counts, late.written_off) == ({"pruned": 1}, 1)


def test_rows_that_came_after_the_archive_are_archived_with_it_before_anything_is_pruned(
    market: Database, store: FlakyStore, settings: Settings
) -> None:
    fill_any(market, QUOTES, rows=5, seed=1)
    retention.run(market, store, settings, DAY + DAY_MS + HOUR_MS)
    fill_any(market, QUOTES, rows=9, seed=2)
    rows = all_rows(market, QUOTES)
    report = retention.run(market, store, settings, DAY + 9 * DAY_MS)
    assert [(day.outcome, day.is_new) for day in report.days] == [("pruned", True)]
    assert all_rows(market, QUOTES) == []
    partitions.restore_day(market, store, QUOTES, DAY, DAY + 9 * DAY_MS)
    assert all_rows(market, QUOTES) == rows


def test_a_restored_day_is_kept_until_its_pin_ends(market: Database, store: FlakyStore, settings: Settings) -> None:
    fill_any(market, QUOTES, rows=5)
    now = DAY + 9 * DAY_MS
    retention.run(market, store, settings, now)
    partitions.restore_day(market, store, QUOTES, DAY, now, pin_days=7)
    kept = retention.run(market, store, settings, now + 7 * DAY_MS - 1)
    assert [(day.outcome, day.reason) for day in kept.days] == [("kept", "pinned")]
    assert retention.run(market, store, settings, now + 7 * DAY_MS).counts == {"pruned": 1}


def test_progress_is_told_day_by_day(market: Database, store: FlakyStore, settings: Settings) -> None:
    fill_any(market, QUOTES, rows=5)
    told: list[str] = []
    retention.run(market, store, settings, DAY + 9 * DAY_MS, progress=lambda day: told.append(day.table))
    assert told == [QUOTES]
