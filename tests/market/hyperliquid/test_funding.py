"""Funding: exact integers, intervals that mean something, due times that lie ahead, and samples never rewritten."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.clock import HOUR_MS, SettableClock
from clash_pipeline.market.http import VenueUnavailable
from clash_pipeline.market.hyperliquid import funding
from clash_pipeline.market.hyperliquid.funding import FundingRate
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.settings import Settings
from clash_pipeline.settings import load as load_settings
from clash_pipeline.storage.sqlite import Database
from tests.market.hyperliquid.conftest import RestOf

MINUTE = 1_753_099_980_000
"""The minute of the clock fixture, 12:13."""
NEXT_HOUR = 1_753_102_800_000
PASSED = 1_753_099_200_000

BTC = {"name": "BTC", "szDecimals": 5, "maxLeverage": 40}
GONE = {"name": "MATIC", "szDecimals": 1, "maxLeverage": 20, "isDelisted": True}
CONTEXT = {
    "funding": "0.0000125", "openInterest": "1.0", "dayNtlVlm": "9.0", "oraclePx": "2.0", "markPx": "2.0",
    "premium": "-0.0001",
}  # fmt: skip


def prediction(rate: str, hours: int | None = 8, due: int = NEXT_HOUR) -> dict[str, Any]:
    told = {"fundingRate": rate, "nextFundingTime": due}
    return told if hours is None else {**told, "fundingIntervalHours": hours}


def answers(context: dict[str, Any], *venues: Any, coin: str = "BTC") -> dict[str, Any]:
    return {
        "metaAndAssetCtxs": [{"universe": [BTC, GONE]}, [context, {**CONTEXT, "premium": None}]],
        "predictedFundings": [[coin, list(venues)], ["MATIC", [["HlPerp", prediction("0.0", 1)]]]],
    }


def refresh(rest: HyperliquidRest, market: Database, clock: SettableClock, settings: Settings) -> int:
    return asyncio.run(funding.refresh(market, rest, now_ms=clock.now_ms(), clock=clock, settings=settings))


def rates(market: Database, symbol: str = "BTC", **how: Any) -> list[FundingRate]:
    with market.read() as connection:
        return funding.read(connection, symbol, from_t=0, to_t=2**60, **how)


def rejections(market: Database) -> dict[str, int]:
    with market.read() as connection:
        rows = connection.execute("SELECT reason, count FROM ingestion_rejections WHERE channel = 'funding'")
        return {row["reason"]: row["count"] for row in rows}


def test_the_running_estimate_is_due_at_the_next_full_hour(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    assert refresh(rest_of(answers(CONTEXT)), market, clock, settings) == 1
    now = clock.now_ms()
    assert rates(market) == [FundingRate("BTC", "current", "HlPerp", MINUTE, 125_000, 1, "-0.0001", NEXT_HOUR, now)]


def test_predictions_keep_their_own_interval_and_lose_due_times_that_have_passed(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    venues = [
        ["BinPerp", prediction("0.0001", 8)],
        ["HlPerp", prediction("-0.0000086590", 1, due=PASSED)],
        ["BybitPerp", prediction("0.00005", 4, due=PASSED)],
    ]
    refresh(rest_of(answers(CONTEXT, *venues)), market, clock, settings)
    found = {row.venue: row[4:6] + row[7:8] for row in rates(market, kind="predicted")}
    assert found == {
        "BinPerp": (1_000_000, 8, NEXT_HOUR),
        "BybitPerp": (500_000, 4, None),
        "HlPerp": (-86_590, 1, NEXT_HOUR),
    }


@pytest.mark.parametrize("hours", [None, 0])
def test_a_rate_without_an_interval_means_nothing_except_on_the_own_venue(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings, hours: int | None
) -> None:
    venues = [
        ["BinPerp", prediction("0.0001", hours, due=0)],
        ["HlPerp", prediction("0.0001", hours)],
        ["BybitPerp", None],
    ]
    refresh(rest_of(answers(CONTEXT, *venues)), market, clock, settings)
    assert [(row.venue, row.interval_hours) for row in rates(market, kind="predicted")] == [("HlPerp", 1)]
    assert rejections(market) == {}


@pytest.mark.parametrize("rate", ["0.00001250001", "NaN", "1e-5", "", "0.1.2", "12345.0", "٠.١"])
def test_a_rate_that_does_not_fit_the_unit_is_a_counted_rejection(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings, rate: str
) -> None:
    venues = [["BinPerp", prediction(rate)], ["BybitPerp", prediction("0.0002")]]
    refresh(rest_of(answers({**CONTEXT, "funding": rate}, *venues)), market, clock, settings)
    assert [row.venue for row in rates(market)] == ["BybitPerp"]
    expected = {"bad_rate": 2} if rate else {"bad_context": 1, "bad_predicted_funding": 1}
    assert rejections(market) == expected


def test_a_coin_that_is_not_listed_and_an_impossible_interval_are_counted(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(CONTEXT, ["BinPerp", prediction("0.1")], coin="GHOST")), market, clock, settings)
    refresh(rest_of(answers(CONTEXT, ["BinPerp", prediction("0.1", 25)])), market, clock, settings)
    assert rejections(market) == {"unknown_coin": 1, "bad_interval": 1}
    assert rates(market, "GHOST") == []


def test_delisted_perps_have_no_funding(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(CONTEXT)), market, clock, settings)
    assert rates(market, "MATIC") == []


def test_a_second_sample_of_a_minute_never_rewrites_the_first(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(CONTEXT)), market, clock, settings)
    clock.advance(10_000)
    assert refresh(rest_of(answers({**CONTEXT, "funding": "0.5"})), market, clock, settings) == 0
    assert [row.rate_e10 for row in rates(market)] == [125_000]


def test_nothing_learnt_later_is_seen_as_of_an_earlier_time(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(CONTEXT)), market, clock, settings)
    learnt_at = clock.now_ms()
    assert rates(market, as_of=learnt_at - 1) == []
    assert len(rates(market, as_of=learnt_at)) == 1


def test_coverage_counts_the_followed_perps_that_have_a_rate(
    rest_of: RestOf, market: Database, clock: SettableClock, tmp_path: Path, settings: Settings
) -> None:
    refresh(rest_of(answers({**CONTEXT, "funding": "x"})), market, clock, settings)
    narrow = load_settings({"CLASH_HOME": str(tmp_path), "CLASH_SYMBOLS": "BTC"})
    refresh(rest_of(answers(CONTEXT)), market, clock, narrow)
    with market.read() as connection:
        rows = connection.execute("SELECT covered, expected, rejected, rows_written FROM ingestion_runs").fetchall()
    assert [tuple(row) for row in rows] == [(0, 1, 1, 0), (1, 1, 0, 1)]


def test_a_venue_that_does_not_answer_leaves_a_failed_cycle_and_no_rows(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    broken = {**answers(CONTEXT), "predictedFundings": VenueUnavailable("hyperliquid", "/info answered 502")}
    with pytest.raises(VenueUnavailable):
        refresh(rest_of(broken), market, clock, settings)
    assert rates(market) == []
    with market.read() as connection:
        assert connection.execute("SELECT status FROM ingestion_runs").fetchone()["status"] == "failed"


@pytest.mark.recordings
def test_recorded_predictions_and_contexts_are_kept(
    recorded_rest: HyperliquidRest, market: Database, settings: Settings
) -> None:
    clock = SettableClock(1_791_212_000_000)  # within the hour of the recorded predictions
    assert refresh(recorded_rest, market, clock, settings) == 730
    assert {row.venue: row.rate_e10 for row in rates(market, kind="predicted")} == {
        "BinPerp": 192_300, "BybitPerp": 494_700, "HlPerp": 125_000
    }  # fmt: skip
    assert rejections(market) == {"unknown_coin": 17}, "coins listed after the registry was recorded"


# --- paid -----------------------------------------------------------------------------------------------------------


@pytest.mark.recordings
def test_recorded_payments_are_kept_by_their_hour_with_the_interval_of_their_time(
    rest_of: RestOf, market: Database, clock: SettableClock, recordings: Path
) -> None:
    history = (recordings / "hyperliquid" / "funding_history_BTC_2023-05_to_07.json").read_bytes()
    rest = rest_of({"fundingHistory": history})
    end = 1_690_000_000_000
    for expected in (1_038, 0):
        assert asyncio.run(funding.backfill_paid(market, rest, ["BTC"], 0, end, clock=clock)) == expected
    found = rates(market, kind="paid")
    assert all(row.t % HOUR_MS == 0 for row in found)
    assert found[0] == FundingRate(
        "BTC", "paid", "HlPerp", 1_683_849_600_000, -6_133_400, 8, "-0.00091334", None, clock.now_ms()
    )
    gaps = [later.t - earlier.t for earlier, later in pairwise(found)]
    wrong = [row.t for row, gap in zip(found[1:], gaps, strict=True) if gap != row.interval_hours * HOUR_MS]
    assert wrong == [1_688_331_600_000], "the one hour the venue skipped"


def test_payments_of_another_coin_and_unlisted_coins_leave_nothing(
    rest_of: RestOf, market: Database, clock: SettableClock
) -> None:
    row = {"coin": "ETH", "fundingRate": "0.1", "premium": "0.1", "time": PASSED}
    for history in ([row], None):
        rest = rest_of({"fundingHistory": b"null" if history is None else history})
        assert asyncio.run(funding.backfill_paid(market, rest, ["BTC"], 0, NEXT_HOUR, clock=clock)) == 0
    assert rejections(market) == {"wrong_symbol": 1}
