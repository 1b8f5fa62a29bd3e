"""Checks of the market memory: each passes on a sound hour and fails on one wrong row, as gravely as it deserves."""

import pytest

from clash_pipeline.archive import partitions
from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.market import checks, indicators, ingestion, rollup
from clash_pipeline.market.gaps import enqueue
from clash_pipeline.market.spans import Span
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.market_days import DAY, fill_minutes
from tests.fakes.market_rows import list_asset

HOUR = Span(DAY, DAY + HOUR_MS)
SYMBOLS = ("BTC", "kPEPE")


@pytest.fixture
def hour(market: Database) -> Database:
    """A whole hour of two listed assets."""
    for symbol in SYMBOLS:
        list_asset(market, symbol)
    fill_minutes(market, DAY, SYMBOLS, minutes=range(60))
    return market


def write(market: Database, statement: str, *values: object) -> None:
    with market.write() as connection:
        connection.execute("DROP TRIGGER IF EXISTS hyperliquid_candles_final_never_changes")
        connection.execute(statement, values)


def gaps(market: Database) -> checks.Verdict:
    with market.read() as connection:
        return checks.gaps(connection, HOUR)


def test_a_gapless_hour_has_no_gaps(hour: Database) -> None:
    assert gaps(hour).passed


def test_a_hole_that_nobody_listed_is_an_error(hour: Database) -> None:
    write(
        hour, "DELETE FROM hyperliquid_candles WHERE symbol = 'BTC' AND t BETWEEN ? AND ?", DAY + 600_000, DAY + 720_000
    )
    verdict = gaps(hour)
    assert (verdict.passed, verdict.severity) == (False, "error")
    assert verdict.figures["unlisted_minutes"] == 3
    assert verdict.examples == (("BTC", "2025-07-21T00:10:00Z", 3),)


def test_a_hole_in_the_queue_is_a_warning_and_a_repaired_one_is_none(hour: Database) -> None:
    at = DAY + 10 * MINUTE_MS
    write(hour, "DELETE FROM hyperliquid_candles WHERE symbol = 'BTC' AND t = ?", at)
    with hour.write() as connection:
        enqueue(connection, "BTC", at, at + MINUTE_MS, "stall", now_ms=DAY + HOUR_MS)
    verdict = gaps(hour)
    assert (verdict.passed, verdict.severity) == (False, "warn")
    assert verdict.figures == {"unlisted_minutes": 0, "open_minutes": 1, "lost_minutes": 0}
    write(hour, "UPDATE candle_gaps SET state = 'lost'")
    assert gaps(hour).figures["lost_minutes"] == 1
    write(hour, "UPDATE candle_gaps SET state = 'repaired'")
    assert gaps(hour).severity == "error", "called repaired, and still missing"


@pytest.mark.parametrize(
    ("age_sec", "passed", "severity"),
    [(0, True, "warn"), (120, True, "warn"), (121, False, "warn"), (601, False, "error")],
)
def test_staleness_is_counted_from_the_end_of_the_newest_minute(
    hour: Database, age_sec: int, passed: bool, severity: str
) -> None:
    with hour.read() as connection:
        verdict = checks.staleness(connection, HOUR.to_t + age_sec * 1000, 120_000)
    assert (verdict.passed, verdict.severity) == (passed, severity)


def test_no_candles_at_all_are_stale(market: Database) -> None:
    with market.read() as connection:
        assert not checks.staleness(connection, DAY, 120_000).passed


@pytest.mark.parametrize(
    "change",
    ["h = '1.0'", "l = '999999.0'", "o = '0'", "c = '0.0000001'", "v = '-1'", "n = -1", "origin = 'flat', n = 3"],
)
def test_an_impossible_candle_is_an_error(hour: Database, change: str) -> None:
    with hour.read() as connection:
        assert checks.ohlc_sanity(connection, HOUR).passed
    write(hour, f"UPDATE hyperliquid_candles SET {change} WHERE symbol = 'BTC' AND t = {DAY}")
    with hour.read() as connection:
        verdict = checks.ohlc_sanity(connection, HOUR)
    assert (verdict.passed, verdict.severity, verdict.figures) == (False, "error", {"impossible": 1})


def test_a_second_candle_inside_a_minute_is_a_duplicate(hour: Database) -> None:
    with hour.read() as connection:
        assert checks.duplicate_keys(connection, HOUR).passed
    write(
        hour,
        "INSERT INTO hyperliquid_candles SELECT symbol, interval, t + 1, o, h, l, c, v, n, origin, final, known_at "
        "FROM hyperliquid_candles WHERE symbol = 'BTC' AND t = ?",
        DAY,
    )
    with hour.read() as connection:
        verdict = checks.duplicate_keys(connection, HOUR)
    assert (verdict.passed, verdict.figures) == (False, {"doubled": 1})


@pytest.mark.parametrize(
    ("expected", "passed", "severity"),
    [(SYMBOLS, True, "warn"), ((*SYMBOLS, "FTT"), False, "error"), ((), True, "warn")],
)
def test_coverage_is_of_the_assets_that_should_be_there(
    hour: Database, expected: tuple[str, ...], passed: bool, severity: str
) -> None:
    with hour.read() as connection:
        verdict = checks.coverage(connection, HOUR, expected)
    assert (verdict.passed, verdict.severity) == (passed, severity)
    assert [row[0] for row in verdict.examples] == sorted(set(expected) - set(SYMBOLS))


def test_final_hours_equal_their_minutes_or_are_named(hour: Database) -> None:
    with hour.write() as connection:
        rollup.refresh(connection, hour_t=DAY, known_at=HOUR.to_t)
    with hour.read() as connection:
        verdict = checks.rollup_equals_source(connection, Span(DAY, DAY + 2 * HOUR_MS))
    assert (verdict.passed, verdict.figures) == (True, {"judged": 2, "differing": 0})
    write(hour, "UPDATE hyperliquid_candles SET n = n + 1 WHERE symbol = 'BTC' AND interval = '1h'")
    with hour.read() as connection:
        verdict = checks.rollup_equals_source(connection, Span(DAY, DAY + 2 * HOUR_MS))
    assert not verdict.passed
    assert [(row[0], row[2]) for row in verdict.examples] == [("BTC", "n")]


def test_hours_without_their_minutes_are_not_judged(hour: Database) -> None:
    with hour.write() as connection:
        rollup.refresh(connection, hour_t=DAY, known_at=HOUR.to_t)
    write(hour, "DELETE FROM hyperliquid_candles WHERE interval = '1m' AND t = ?", DAY)
    with hour.read() as connection:
        assert checks.rollup_equals_source(connection, HOUR).figures["judged"] == 0


def test_indicators_made_again_are_compared_bit_by_bit(hour: Database) -> None:
    indicators.backfill(hour, from_t=DAY, to_t=HOUR.to_t, known_at=HOUR.to_t)
    before = checks.indicator_rows(hour, [HOUR])
    assert checks.equals_what_was_written(before, before).passed
    assert checks.equals_what_was_written([], before).passed, "new rows are nothing to compare"
    assert not checks.equals_what_was_written(before, before[1:]).passed


def test_an_archived_day_equals_its_source_until_one_of_them_changes(market: Database) -> None:
    store, now_ms = MemoryStore(), DAY + 2 * DAY_MS
    list_asset(market, "BTC")
    fill_minutes(market, DAY, ["BTC"])
    partition = partitions.archive_day(market, store, "hyperliquid_candles_1m", DAY, now_ms)

    def verdict() -> checks.Verdict:
        return checks.archive_equals_source(market, store, "hyperliquid_candles_1m", [DAY], now_ms)

    assert verdict().passed
    write(market, "UPDATE hyperliquid_candles SET c = h WHERE t = ? AND c <> h", DAY + 5 * MINUTE_MS)
    write(market, "UPDATE hyperliquid_candles SET n = n + 1 WHERE t = ?", DAY + 5 * MINUTE_MS)
    assert "other rows in SQLite" in str(verdict().examples)
    store.delete(partition.object_key)
    assert not verdict().passed


def test_a_channel_is_as_fresh_as_the_health_page_says(market: Database, settings: Settings) -> None:
    def verdict(now_ms: int) -> checks.Verdict:
        with market.read() as connection:
            return checks.channel_is_fresh(connection, settings, "hyperliquid", "funding", now_ms)

    assert verdict(DAY).severity == "warn"
    with market.write() as connection:
        made = ingestion.Cycle(rows=1)
        ingestion.record(connection, "hyperliquid", "funding", made, started_at=DAY, finished_at=DAY)
    assert verdict(DAY + MINUTE_MS).passed
    assert not verdict(DAY + HOUR_MS).passed
    with market.write() as connection:
        ingestion.record(
            connection, "hyperliquid", "funding", made, started_at=DAY + 1, finished_at=DAY + 1, error="no answer"
        )
    failed = verdict(DAY + MINUTE_MS)
    assert (failed.passed, failed.severity) == (False, "error")
