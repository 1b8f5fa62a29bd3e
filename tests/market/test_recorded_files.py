"""Every recorded answer and frame goes through the decoder that reads its like; what nobody reads is named as such."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from clash_pipeline.clock import DAY_MS
from clash_pipeline.market.defillama import wire as llama
from clash_pipeline.market.http import VenueMalformed
from clash_pipeline.market.hyperliquid import answers, wire
from clash_pipeline.market.polymarket import wire as polymarket
from clash_pipeline.replay.recorded import FUNDING, RecordedMarket
from clash_pipeline.storage.sqlite import Database
from tests.conftest import RECORDINGS
from tests.fakes.recorded_venue import RecordedVenue

pytestmark = pytest.mark.recordings

FOLDERS = ("hyperliquid", "polymarket", "defillama")
Read = Callable[[bytes], Any]


def json_of(decode: Callable[[Any], Any], told: Callable[[Any], Any]) -> Read:
    """A decoder of JSON as the HTTP client hands it on, and what is told of its result."""
    return lambda body: told(decode(msgspec.json.decode(body)))


def frames(lines: list[str]) -> list[str]:
    """What each frame of the socket is read as, or why it is refused."""
    found = []
    for line in lines:
        try:
            found.append(type(wire.decode_ws(line.encode())).__name__)
        except wire.WireRejection as refused:
            found.append(refused.reason)
    return found


def logged(body: bytes) -> list[str]:
    return frames([line.split(" ", 1)[1] for line in body.decode().splitlines() if line])


def lines_of(body: bytes) -> list[str]:
    return frames([line for line in body.decode().splitlines() if line])


def conversation(body: bytes) -> list[str]:
    """A file of `>` what was said, `<` what was heard, and a frame in several lines after it."""
    head, _, frame = body.decode().partition("\n{")
    heard = [line[2:] for line in head.splitlines() if line.startswith("<")]
    return frames([*heard, "{" + frame])


def perps(body: bytes) -> int:
    return len(answers.decode_meta(body).perps)


def perp_contexts(body: bytes) -> int:
    return len(answers.decode_meta_and_asset_ctxs(body)[1])


def candles(interval: wire.Interval) -> Read:
    return lambda body: len(wire.decode_candles(body, symbol="BTC", interval=interval))


def paid(body: bytes) -> int:
    return len(answers.decode_funding_history(body) or ())


def one_market(page: polymarket.Page) -> tuple[str, bool, int]:
    return page.markets[0].market_id, page.markets[0].is_closed, len(page.refused)


def events(page: polymarket.Page) -> tuple[list[str], int, int]:
    return [event.event_id for event in page.events], len(page.markets), len(page.refused)


def rows(decoded: Any) -> tuple[int, int]:
    return len(decoded.items), len(decoded.refused)


def overview(found: Any) -> tuple[float, int, int]:
    return found[0].total_usd, len(found[0].protocols), len(found[1])


def coins(found: Any) -> tuple[int, int, int]:
    return len(found[0].coins), len(found[0].chains), len(found[1])


READ: dict[str, tuple[Read, Any]] = {
    "hyperliquid/all_mids.json": (lambda body: len(answers.decode_all_mids(body)), 482),
    "hyperliquid/all_mids_2023-07-17.json": (lambda body: len(answers.decode_all_mids(body)), 28),
    "hyperliquid/candle_snapshot_BTC_1m.json": (candles("1m"), 61),
    "hyperliquid/candle_snapshot_BTC_1h_last_open.json": (candles("1h"), 5),
    "hyperliquid/funding_history_BTC_2023-05.json": (paid, 34),
    "hyperliquid/funding_history_BTC_2023-05_to_07.json": (paid, 1_038),
    "hyperliquid/funding_history_BTC_2026-09-25.json": (paid, 3),
    "hyperliquid/meta.json": (perps, 223),
    "hyperliquid/meta_2023-07-17.json": (perps, 28),
    "hyperliquid/meta_and_asset_ctxs.json": (perp_contexts, 228),
    "hyperliquid/meta_and_asset_ctxs_xyz.json": (perp_contexts, 43),
    "hyperliquid/predicted_fundings.json": (lambda body: len(answers.decode_predicted_fundings(body)), 632),
    "hyperliquid/spot_meta.json": (lambda body: len(answers.decode_spot_meta(body).pairs), 199),
    "hyperliquid/spot_meta_and_asset_ctxs.json": (
        lambda body: len(answers.decode_spot_meta_and_asset_ctxs(body)[1]), 199),
    "hyperliquid/ws_candle_AAVE_1m.log": (logged, ["CandleFrames"] * 6),
    "hyperliquid/ws_candle_BTC_1m.jsonl": (lines_of, ["CandleFrames"] * 3),
    "hyperliquid/ws_candle_subscribe_HYPE_1d.txt": (conversation, ["SubscriptionResponse", "wrong_interval"]),
    "hyperliquid/ws_misc.jsonl": (lines_of, [
        "SubscriptionResponse", *["unknown_channel"] * 4, "SubscriptionResponse", "Pong", "VenueError"]),
    "hyperliquid/ws_all_dexs_asset_ctxs.json": (lambda body: frames([body.decode()]), ["unknown_channel"]),
    "polymarket/clob_book.json": (json_of(polymarket.book, tuple), ("0.1", "0.14", None)),
    "polymarket/ws_market_book.json": (json_of(polymarket.book, tuple), ("0.511", "0.514", None)),
    "polymarket/gamma_event_dem_nominee_2028.json": (json_of(polymarket.page, events), (["30829"], 2, 0)),
    "polymarket/gamma_public_search_bitcoin_above.json": (json_of(polymarket.page, events), (["246060"], 1, 0)),
    "polymarket/gamma_market_btc_updown_5m.json": (
        json_of(polymarket.market_answer, one_market), ("1557558", False, 0)),
    "polymarket/gamma_market_closed_binary_accepting_false.json": (
        json_of(polymarket.market_answer, one_market), ("1460332", True, 0)),
    "polymarket/gamma_market_closed_binary_accepting_true.json": (
        json_of(polymarket.market_answer, one_market), ("1812085", True, 0)),
    "defillama/v2_chains_one_entry.json": (json_of(llama.chains, rows), (1, 0)),
    "defillama/protocols_lite.json": (json_of(llama.protocols, rows), (6_683, 3)),
    "defillama/protocols_one_full_entry.json": (json_of(llama.protocols, rows), (1, 0)),
    "defillama/stablecoins.json": (json_of(llama.stablecoins, coins), (25, 15, 0)),
    "defillama/historical_chain_tvl_solana_3days.json": (json_of(llama.history, rows), (3, 0)),
    "defillama/overview_dexs_solana_totals.json": (json_of(llama.overview, overview), (2_373_588_819.8, 0, 0)),
    "defillama/overview_derivatives_official_example.json": (json_of(llama.overview, overview), (23_537_303_133, 1, 0)),
    "defillama/overview_options_chain_official_example.json": (json_of(llama.overview, overview), (38_508, 1, 0)),
}  # fmt: skip
"""How each recorded file is read, and what is told of it."""

NOT_READ = {
    "order books, which the market memory does not hold": (
        "hyperliquid/l2_book_BTC_nsigfigs3.json", "hyperliquid/l2_book_BTC_nsigfigs4.json",
        "hyperliquid/l2_book_BTC_nsigfigs5.json", "hyperliquid/l2_book_BTC_nsigfigs5_mantissa5.json",
        "hyperliquid/l2_book_DYDX_2023.json"),
    "markets of builders, which are not followed": (
        "hyperliquid/perp_deploy_auction_status.json", "hyperliquid/perp_dex_limits_xyz.json",
        "hyperliquid/perp_dex_status_xyz.json", "hyperliquid/perp_dexs.json", "hyperliquid/perp_dexs_2025-12-13.json"),
    "questions that are not asked of the CLOB and Gamma": (
        "polymarket/clob_market_closed_binary_accepting_false.json",
        "polymarket/clob_market_closed_binary_accepting_true.json", "polymarket/clob_market_trump_2024.json",
        "polymarket/clob_markets_page.json", "polymarket/gamma_tags.json"),
    "Polymarket's sockets, which are not listened to": (
        "polymarket/rtds_crypto_prices_subscribe.json", "polymarket/rtds_crypto_prices_update.json",
        "polymarket/ws_market_best_bid_ask.json", "polymarket/ws_market_last_trade_price.json",
        "polymarket/ws_market_new_market.json", "polymarket/ws_market_price_change_2024_form.json",
        "polymarket/ws_market_resolved.json", "polymarket/ws_market_tick_size_change.json"),
    "tables of somebody's back-test, not answers": (
        "polymarket/bbo_5min_shanghai_june10_28c_yes.csv", "polymarket/bbo_5min_shanghai_june9_25c_yes.csv"),
    "answers and documents of DefiLlama that are not asked for": (
        "defillama/openapi_free.json", "defillama/protocol_drift-trade.json", "defillama/protocol_etherfuse.json",
        "defillama/protocol_jito-liquid-staking.json", "defillama/protocol_kamino-lend.json",
        "defillama/protocol_marginfi-lending.json", "defillama/protocol_marinade-liquid-staking.json",
        "defillama/stablecoinchains_three_entries.json", "defillama/stablecoincharts_solana_2days.json",
        "defillama/summary_derivatives_official_example.json",
        "defillama/summary_fees_hyperliquid_official_example.json"),
}  # fmt: skip

TABLES = {
    "hyperliquid/candles_1m_perp_other133_2025-07.parquet", "hyperliquid/candles_1m_perp_top40_2025-07.parquet",
    "hyperliquid/candles_1m_spot_2025-07.parquet", f"hyperliquid/{FUNDING}",
}  # fmt: skip
"""Values without their wire text: the replayed venue speaks them, see `test_recordings` and below."""


def test_no_recorded_file_is_forgotten(recordings: Path) -> None:
    there = {f"{folder}/{path.name}" for folder in FOLDERS for path in (recordings / folder).iterdir()}
    not_read = [name for names in NOT_READ.values() for name in names]
    assert there == READ.keys() | TABLES | set(not_read)
    assert len(there) == len(READ) + len(TABLES) + len(not_read)


@pytest.mark.parametrize("name", READ)
def test_a_recorded_file_is_read_whole(recordings: Path, name: str) -> None:
    read, wanted = READ[name]
    assert read((recordings / name).read_bytes()) == wanted


@pytest.mark.parametrize("name", [name for names in NOT_READ.values() for name in names if name.endswith("json")])
def test_a_file_that_nobody_asks_for_does_no_harm_on_the_socket(recordings: Path, name: str) -> None:
    """Whatever is said on the stream, it is refused with a reason."""
    assert frames([(recordings / name).read_text()])[0] in ("wrong_shape", "unknown_channel")


def test_what_is_no_book_is_not_taken_for_an_empty_one(recordings: Path) -> None:
    others = [path for path in (recordings / "polymarket").glob("*.json") if not path.stem.endswith("book")]
    assert len(others) > 15
    for path in others:
        with pytest.raises(VenueMalformed, match="not a book"):
            polymarket.book(msgspec.json.decode(path.read_bytes()))


def test_every_recorded_funding_payment_arrives_unchanged(market: Database, recordings: Path) -> None:
    """129,878 rates of ten coins, in pages of the venue's size."""
    given = pl.read_parquet(recordings / "hyperliquid" / FUNDING).sort("coin", "time")
    venue = RecordedVenue(RecordedMarket(RECORDINGS), market)
    end = int(given["time"].max()) + DAY_MS  # type: ignore[arg-type]
    venue.turn_to(end)
    count = 0
    for (coin,), recorded in given.group_by("coin", maintain_order=True):
        paid_rows = asyncio.run(venue.rest.funding_history(str(coin), 0, end))
        assert paid_rows is not None
        assert [(row.time, float(row.fundingRate)) for row in paid_rows] == recorded.select(
            "time", "fundingRate"
        ).rows()
        count += len(paid_rows)
    assert count == len(given) == 129_878
    assert max(venue.asked) == 500
