"""Asset contexts: exact text, unknown stays unknown, one bad number costs its own asset only."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.market.hyperliquid import contexts
from clash_pipeline.market.hyperliquid.contexts import AssetContext
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.settings import Settings
from clash_pipeline.settings import load as load_settings
from clash_pipeline.storage.sqlite import Database
from tests.market.hyperliquid.conftest import RestOf

MINUTE = 1_753_099_980_000

PERP = {
    "funding": "0.0000125", "openInterest": "605822.2557999999", "prevDayPx": "2094.6",
    "dayNtlVlm": "591989409.9392402172", "premium": "-0.0002824061", "oraclePx": "2124.6", "markPx": "2123.7",
    "midPx": "2123.95", "impactPxs": ["2123.9", "2124.0"], "dayBaseVlm": "278000.5",
}  # fmt: skip
SPOT = {"coin": "@107", "prevDayPx": "28.0", "dayNtlVlm": "124121236.5", "markPx": "28.7", "midPx": "28.718"}
TOKENS = [{"name": "USDC", "szDecimals": 8, "index": 0}, {"name": "HYPE", "szDecimals": 2, "index": 150}]
PAIR = {"tokens": [150, 0], "name": "@107", "index": 107}


def answers(perp: dict[str, Any], spot: dict[str, Any] = SPOT, **of_perp: Any) -> dict[str, Any]:
    eth = {"name": "ETH", "szDecimals": 4, "maxLeverage": 25, **of_perp}
    return {
        "metaAndAssetCtxs": [{"universe": [eth]}, [perp]],
        "spotMetaAndAssetCtxs": [{"universe": [PAIR], "tokens": TOKENS}, [{**SPOT, "coin": "@999"}, spot]],
    }


def refresh(rest: HyperliquidRest, market: Database, clock: SettableClock, settings: Settings) -> int:
    return asyncio.run(contexts.refresh(market, rest, now_ms=clock.now_ms(), clock=clock, settings=settings))


def newest(market: Database, symbol: str, as_of: int | None = None) -> AssetContext | None:
    with market.read() as connection:
        return contexts.newest(connection, symbol, as_of=as_of)


def rejections(market: Database) -> dict[str, int]:
    with market.read() as connection:
        return {row["reason"]: row["count"] for row in connection.execute("SELECT * FROM ingestion_rejections")}


def test_a_perps_context_is_kept_in_the_venues_own_text(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    assert refresh(rest_of(answers(PERP)), market, clock, settings) == 2
    assert newest(market, "ETH") == AssetContext(
        symbol="ETH", t=MINUTE, oracle_px="2124.6", mark_px="2123.7", mid_px="2123.95", impact_bid="2123.9",
        impact_ask="2124.0", day_ntl_volume="591989409.9392402172", day_base_volume="278000.5",
        open_interest="605822.2557999999", prev_day_px="2094.6", premium="-0.0002824061", funding_e10=125_000,
        known_at=clock.now_ms(),
    )  # fmt: skip


def test_a_spot_pair_has_no_oracle_and_no_funding(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(PERP)), market, clock, settings)
    found = newest(market, "@107")
    assert found is not None
    assert (found.mark_px, found.mid_px) == ("28.7", "28.718")
    assert (found.oracle_px, found.funding_e10, found.open_interest, found.day_base_volume) == (None,) * 4
    assert newest(market, "@999") is None, "a context without a listed pair"


def test_an_asset_without_a_book_has_no_mid_instead_of_a_zero(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    bookless = {**PERP, "midPx": None, "premium": None, "impactPxs": None}
    refresh(rest_of(answers(bookless)), market, clock, settings)
    found = newest(market, "ETH")
    assert found is not None
    assert (found.mid_px, found.premium, found.impact_bid, found.impact_ask) == (None,) * 4


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("markPx", "0", "bad_price"),
        ("markPx", "0.0", "bad_price"),
        ("markPx", "-1", "bad_price"),
        ("markPx", "NaN", "bad_price"),
        ("markPx", "1e-9", "bad_price"),
        ("markPx", "1" * 30, "bad_price"),
        ("markPx", None, "bad_context"),
        ("oraclePx", "inf", "bad_price"),
        ("midPx", "", "bad_context"),
        ("midPx", "2 ", "bad_price"),
        ("impactPxs", ["1.0"], "bad_context"),
        ("impactPxs", ["1.0", "-1.0"], "bad_price"),
        ("dayNtlVlm", "-5.0", "bad_amount"),
        ("openInterest", "?", "bad_amount"),
        ("premium", "--1", "bad_number"),
        ("funding", "0.00000000001", "bad_rate"),
    ],
)
def test_a_context_with_an_impossible_number_is_refused_whole_and_costs_nobody_else(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings, field: str, value: Any, reason: str
) -> None:
    assert refresh(rest_of(answers({**PERP, field: value})), market, clock, settings) == 1
    assert newest(market, "ETH") is None
    assert newest(market, "@107") is not None
    assert rejections(market) == {reason: 1}


def test_delisted_perps_are_left_out_and_lower_no_coverage(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(PERP, isDelisted=True)), market, clock, settings)
    assert newest(market, "ETH") is None
    with market.read() as connection:
        cycle = connection.execute("SELECT covered, expected FROM ingestion_runs").fetchone()
    assert tuple(cycle) == (1, 1)


def test_only_followed_assets_are_kept(rest_of: RestOf, market: Database, clock: SettableClock, tmp_path: Path) -> None:
    narrow = load_settings({"CLASH_HOME": str(tmp_path), "CLASH_SYMBOLS": "@107"})
    assert refresh(rest_of(answers(PERP)), market, clock, narrow) == 1


def test_a_minute_is_sampled_once_and_reads_as_of_see_no_later_sample(
    rest_of: RestOf, market: Database, clock: SettableClock, settings: Settings
) -> None:
    refresh(rest_of(answers(PERP)), market, clock, settings)
    clock.advance(30_000)
    assert refresh(rest_of(answers({**PERP, "markPx": "9.0"})), market, clock, settings) == 0
    first = clock.now_ms()
    clock.advance(60_000)
    refresh(rest_of(answers({**PERP, "markPx": "2200.0"})), market, clock, settings)
    now, then, before = newest(market, "ETH"), newest(market, "ETH", first), newest(market, "ETH", MINUTE)
    assert now is not None
    assert then is not None
    assert (now.mark_px, then.mark_px, before) == ("2200.0", "2123.7", None)


@pytest.mark.recordings
def test_recorded_contexts_are_kept_for_every_listed_asset(
    recorded_rest: HyperliquidRest, market: Database, clock: SettableClock, settings: Settings
) -> None:
    assert refresh(recorded_rest, market, clock, settings) == 190 + 199
    assert rejections(market) == {}
    with market.read() as connection:
        cycle = connection.execute("SELECT covered, expected, lag_p50_ms FROM ingestion_runs").fetchone()
    assert tuple(cycle) == (389, 389, 0)
