"""The registries, contexts and funding answers of the recordings, and answers of another shape."""

import json
from pathlib import Path

import msgspec
import pytest

from clash_pipeline.market.hyperliquid import answers
from clash_pipeline.market.hyperliquid.wire import Rejections, WireRejection


def body(recordings: Path, name: str) -> bytes:
    return (recordings / "hyperliquid" / name).read_bytes()


@pytest.mark.recordings
@pytest.mark.parametrize(("name", "perps"), [("meta.json", 223), ("meta_2023-07-17.json", 28)])
def test_recorded_perp_registries_decode(recordings: Path, name: str, perps: int) -> None:
    meta = answers.decode_meta(body(recordings, name))
    assert len(meta.perps) == perps
    assert [perp.position for perp in meta.perps] == list(range(perps))


@pytest.mark.recordings
def test_the_recorded_spot_registry_decodes(recordings: Path) -> None:
    meta = answers.decode_spot_meta(body(recordings, "spot_meta.json"))
    symbols = [pair.symbol for pair in meta.pairs]
    assert len(symbols) == 199
    assert symbols[:2] == ["PURR/USDC", "@1"]
    assert all(pair.name == pair.symbol for pair in meta.pairs)


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["meta_and_asset_ctxs.json", "meta_and_asset_ctxs_xyz.json"])
def test_recorded_perp_contexts_pair_by_position(recordings: Path, name: str) -> None:
    meta, contexts = answers.decode_meta_and_asset_ctxs(body(recordings, name))
    raw = json.loads(body(recordings, name))
    assert len(contexts) == len(meta.perps) == len(raw[1])
    for perp in meta.perps:
        assert contexts[perp.name].oraclePx == raw[1][perp.position]["oraclePx"]
    delisted = {perp.name for perp in meta.perps if perp.isDelisted}
    assert {name for name, context in contexts.items() if context.midPx is None} == delisted


@pytest.mark.recordings
def test_recorded_spot_contexts_join_on_the_coin_as_their_positions_do_not_pair(recordings: Path) -> None:
    name = "spot_meta_and_asset_ctxs.json"
    meta, contexts = answers.decode_spot_meta_and_asset_ctxs(body(recordings, name))
    raw = json.loads(body(recordings, name))
    assert (len(raw[1]), len(meta.pairs), len(contexts)) == (210, 199, 199)
    assert contexts["@142"].markPx == next(ctx["markPx"] for ctx in raw[1] if ctx["coin"] == "@142")


@pytest.mark.recordings
def test_recorded_predictions_decode_and_leave_out_venues_that_answer_null(recordings: Path) -> None:
    found = answers.decode_predicted_fundings(body(recordings, "predicted_fundings.json"))
    assert [prediction.venue for prediction in found if prediction.coin == "HYPE"] == ["HlPerp"]
    matic = next(p for p in found if (p.coin, p.venue) == ("MATIC", "BinPerp"))
    assert matic.funding.fundingIntervalHours is None


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("funding_history_BTC_2023-05.json", 34),
        ("funding_history_BTC_2023-05_to_07.json", 1_038),
        ("funding_history_BTC_2026-09-25.json", 3),
    ],
)
def test_recorded_funding_histories_decode(recordings: Path, name: str, rows: int) -> None:
    assert len(answers.decode_funding_history(body(recordings, name)) or []) == rows


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["all_mids.json", "all_mids_2023-07-17.json"])
def test_recorded_mids_decode(recordings: Path, name: str) -> None:
    assert answers.decode_all_mids(body(recordings, name))["BTC"] == json.loads(body(recordings, name))["BTC"]


def test_an_unlisted_coin_has_no_history_and_a_new_one_an_empty_history() -> None:
    assert answers.decode_funding_history(b" null\n") is None
    assert answers.decode_funding_history(b"[]") == []


PERP = {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56}
CONTEXT = {"funding": "0.0", "openInterest": "1.0", "dayNtlVlm": "9.0", "oraclePx": "2.0", "markPx": "2.0"}
TIERED = [56, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 40},
                                                  {"lowerBound": "150000000.0", "maxLeverage": 20}]}]  # fmt: skip


def perp_meta(*perps: object, tables: object = (TIERED,)) -> answers.PerpMeta:
    return answers.decode_meta(msgspec.json.encode({"universe": perps, "marginTables": tables}))


def test_margin_tiers_come_from_the_table_or_from_an_id_below_50() -> None:
    meta = perp_meta(PERP, {**PERP, "name": "ATOM", "maxLeverage": 5, "marginTableId": 5})
    tiers = [[(tier.lowerBound, tier.maxLeverage) for tier in meta.tiers(perp)] for perp in meta.perps]
    assert tiers == [[("0.0", 40), ("150000000.0", 20)], [("0.0", 5)]]


def test_a_table_that_was_not_sent_is_one_tier_at_the_assets_leverage() -> None:
    old = {key: value for key, value in PERP.items() if key != "marginTableId"}
    meta = perp_meta({**PERP, "marginTableId": 99}, old, tables=())
    assert [[(t.lowerBound, t.maxLeverage) for t in meta.tiers(perp)] for perp in meta.perps] == [[("0.0", 40)]] * 2


def test_contexts_of_another_number_than_perps_are_all_refused() -> None:
    with pytest.raises(WireRejection, match="unpaired_contexts: 1 perps against 2 contexts"):
        answers.decode_meta_and_asset_ctxs(msgspec.json.encode([{"universe": [PERP]}, [CONTEXT, CONTEXT]]), rejected=[])


def test_a_bad_perp_keeps_the_positions_of_the_others() -> None:
    rejected: Rejections = []
    universe = [PERP, {**PERP, "name": "BAD", "szDecimals": 7}, {**PERP, "name": "ETH"}]
    contexts = [CONTEXT, CONTEXT, {**CONTEXT, "markPx": "3.0"}]
    raw = msgspec.json.encode([{"universe": universe}, contexts])
    meta, found = answers.decode_meta_and_asset_ctxs(raw, rejected=rejected)
    assert [(perp.name, perp.position) for perp in meta.perps] == [("BTC", 0), ("ETH", 2)]
    assert found["ETH"].markPx == "3.0"
    assert [refusal.reason for refusal in rejected] == ["bad_perp"]


def test_a_bad_context_costs_only_its_own_asset() -> None:
    rejected: Rejections = []
    raw = msgspec.json.encode([{"universe": [PERP, {**PERP, "name": "ETH"}]}, [{**CONTEXT, "markPx": 2}, CONTEXT]])
    _, found = answers.decode_meta_and_asset_ctxs(raw, rejected=rejected)
    assert list(found) == ["ETH"]
    assert [refusal.reason for refusal in rejected] == ["bad_context"]


def test_a_spot_pair_of_an_unknown_token_is_refused() -> None:
    rejected: Rejections = []
    tokens = [{"name": "USDC", "szDecimals": 8, "index": 0}, {"name": "PURR", "szDecimals": 0, "index": 1}]
    pairs = [{"tokens": [1, 0], "name": "PURR/USDC", "index": 0}, {"tokens": [9, 0], "name": "@1", "index": 1}]
    raw = msgspec.json.encode({"tokens": tokens, "universe": pairs})
    assert [pair.symbol for pair in answers.decode_spot_meta(raw, rejected=rejected).pairs] == ["PURR/USDC"]
    assert [refusal.reason for refusal in rejected] == ["unknown_token"]


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"null", b'{"universe":[]}', b'{"universe":{}}', b"<html>", b"\xff"])
def test_an_answer_without_a_universe_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(WireRejection, match="bad_meta"):
        answers.decode_meta(raw, rejected=[])
    with pytest.raises(WireRejection, match="bad_spot_meta"):
        answers.decode_spot_meta(raw, rejected=[])


def test_a_bad_prediction_costs_only_itself() -> None:
    rejected: Rejections = []
    good = {"fundingRate": "0.0001", "nextFundingTime": 0, "fundingIntervalHours": 8}
    raw = msgspec.json.encode(
        [["BTC", [["BinPerp", good], ["HlPerp", {"fundingRate": 1}], ["BybitPerp", None]]], ["ETH"], 5]
    )
    found = answers.decode_predicted_fundings(raw, rejected=rejected)
    assert [(prediction.coin, prediction.venue) for prediction in found] == [("BTC", "BinPerp")]
    assert [r.reason for r in rejected] == ["bad_predicted_funding", "bad_predicted_coin", "bad_predicted_coin"]
