"""The registry is truth: perps and spot pairs with their ids, tiers, channels and places; new listings just appear."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.market.http import VenueUnavailable
from clash_pipeline.market.hyperliquid import registry
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.settings import Settings
from clash_pipeline.settings import load as load_settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.hyperliquid_info import PreparedInfo
from tests.market.hyperliquid.conftest import RestOf

USDC = {"name": "USDC", "szDecimals": 8, "index": 0}
PURR = {"name": "PURR", "szDecimals": 0, "index": 1}
UBTC = {"name": "UBTC", "szDecimals": 5, "index": 2}
USDT0 = {"name": "USDT0", "szDecimals": 2, "index": 3}
SPOT = {
    "tokens": [USDC, PURR, UBTC, USDT0],
    "universe": [
        {"tokens": [1, 0], "name": "PURR/USDC", "index": 0},
        {"tokens": [2, 0], "name": "@142", "index": 142},
        {"tokens": [2, 3], "name": "@200", "index": 200},
    ],
}
BTC = {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56}
GONE = {"name": "MATIC", "szDecimals": 1, "maxLeverage": 20, "marginTableId": 20, "isDelisted": True}
NEW = {"name": "BRANDNEW", "szDecimals": 2, "maxLeverage": 3, "marginTableId": 3, "onlyIsolated": True}
TABLES = [[56, {"marginTiers": [{"lowerBound": "0.0", "maxLeverage": 40}, {"lowerBound": "1.5", "maxLeverage": 20}]}]]


def refresh(
    rest: HyperliquidRest, market: Database, clock: SettableClock, settings: Settings
) -> registry.RegistryReport:
    return asyncio.run(registry.refresh(market, rest, now_ms=clock.now_ms(), clock=clock, settings=settings))


def answers(*perps: Any) -> dict[str, Any]:
    return {"meta": {"universe": perps, "marginTables": TABLES}, "spotMeta": SPOT}


def stored(market: Database) -> dict[str, registry.Asset]:
    with market.read() as connection:
        return {asset.symbol: asset for asset in registry.assets(connection)}


def test_a_perp_has_its_position_as_id_its_tiers_and_all_channels(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    report = refresh(rest_of(answers(BTC, GONE, NEW)), market, clock, settings)
    btc = stored(market)["BTC"]
    assert btc == registry.Asset(
        symbol="BTC", display_name="BTC", kind="perp", venue_index=0, sz_decimals=5, max_leverage=40,
        margin_tiers=(registry.MarginTier("0.0", 40), registry.MarginTier("1.5", 20)), is_only_isolated=False,
        is_delisted=False, base_token="BTC", quote_token="USDC",
        channels=("ohlcv", "rsi", "bollinger", "sma_ema", "macd", "funding"), category="crypto_major",
        subcategory="store_of_value", search_terms=("Bitcoin", "XBT", "BTC"),
    )  # fmt: skip
    assert (report.assets, len(report.added), report.rows) == (6, 6, 6)


def test_a_spot_pair_takes_name_id_and_decimals_from_its_tokens(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(BTC)), market, clock, settings)
    found = stored(market)
    purr, ubtc, other = found["PURR/USDC"], found["@142"], found["@200"]
    assert (purr.venue_index, purr.sz_decimals, purr.display_name) == (10_000, 0, "PURR (spot)")
    assert (ubtc.venue_index, ubtc.sz_decimals, ubtc.display_name) == (10_142, 5, "BTC (spot)")
    assert (ubtc.base_token, ubtc.quote_token, ubtc.category, ubtc.max_leverage) == ("UBTC", "USDC", "crypto_major", 1)
    assert other.display_name == "BTC/USDT0 (spot)"
    assert not ubtc.supports("funding")
    assert ubtc.supports("ohlcv")


def test_a_delisted_perp_stays_in_its_place_without_channels(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(BTC, {**GONE, "isDelisted": False}, NEW)), market, clock, settings)
    report = refresh(rest_of(answers(BTC, GONE, NEW)), market, clock, settings)
    assert (report.delisted, report.changed) == (("MATIC",), ("MATIC",))
    found = stored(market)
    assert found["MATIC"].channels == ()
    assert found["BRANDNEW"].venue_index == 2
    with market.read() as connection:
        assert "MATIC" not in {asset.symbol for asset in registry.followed(connection, settings)}


def test_a_new_listing_appears_by_itself_and_is_reported_as_uncategorised(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(BTC)), market, clock, settings)
    report = refresh(rest_of(answers(BTC, NEW)), market, clock, settings)
    assert (report.added, report.uncategorised) == (("BRANDNEW",), ("BRANDNEW",))
    new = stored(market)["BRANDNEW"]
    assert (new.category, new.is_only_isolated, new.search_terms) == ("uncategorised", True, ())
    assert new.supports("funding")


def test_unchanged_rows_are_not_touched_and_changed_ones_keep_when_they_were_first_seen(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(BTC, NEW)), market, clock, settings)
    first = clock.now_ms()
    clock.advance(3_600_000)
    report = refresh(rest_of(answers(BTC, {**NEW, "maxLeverage": 5})), market, clock, settings)
    assert (report.changed, report.rows) == (("BRANDNEW",), 1)
    with market.read() as connection:
        rows = connection.execute("SELECT symbol, first_seen_at, known_at FROM hyperliquid_assets").fetchall()
    times = {row["symbol"]: (row["first_seen_at"], row["known_at"]) for row in rows}
    assert times["BTC"] == (first, first)
    assert times["BRANDNEW"] == (first, clock.now_ms())


def test_a_refused_perp_is_counted_and_does_not_delist_what_we_know(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(BTC, NEW)), market, clock, settings)
    report = refresh(rest_of(answers(BTC, {**NEW, "szDecimals": "two"})), market, clock, settings)
    assert (report.rejected, report.rows) == (1, 0)
    assert not stored(market)["BRANDNEW"].is_delisted
    with market.read() as connection:
        row = connection.execute("SELECT channel, reason, count, sample FROM ingestion_rejections").fetchone()
    assert (row["channel"], row["reason"], row["count"]) == ("registry", "bad_perp", 1)
    assert msgspec.json.decode(row["sample"])["name"] == "BRANDNEW"


def test_a_venue_that_does_not_answer_leaves_the_registry_and_a_failed_cycle(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(BTC)), market, clock, settings)
    with pytest.raises(VenueUnavailable):
        refresh(rest_of({**answers(BTC), "spotMeta": VenueUnavailable("hyperliquid", "503")}), market, clock, settings)
    assert "BTC" in stored(market)
    with market.read() as connection:
        cycles = connection.execute("SELECT status, error FROM ingestion_runs ORDER BY id").fetchall()
    assert [row["status"] for row in cycles] == ["ok", "failed"]
    assert "503" in cycles[1]["error"]


def test_followed_symbols_narrow_what_is_followed_and_a_missing_one_lowers_coverage(
    rest_of: RestOf, market: Database, clock: SettableClock, tmp_path: Path
) -> None:
    narrow = load_settings({"CLASH_HOME": str(tmp_path), "CLASH_SYMBOLS": "BTC,@142,NOPE"})
    refresh(rest_of(answers(BTC, NEW)), market, clock, narrow)
    with market.read() as connection:
        assert [asset.symbol for asset in registry.followed(connection, narrow)] == ["BTC", "@142"]
        cycle = connection.execute("SELECT covered, expected FROM ingestion_runs").fetchone()
    assert (cycle["covered"], cycle["expected"]) == (2, 3)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("btc", "BTC"), ("bitcoin", "BTC"), ("UBTC", "@142"), ("Purr", "PURR/USDC"), ("BRANDNW", "BRANDNEW")],
)
def test_near_matches_find_what_a_person_meant(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings, typed: str, meant: str
) -> None:
    refresh(rest_of(answers(BTC, NEW)), market, clock, settings)
    with market.read() as connection:
        assert meant in registry.near_matches(connection, typed)
        assert registry.near_matches(connection, "zzzzzzzzzz") == []
        assert registry.asset(connection, typed) is None


@pytest.mark.recordings
def test_the_recorded_registries_are_kept_whole(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings, recordings: Path
) -> None:
    report = refresh(rest_of(PreparedInfo.recorded(recordings).answers), market, clock, settings)
    found = stored(market)
    assert (len(found), report.rejected) == (223 + 199, 0)
    assert [a.venue_index for a in found.values() if a.kind == "perp"] == list(range(223))
    places = {symbol: found[symbol].category for symbol in ("ETH", "SOL", "kPEPE")}
    assert places == {"ETH": "crypto_major", "SOL": "layer_1", "kPEPE": "meme"}
    assert [a.symbol for a in found.values() if a.kind == "perp" and a.category == "uncategorised"] == []
    assert found["@107"].display_name == "HYPE (spot)"
    assert found["@194"].display_name == "BONK (spot)"
    assert found["SOL"].margin_tiers == (registry.MarginTier("0.0", 20), registry.MarginTier("70000000.0", 10))
    assert (found["@20"].display_name, found["@188"].display_name) == ("PUMP (spot)", "UPUMP (spot)")
    assert len({asset.display_name for asset in found.values()}) == len(found)


@pytest.mark.recordings
def test_the_old_registry_without_margin_tables_is_kept_too(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings, recordings: Path
) -> None:
    old = (recordings / "hyperliquid" / "meta_2023-07-17.json").read_bytes()
    refresh(rest_of({"meta": old, "spotMeta": SPOT}), market, clock, settings)
    assert stored(market)["BTC"].margin_tiers == (registry.MarginTier("0.0", 50),)
