"""Validation at save: every problem at once, with code, pointer, sentence, limit and actual number."""

import copy
from typing import Any

import pytest

from clash_pipeline.clones import validation
from clash_pipeline.clones.entitlements import CAPACITIES
from clash_pipeline.clones.graph import Graph, simple_graph
from clash_pipeline.clones.validation import GraphInvalid, Problem
from clash_pipeline.market.listing import Listed
from tests.clones.test_compiler import EXAMPLE


def found(content: dict[str, Any], listing: dict[str, Listed], tier: str = "pro") -> list[Problem]:
    return validation.problems(validation.parse(content), listing, CAPACITIES[tier])


def codes(content: dict[str, Any], listing: dict[str, Listed], tier: str = "pro") -> dict[str, str]:
    return {problem.pointer: problem.code for problem in found(content, listing, tier)}


def selection(*symbols: str) -> dict[str, Any]:
    return simple_graph(symbols).wire()


def test_the_example_of_the_contract_is_valid_and_comes_back_as_it_was(listing: dict[str, Listed]) -> None:
    assert found(EXAMPLE, listing, "starter") == []
    assert Graph.model_validate(EXAMPLE).wire() == EXAMPLE


def test_every_problem_is_reported_at_once(listing: dict[str, Listed]) -> None:
    content = selection("BTC", "NOPE", "OLD", "DOGE")
    content["edges"] += [
        {"id": "e1", "source": "stream-1", "target": "prompt-1"},
        {"id": "e4", "source": "stream-1", "target": "nowhere"},
    ]
    content["nodes"][2]["config"]["customBehaviorPrompt"] = "x" * 16_001
    assert codes(content, listing, "starter") == {
        "/edges/2/id": "duplicate_id",
        "/edges/2": "illegal_edge",
        "/edges/3/target": "dangling_edge",
        "/nodes/1/config/explicitlyEnabledSymbols/1": "symbol_unknown",
        "/nodes/1/config/explicitlyEnabledSymbols/2": "symbol_delisted",
        "/nodes": "too_many_assets",
        "/nodes/2/config/customBehaviorPrompt": "prompt_too_long",
    }


def test_limits_say_limit_and_actual(listing: dict[str, Listed]) -> None:
    (problem,) = found(selection("BTC", "ETH", "SOL", "DOGE"), listing, "starter")
    assert (problem.limit, problem.actual) == (3, 4)
    assert problem.message == "The starter tier allows 3 active assets, this graph has 4."


@pytest.mark.parametrize(
    ("tier", "symbols", "ok"),
    [
        ("starter", 3, True),
        ("starter", 4, False),
        ("builder", 6, True),
        ("builder", 7, False),
        ("pro", 10, True),
        ("pro", 11, False),
    ],
)
def test_ten_active_assets_are_the_hard_cap(listing: dict[str, Listed], tier: str, symbols: int, ok: bool) -> None:
    content = selection(*(f"A{number}" for number in range(symbols)))
    assert (found(content, listing, tier) == []) is ok


def test_prompts_and_links_are_limited(listing: dict[str, Listed]) -> None:
    content = selection("BTC")
    for number in range(2, 6):
        content["nodes"].append({"id": f"stream-{number}", "type": "data_stream", "config": {}})
        content["edges"].append({"id": f"x{number}", "source": f"stream-{number}", "target": "assets-1"})
    content["nodes"].append(
        {"id": "assets-2", "type": "asset_selection", "config": {"explicitlyEnabledSymbols": ["ETH"]}}
    )
    content["nodes"].append({"id": "prompt-2", "type": "trading_prompt", "config": {}})
    content["edges"] += [
        {"id": "y1", "source": "stream-1", "target": "assets-2"},
        {"id": "y2", "source": "assets-2", "target": "prompt-2"},
    ]
    limits = {problem.code: (problem.limit, problem.actual) for problem in found(content, listing, "starter")}
    assert limits == {"too_many_prompts": (1, 2), "too_many_links_per_asset": (3, 5)}


def test_an_asset_is_claimed_once(listing: dict[str, Listed]) -> None:
    content = selection("BTC")
    content["nodes"].append({"id": "prompt-2", "type": "trading_prompt", "config": {}})
    content["edges"].append({"id": "e3", "source": "assets-1", "target": "prompt-2"})
    assert codes(content, listing) == {"/nodes/3": "duplicate_claim"}
    content["nodes"][3]["config"]["enabled"] = False
    assert codes(content, listing) == {}


def test_incomplete_graphs_say_what_is_missing(listing: dict[str, Listed]) -> None:
    content = selection("BTC")
    content["edges"] = []
    assert codes(content, listing) == {"/nodes/1": "assets_without_stream", "/nodes/2": "prompt_without_assets"}
    assert codes({"version": 1, "nodes": []}, listing) == {"/nodes": "no_prompt"}


def test_blocks_name_real_channels_and_their_subject(listing: dict[str, Listed]) -> None:
    content = selection("BTC")
    content["nodes"][0]["config"] = {
        "blocks": [
            {"id": "a", "source": "hyperliquid", "channel": "vibes"},
            {"id": "b", "source": "defillama", "channel": "capital_base"},
            {"id": "c", "source": "polymarket", "channel": "market"},
            {"id": "d", "source": "hyperliquid", "channel": "rsi", "contextSymbol": "NOPE"},
        ],
        "profileDefinitions": {"fast": {"hyperliquid.vibes": {}}},
        "assetOverrides": {"BTC": {"channels": {"a/b": {}}}},
    }
    base = "/nodes/0/config"
    assert codes(content, listing) == {
        f"{base}/blocks/0/channel": "channel_unknown",
        f"{base}/blocks/1": "block_without_subject",
        f"{base}/blocks/2": "block_without_subject",
        f"{base}/blocks/3/contextSymbol": "symbol_unknown",
        f"{base}/profileDefinitions/fast/hyperliquid.vibes": "channel_unknown",
        f"{base}/assetOverrides/BTC/channels/a~1b": "channel_unknown",
    }


def test_the_layout_names_nodes_that_exist(listing: dict[str, Listed]) -> None:
    content = selection("BTC")
    content["layout"] = {
        "nodes": {"ghost": {"x": 0, "y": 0}},
        "strategyClone": {"position": {"x": 0, "y": 0}, "connectedPromptNodeIds": ["stream-1"]},
    }
    assert codes(content, listing) == {
        "/layout/nodes/ghost": "layout_unknown_node",
        "/layout/strategyClone/connectedPromptNodeIds/0": "layout_unknown_node",
    }


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (lambda g: g.update(version=2), "/version"),
        (lambda g: g["nodes"][0].update(type="trading_clone"), "/nodes/0/type"),
        (lambda g: g["nodes"][2]["config"].update(decisionCadenceSec=59), "/nodes/2/config/decisionCadenceSec"),
        (lambda g: g["nodes"][2]["config"].update(decisionCadenceSec="300"), "/nodes/2/config/decisionCadenceSec"),
        (lambda g: g["nodes"][2]["config"].update(decisionCadenceSec=86_401), "/nodes/2/config/decisionCadenceSec"),
        (lambda g: g["nodes"][0]["config"].update(profile="huge"), "/nodes/0/config/profile"),
        (lambda g: g["nodes"][0].update(id=""), "/nodes/0/id"),
        (lambda g: g["nodes"][1]["config"].update(explicitlyEnabledSymbols=["ВТС"]),
         "/nodes/1/config/explicitlyEnabledSymbols/0"),
        (lambda g: g.update(layout={"nodes": {"stream-1": {"x": float("nan"), "y": 0}}}), "/layout/nodes/stream-1/x"),
        (lambda g: g.update(layout={"nodes": {"stream-1": {"x": 10**9, "y": 0}}}), "/layout/nodes/stream-1/x"),
        (lambda g: g.update(surprise=1), "/surprise"),
    ],
)  # fmt: skip
def test_problems_of_form_have_a_pointer(change: Any, pointer: str) -> None:
    content = copy.deepcopy(selection("BTC"))
    change(content)
    with pytest.raises(GraphInvalid) as caught:
        validation.parse(content)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_legacy_fields_are_accepted_and_kept(listing: dict[str, Listed]) -> None:
    content = selection("BTC")
    content["nodes"][2]["config"] |= {"traderType": "swing", "maxAssetsPerRun": 5, "analysisTimeframe": None}
    assert found(content, listing) == []
    assert validation.parse(content).wire() == content


def test_more_candidates_need_a_grant(listing: dict[str, Listed]) -> None:
    content = selection("BTC")
    content["nodes"][2]["config"]["candidatePolicy"] = {"maxCandidates": 11}
    assert codes(content, listing) == {"/nodes/2/config/candidatePolicy/maxCandidates": "candidates_need_grant"}
