"""Latest mids: trusted only with a live book, never older than what is there, one row an asset."""

import asyncio
from pathlib import Path

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.market.hyperliquid import contexts, mids, registry
from clash_pipeline.market.hyperliquid.contexts import AssetContext
from clash_pipeline.market.hyperliquid.mids import Mid
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.market.hyperliquid.conftest import RestOf
from tests.market.hyperliquid.test_registry import BTC, GONE, NEW, SPOT

MINUTE = 1_753_099_980_000


@pytest.fixture
def listed(rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings) -> Database:
    """A memory whose registry lists BTC, BRANDNEW, three spot pairs, and the delisted MATIC."""
    rest = rest_of({"meta": {"universe": [BTC, GONE, NEW]}, "spotMeta": SPOT})
    asyncio.run(registry.refresh(market, rest, now_ms=clock.now_ms(), clock=clock, settings=settings))
    return market


def context(symbol: str, mid: str | None, t: int = MINUTE) -> AssetContext:
    return AssetContext(symbol, t, "2.0", "4.72", mid, None, None, "1.0", None, "1.0", None, None, 0, t)


def knows(market: Database, *rows: AssetContext) -> None:
    with market.write() as connection:
        contexts.store(connection, rows)


def trusted(market: Database, now_ms: int = MINUTE + 1_000) -> frozenset[str]:
    with market.read() as connection:
        return mids.trusted(connection, now_ms)


def take(market: Database, told: dict[str, str], source_at: int, trusts: str = "BTC") -> mids.Stored:
    with market.write() as connection:
        return mids.store(
            connection, told, source_at=source_at, known_at=source_at + 5, trusted=frozenset(trusts.split())
        )


def newest(market: Database, symbol: str) -> Mid | None:
    with market.read() as connection:
        return mids.read(connection, symbol)


def test_only_an_asset_whose_newest_context_has_a_mid_is_trusted(listed: Database) -> None:
    knows(listed, context("BTC", "2.0"), context("BRANDNEW", None), context("MATIC", "0.4"))
    assert trusted(listed) == {"BTC"}
    knows(listed, context("BTC", None, MINUTE + 60_000), context("BRANDNEW", "5.0", MINUTE + 60_000))
    assert trusted(listed, MINUTE + 61_000) == {"BRANDNEW"}


def test_an_old_context_vouches_for_nothing(listed: Database) -> None:
    knows(listed, context("BTC", "2.0"))
    assert trusted(listed, MINUTE + mids.VOUCH_MS) == {"BTC"}
    assert trusted(listed, MINUTE + mids.VOUCH_MS + 1) == frozenset()


def test_the_stale_mark_of_a_coin_without_a_book_never_becomes_a_price(listed: Database) -> None:
    """The venue's allMids says FRIEND 4.72 while its oracle says 0.47734 (sources 1.5)."""
    stored = take(listed, {"BTC": "83765.5", "BRANDNEW": "4.72", "UNHEARD": "1.0"}, MINUTE)
    assert stored == mids.Stored(rows=1, rejected=0)
    assert newest(listed, "BTC") == Mid("BTC", "83765.5", MINUTE, MINUTE + 5)
    assert newest(listed, "BRANDNEW") is None


def test_a_later_message_moves_on_and_an_older_or_repeated_one_changes_nothing(listed: Database) -> None:
    take(listed, {"BTC": "2.0"}, MINUTE)
    assert take(listed, {"BTC": "3.0"}, MINUTE - 1).rows == 0
    assert take(listed, {"BTC": "3.0"}, MINUTE).rows == 0
    assert take(listed, {"BTC": "4.0"}, MINUTE + 1).rows == 1
    found = newest(listed, "BTC")
    assert found is not None
    assert (found.mid, found.source_at) == ("4.0", MINUTE + 1)


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "1e-9", "9" * 30, "", "2,0"])
def test_an_impossible_mid_is_counted_and_leaves_the_last_good_one(listed: Database, price: str) -> None:
    take(listed, {"BTC": "2.0"}, MINUTE)
    assert take(listed, {"BTC": price}, MINUTE + 1) == mids.Stored(rows=0, rejected=1)
    found = newest(listed, "BTC")
    assert found is not None
    assert found.mid == "2.0"
    with listed.read() as connection:
        row = connection.execute("SELECT channel, reason, count FROM ingestion_rejections").fetchone()
    assert tuple(row) == ("mids", "bad_price", 1)


@pytest.mark.recordings
def test_recorded_mids_over_rest_are_kept_for_assets_with_a_book(
    recorded_rest: HyperliquidRest, market: Database, clock: SettableClock, settings: Settings, recordings: Path
) -> None:
    def run(refresh: object) -> object:
        return asyncio.run(
            refresh(market, recorded_rest, now_ms=clock.now_ms(), clock=clock, settings=settings)  # type: ignore[operator]
        )

    run(registry.refresh)
    assert run(mids.refresh) == 0, "nothing vouches for a mid before the first contexts"
    run(contexts.refresh)
    clock.advance(1_000)
    assert run(mids.refresh) == 378
    clock.advance(1_000)
    assert run(mids.refresh) == 378
    with market.read() as connection:
        assert connection.execute("SELECT count(*) FROM hyperliquid_latest_prices").fetchone()[0] == 378
