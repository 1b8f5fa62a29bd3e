"""A day may be archived when each of its minutes is final or listed as lost; the table of cases."""

import pytest

from clash_pipeline.archive import readiness
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.readiness import Hole, PartitionRefused, holes, lost_after_ms, refuse_unfinished, write_off
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.market_days import DAY, fill_hours, fill_minutes

CANDLES = TABLES["hyperliquid_candles_1m"]
HOURS = TABLES["hyperliquid_candles_1h"]
INDICATORS = TABLES["hyperliquid_technical_indicators"]
OLD = DAY + 10 * DAY_MS


def add_gap(market: Database, state: str, from_minute: int, to_minute: int, symbol: str = "BTC") -> None:
    with market.write() as connection:
        connection.execute(
            "INSERT INTO candle_gaps (symbol, from_t, to_t, reason, state, opened_at) VALUES (?, ?, ?, 'stall', ?, ?)",
            (symbol, DAY + from_minute * MINUTE_MS, DAY + to_minute * MINUTE_MS, state, DAY),
        )


def list_asset(market: Database, symbol: str, first_seen_at: int, *, is_delisted: int = 0) -> None:
    with market.write() as connection:
        connection.execute(
            """
            INSERT INTO hyperliquid_assets (symbol, display_name, kind, venue_index, sz_decimals, max_leverage,
              margin_tiers, is_only_isolated, is_delisted, base_token, quote_token, channels, category, subcategory,
              search_terms, first_seen_at, known_at)
            VALUES (:symbol, '', 'perp', 1, 2, 5, '[]', 0, :is_delisted, '', '', '[]', '', '', '[]', :seen, :seen)
            """,
            {"symbol": symbol, "is_delisted": is_delisted, "seen": first_seen_at},
        )


def verdict(market: Database, table=CANDLES) -> str | None:  # type: ignore[no-untyped-def]
    with market.read() as connection:
        try:
            refuse_unfinished(connection, table, DAY)
        except PartitionRefused as refused:
            return refused.reason
    return None


def found(market: Database) -> list[tuple[str, int, int]]:
    with market.read() as connection:
        return [
            (hole.symbol, (hole.from_t - DAY) // MINUTE_MS, (hole.to_t - DAY) // MINUTE_MS)
            for hole in holes(connection, CANDLES, DAY)
        ]


def test_a_gapless_final_day_is_ready(market: Database) -> None:
    list_asset(market, "BTC", DAY - DAY_MS)
    fill_minutes(market, symbols=("BTC",))
    assert verdict(market) is None
    assert found(market) == []


def test_an_open_gap_of_any_symbol_holds_the_day_up(market: Database) -> None:
    fill_minutes(market, symbols=("BTC",))
    add_gap(market, "open", 1_400, 1_500, symbol="ETH")
    assert verdict(market) == "open_gaps"


@pytest.mark.parametrize(("from_minute", "to_minute"), [(-60, 0), (1_440, 1_500)])
def test_an_open_gap_that_only_touches_the_day_does_not(market: Database, from_minute: int, to_minute: int) -> None:
    fill_minutes(market, symbols=("BTC",))
    add_gap(market, "open", from_minute, to_minute)
    assert verdict(market) is None


def test_missing_minutes_hold_it_up_until_they_are_lost(market: Database) -> None:
    fill_minutes(market, symbols=("BTC",), minutes=range(600))
    fill_minutes(market, symbols=("BTC",), minutes=range(610, 1_440))
    assert verdict(market) == "not_final"
    assert found(market) == [("BTC", 600, 610)]
    add_gap(market, "lost", 600, 605)
    assert found(market) == [("BTC", 605, 610)]
    add_gap(market, "lost", 605, 610)
    assert verdict(market) is None


def test_minutes_that_are_not_final_hold_it_up_until_they_are_lost(market: Database) -> None:
    fill_minutes(market, symbols=("BTC",), minutes=range(1_430))
    fill_minutes(market, symbols=("BTC",), minutes=range(1_430, 1_440), final=0)
    assert found(market) == [("BTC", 1_430, 1_440)]
    add_gap(market, "lost", 1_430, 1_440)
    assert verdict(market) is None


def test_another_symbols_lost_gap_excuses_nothing(market: Database) -> None:
    fill_minutes(market, symbols=("BTC",), minutes=range(600))
    list_asset(market, "BTC", DAY - 1)
    add_gap(market, "lost", 600, 1_440, symbol="ETH")
    assert found(market) == [("BTC", 600, 1_440)]


@pytest.mark.parametrize(
    ("first_seen_at", "is_delisted", "wanted"),
    [
        (DAY - DAY_MS, 0, [("BTC", 0, 100), ("BTC", 1_000, 1_440)]),  # listed throughout: head and tail are missing
        (DAY + 100 * MINUTE_MS, 0, [("BTC", 1_000, 1_440)]),  # listed at minute 100: there is no head
        (DAY - DAY_MS, 1, [("BTC", 0, 100)]),  # delisted since: there is no tail
    ],
)
def test_a_listing_begins_and_a_delisting_ends_where_the_rows_do(
    market: Database, first_seen_at: int, is_delisted: int, wanted: list[tuple[str, int, int]]
) -> None:
    list_asset(market, "BTC", first_seen_at, is_delisted=is_delisted)
    fill_minutes(market, symbols=("BTC",), minutes=range(100, 1_000))
    assert found(market) == wanted


def test_hours_wait_for_their_own_rows(market: Database) -> None:
    fill_hours(market, symbols=("BTC",))
    assert verdict(market, HOURS) is None
    with market.write() as connection:
        connection.execute("DELETE FROM hyperliquid_candles WHERE interval = '1h' AND t = ?", (DAY + 5 * HOUR_MS,))
    assert verdict(market, HOURS) == "not_final"
    add_gap(market, "lost", 330, 331)  # one lost minute excuses its hour
    assert verdict(market, HOURS) is None


def test_indicators_wait_for_their_candles(market: Database) -> None:
    fill_minutes(market, symbols=("BTC",), minutes=range(1_439))
    fill_minutes(market, symbols=("BTC",), minutes=range(1_439, 1_440), final=0)
    assert verdict(market, INDICATORS) == "not_final"
    with market.write() as connection:
        connection.execute("UPDATE hyperliquid_candles SET final = 1")
    assert verdict(market, INDICATORS) is None


def test_indicators_of_an_archived_day_need_no_candles(market: Database) -> None:
    add_gap(market, "open", 0, 10)
    assert verdict(market, INDICATORS) == "open_gaps"
    with market.write() as connection:
        connection.execute(
            """
            INSERT INTO archived_partitions (table_name, day, content_hash, object_key, object_sha256, row_count,
              size_bytes, archived_at, verified_at)
            VALUES ('hyperliquid_candles_1m', ?, 'h', 'k', 's', 1, 1, 1, 1)
            """,
            (DAY,),
        )
    assert verdict(market, INDICATORS) is None


def test_contexts_wait_for_nothing_but_the_end_of_the_day(market: Database) -> None:
    add_gap(market, "open", 0, 1_440)
    assert verdict(market, TABLES["hyperliquid_asset_ctxs"]) is None


def test_what_the_venue_keeps_no_longer_is_written_off(market: Database, settings: Settings) -> None:
    limit = lost_after_ms(settings)
    assert limit == 5_000 * MINUTE_MS  # longer than the 72 h
    list_asset(market, "BTC", DAY - DAY_MS)
    fill_minutes(market, symbols=("BTC",), minutes=range(700))
    fill_minutes(market, symbols=("BTC",), minutes=range(700, 710), final=0)
    add_gap(market, "open", 705, 710)
    end = DAY + DAY_MS
    assert write_off(market, CANDLES, DAY, end + limit - 1, limit) == 0
    assert verdict(market) == "open_gaps"
    assert write_off(market, CANDLES, DAY, end + limit, limit) == 3
    assert verdict(market) is None
    with market.read() as connection:
        gaps = connection.execute(
            "SELECT (from_t - ?) / 60000, (to_t - ?) / 60000, reason, state FROM candle_gaps ORDER BY from_t",
            (DAY, DAY),
        ).fetchall()
    assert [tuple(gap) for gap in gaps] == [
        (700, 705, "unrecorded", "lost"), (705, 710, "stall", "lost"), (710, 1_440, "unrecorded", "lost"),
    ]  # fmt: skip
    assert write_off(market, CANDLES, DAY, end + limit, limit) == 0


def test_a_longer_wait_of_the_settings_is_respected(settings: Settings) -> None:
    longer = settings.model_copy(update={"gap_lost_after_hours": 100})
    assert lost_after_ms(longer) == 100 * HOUR_MS


def test_the_refusal_says_how_many_and_where(market: Database) -> None:
    fill_minutes(market, symbols=("BTC", "ETH"), minutes=range(0, 1_440, 2))
    with market.read() as connection, pytest.raises(PartitionRefused) as refused:
        refuse_unfinished(connection, CANDLES, DAY)
    assert str(refused.value) == (
        "hyperliquid_candles_1m of 2025-07-21 has 1438 stretches neither final nor lost, the first of BTC at "
        "2025-07-21T00:01:00Z (not_final)"
    )


def test_neighbours_are_joined() -> None:
    joined = readiness._stretches("BTC", [0, 60_000, 180_000], 60_000)
    assert list(joined) == [Hole("BTC", 0, 120_000), Hole("BTC", 180_000, 240_000)]
