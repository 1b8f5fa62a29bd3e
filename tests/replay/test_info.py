"""POST /info: shapes of the recordings, weight, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.replay import info, weight
from clash_pipeline.replay.venue import Venue

HYPERLIQUID = "hyperliquid"


def _ask(venue: Venue, **request: Any) -> Any:
    answer = info.answer(venue, json.dumps(request).encode())
    assert answer.status == 200, answer
    return json.loads(answer.body)


def _status(venue: Venue, body: Any) -> int:
    return info.answer(venue, body if isinstance(body, bytes) else json.dumps(body).encode()).status


def _recorded(recordings: Path, name: str) -> Any:
    return json.loads((recordings / HYPERLIQUID / name).read_text())


def _shape(value: Any) -> Any:
    """Keys and types of an object; a null may stand anywhere."""
    return {key: type(item).__name__ for key, item in value.items()}


@pytest.mark.recordings
def test_meta_and_contexts_have_the_recorded_shape(venue: Venue, recordings: Path) -> None:
    meta, contexts = _ask(venue, type="metaAndAssetCtxs")
    real_meta, real_contexts = _recorded(recordings, "meta_and_asset_ctxs.json")
    assert _shape(meta) == _shape(real_meta)
    assert _shape(meta["universe"][0]) == _shape(real_meta["universe"][0])
    assert len(contexts) == len(meta["universe"])
    live, delisted = contexts[0], contexts[10]
    assert _shape(live) == _shape(real_contexts[0])
    assert meta["universe"][10]["isDelisted"]
    assert _shape(delisted) == _shape(real_contexts[3]), "MATIC, delisted, in both"
    assert meta == _ask(venue, type="meta")
    assert [table[0] for table in meta["marginTables"]] == [table[0] for table in real_meta["marginTables"]]


@pytest.mark.recordings
def test_spot_answers_have_the_recorded_shape_and_do_not_pair_by_position(venue: Venue, recordings: Path) -> None:
    meta, contexts = _ask(venue, type="spotMetaAndAssetCtxs")
    real_meta, real_contexts = _recorded(recordings, "spot_meta_and_asset_ctxs.json")
    assert _shape(meta["universe"][0]) == _shape(real_meta["universe"][0])
    assert set(meta["tokens"][1]) == set(real_meta["tokens"][1])
    assert list(contexts[1]) == list(real_contexts[0])
    coins = [context["coin"] for context in contexts]
    assert {pair["name"] for pair in meta["universe"]} <= set(coins)
    assert coins[: len(meta["universe"])] != [pair["name"] for pair in meta["universe"]]


@pytest.mark.recordings
def test_predicted_fundings_have_the_recorded_shape(venue: Venue, recordings: Path) -> None:
    ours = {coin: dict(venues) for coin, venues in _ask(venue, type="predictedFundings")}
    real = {coin: dict(venues) for coin, venues in _recorded(recordings, "predicted_fundings.json")}
    assert list(ours["BTC"]) == list(real["BTC"]) == ["BinPerp", "HlPerp", "BybitPerp"]
    assert _shape(ours["BTC"]["HlPerp"]) == _shape(real["BTC"]["HlPerp"])
    assert ours["HYPE"]["BinPerp"] is None
    assert real["HYPE"]["BinPerp"] is None
    assert "fundingIntervalHours" not in ours["MATIC"]["BinPerp"]
    assert ours["MATIC"]["HlPerp"]["fundingRate"] == "0.0"
    assert ours["BTC"]["HlPerp"]["nextFundingTime"] <= venue.now_ms, "a boundary already passed"


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("request_body", "file"),
    [
        ({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 1_753_225_200_000,
                                            "endTime": 1_753_228_800_000}}, "candle_snapshot_BTC_1m.json"),
        ({"type": "fundingHistory", "coin": "BTC", "startTime": 1_753_142_400_000},
         "funding_history_BTC_2026-09-25.json"),
    ],
)  # fmt: skip
def test_rows_have_the_recorded_shape(venue: Venue, recordings: Path, request_body: Any, file: str) -> None:
    ours, real = _ask(venue, **request_body), _recorded(recordings, file)
    assert _shape(ours[0]) == _shape(real[0])
    assert list(ours[0]) == list(real[0])


@pytest.mark.recordings
def test_a_book_has_the_recorded_shape(venue: Venue, recordings: Path) -> None:
    ours, real = _ask(venue, type="l2Book", coin="BTC"), _recorded(recordings, "l2_book_BTC_nsigfigs5.json")
    assert _shape(ours) == _shape(real)
    assert _shape(ours["levels"][0][0]) == _shape(real["levels"][0][0])
    bids, asks = ([float(level["px"]) for level in side] for side in ours["levels"])
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert len(bids) == len(asks) == 20
    assert _ask(venue, type="l2Book", coin="MATIC")["levels"] == [[], []]


def test_mids_follow_the_running_minute_and_leave_out_coins_without_a_book(venue: Venue) -> None:
    states = venue.market.frames(venue.market.by_symbol["BTC"], venue.now_ms)
    venue.now_ms = states[1].at
    mids = _ask(venue, type="allMids")
    assert mids["BTC"] == states[1].c
    assert "MATIC" not in mids
    assert {"@107", "PURR/USDC"} <= set(mids)


def test_funding_history_pages_from_its_start_in_500s(venue: Venue) -> None:
    start = venue.now_ms - 600 * HOUR_MS
    first = _ask(venue, type="fundingHistory", coin="BTC", startTime=start)
    assert len(first) == 500
    second = _ask(venue, type="fundingHistory", coin="BTC", startTime=first[-1]["time"] + 1)
    assert len(second) in (99, 100)
    assert second[0]["time"] > first[-1]["time"]
    assert all(0 < row["time"] % HOUR_MS < 1_000 for row in first)
    assert _ask(venue, type="fundingHistory", coin="MATIC", startTime=start) == []
    assert _ask(venue, type="fundingHistory", coin="NOSUCH", startTime=start) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"meta"', b"\xff", {"type": "weather"}, {"type": None}, {"type": "candleSnapshot"},
     {"type": "meta", "dex": None},
     {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "7m", "startTime": 1, "endTime": 2}},
     {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": "1", "endTime": 2}},
     {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": -5, "endTime": 2}},
     {"type": "fundingHistory", "coin": 7, "startTime": 1}],
)  # fmt: skip
def test_a_bad_body_is_422_in_plain_text(venue: Venue, body: Any) -> None:
    answer = info.answer(venue, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert (answer.status, answer.body.decode()) == (422, info.BAD_BODY)
    assert answer.content_type.startswith("text/plain")
    assert venue.weight.used(venue.now_ms) == 0


def test_what_is_not_listed_answers_as_documented(venue: Venue) -> None:
    window = {"interval": "1m", "startTime": 0, "endTime": 1}
    assert _status(venue, {"type": "candleSnapshot", "req": {"coin": "NOSUCH", **window}}) == 500
    assert _ask(venue, type="l2Book", coin="NOSUCH") is None
    assert _status(venue, {"type": "meta", "dex": "nosuch"}) == 500
    assert _status(venue, {"type": "meta", "dex": ""}) == 200


def test_weight_is_counted_and_the_request_above_the_limit_is_429(venue: Venue) -> None:
    window = {"coin": "BTC", "interval": "1m", "startTime": 0, "endTime": venue.now_ms}
    snapshots = [info.answer(venue, json.dumps({"type": "candleSnapshot", "req": window}).encode()) for _ in range(12)]
    assert [answer.status for answer in snapshots] == [200] * 11 + [429]
    assert venue.weight.used(venue.now_ms) == 11 * 104
    assert snapshots[-1].retry_after_sec == 60
    assert [_status(venue, {"type": "allMids"}) for _ in range(29)] == [200] * 28 + [429], "small ones still fit"
    assert venue.weight.highest == 1_200
    venue.now_ms += MINUTE_MS - 1
    assert _status(venue, {"type": "meta"}) == 429
    venue.now_ms += 1
    assert _status(venue, {"type": "meta"}) == 200


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [("allMids", 0, 2), ("l2Book", 0, 2), ("meta", 0, 20), ("userRole", 0, 60), ("candleSnapshot", 5_000, 104),
     ("candleSnapshot", 1, 21), ("candleSnapshot", 0, 20), ("fundingHistory", 500, 45)],
)  # fmt: skip
def test_weights_are_the_documented_ones(kind: str, rows: int, expected: int) -> None:
    assert weight.of(kind, rows) == expected
