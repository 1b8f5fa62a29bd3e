"""Validation at save: every problem at once, with code, pointer, sentence, limit and actual number."""

import copy
from typing import Any

import pytest

from clash_pipeline.clones import validation
from clash_pipeline.clones.entitlements import CAPACITIES
from clash_pipeline.clones.graph import Graph, simple_graph
from clash_pipeline.clones.rules import Subject
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


STREAM, ASSETS, PROMPT = (f"/nodes/{index}/config" for index in range(3))


def changed(**of_nodes: Any) -> dict[str, Any]:
    """The simplest graph of BTC with other settings of its nodes, an edge or a layout."""
    content = selection("BTC")
    for name, settings in of_nodes.items():
        if name in ("stream", "assets", "prompt"):
            content["nodes"][("stream", "assets", "prompt").index(name)]["config"].update(settings)
        elif name == "edge":
            content["edges"].append({"id": "more", **settings})
        else:
            content[name] = settings
    return content


def block(**settings: Any) -> dict[str, Any]:
    return {"stream": {"blocks": [{"id": "b", **settings}]}}


CASES: list[tuple[str, dict[str, Any], tuple[str, str], str]] = [
    ("prompt to asset", {"edge": {"source": "prompt-1", "target": "assets-1"}}, ("illegal_edge", "/edges/2"),
     "An edge cannot lead from trading_prompt to asset_selection; streams lead to assets, assets to prompts."),
    ("circle", {"edge": {"source": "prompt-1", "target": "stream-1"}}, ("cycle", "/edges/2"), "in a circle"),
    ("own end", {"edge": {"source": "assets-1", "target": "assets-1"}}, ("cycle", "/edges/2"), "assets-1 → assets-1"),
    ("dangling", {"edge": {"source": "stream-1", "target": "gone"}}, ("dangling_edge", "/edges/2/target"),
     "no node gone"),
    ("to the canvas", {"edge": {"source": "prompt-1", "target": "strategyClone"}}, ("dangling_edge", "/edges/2/target"),
     "connectedPromptNodeIds, not by an edge"),
    ("joined twice", {"edge": {"source": "stream-1", "target": "assets-1"}}, ("duplicate_edge", "/edges/2"), "already"),
    ("unknown", {"assets": {"explicitlyEnabledSymbols": ["BTC", "ETHH"]}},
     ("symbol_unknown", f"{ASSETS}/explicitlyEnabledSymbols/1"), "lists no asset ETHH. Did you mean ETH?"),
    ("letter case", {"assets": {"explicitlyEnabledSymbols": ["BTC", "KPEPE"]}},
     ("symbol_unknown", f"{ASSETS}/explicitlyEnabledSymbols/1"), "Did you mean kPEPE"),
    ("unknown disabled", {"assets": {"explicitlyDisabledSymbols": ["SOOL"]}},
     ("symbol_unknown", f"{ASSETS}/explicitlyDisabledSymbols/0"), "Did you mean SOL"),
    ("delisted", {"assets": {"explicitlyEnabledSymbols": ["BTC", "OLD"]}},
     ("symbol_delisted", f"{ASSETS}/explicitlyEnabledSymbols/1"), "OLD is no longer traded"),
    ("category", {"assets": {"highLevelCategories": ["memes"]}},
     ("category_unknown", f"{ASSETS}/highLevelCategories/0"), "There is no category memes. Did you mean meme"),
    ("far category", {"assets": {"highLevelCategories": ["zzzzzz"]}},
     ("category_unknown", f"{ASSETS}/highLevelCategories/0"), "Known are "),
    ("subcategory", {"assets": {"subcategories": ["layer_one"]}},
     ("category_unknown", f"{ASSETS}/subcategories/0"), "There is no subcategory layer_one. Did you mean layer_1"),
    ("nobody in it", {"assets": {"highLevelCategories": ["defi"]}},
     ("group_empty", f"{ASSETS}/highLevelCategories/0"), "has no perp now"),
    ("group profile of nothing", {"stream": {"groupProfiles": [{"profile": "deep"}]}},
     ("group_unclear", f"{STREAM}/groupProfiles/0"), "one of them"),
    ("group twice", {"stream": {"groupProfiles": [{"category": "meme", "profile": "deep"},
                                                  {"category": "meme", "profile": "fast"}]}},
     ("duplicate_group", f"{STREAM}/groupProfiles/1"), "meme has a profile in this stream already"),
    ("group profile unknown", {"stream": {"groupProfiles": [{"subcategory": "layer_2x", "profile": "deep"}]}},
     ("category_unknown", f"{STREAM}/groupProfiles/0/subcategory"), "no subcategory layer_2x"),
    ("spot funding", block(source="hyperliquid", channel="funding", contextSymbol="PURR/USDC"),
     ("channel_unsupported", f"{STREAM}/blocks/0/channel"), "PURR/USDC is a spot pair without funding."),
    ("channel", block(source="hyperliquid", channel="volume"), ("channel_unknown", f"{STREAM}/blocks/0/channel"),
     "There is no channel “volume”. Hyperliquid has ohlcv, rsi"),
    ("two subjects", block(source="polymarket", channel="market", marketSlug="a", eventSlug="b"),
     ("block_unclear", f"{STREAM}/blocks/0/eventSlug"), "not both"),
    ("slug of spaces", block(source="polymarket", channel="market", marketSlug="will btc rise?"),
     ("subject_malformed", f"{STREAM}/blocks/0/marketSlug"), "cannot be a slug of Polymarket"),
    ("slug of a path", block(source="polymarket", channel="market", eventSlug="../admin"),
     ("subject_malformed", f"{STREAM}/blocks/0/eventSlug"), "cannot be a slug"),
    ("slug with an asset's channel", block(source="polymarket", channel="immediate", marketSlug="a"),
     ("block_unclear", f"{STREAM}/blocks/0/marketSlug"), "Only the channel market goes by slug"),
    ("chain with a slash", block(source="defillama", channel="capital_base", scope="chain", subject="Solana/../x"),
     ("subject_malformed", f"{STREAM}/blocks/0/subject"), "cannot be a chain"),
    ("other global", block(source="defillama", channel="capital_base", scope="global", subject="cefi"),
     ("subject_malformed", f"{STREAM}/blocks/0/subject"), "is defi"),
    ("stablecoin fees", block(source="defillama", channel="economic_throughput", scope="stablecoin", subject="USDT"),
     ("channel_unsupported", f"{STREAM}/blocks/0/channel"), "A stablecoin has no economic_throughput"),
    ("foreign field", block(source="hyperliquid", channel="rsi", marketSlug="x"),
     ("field_of_other_source", f"{STREAM}/blocks/0/marketSlug"), "A Hyperliquid block has no marketSlug."),
    ("no row", block(source="hyperliquid", channel="rsi", lookbackSec=60, granularitySec=300),
     ("depth_empty", f"{STREAM}/blocks/0/granularitySec"), "holds no row"),
    ("ninety minutes", block(source="hyperliquid", channel="rsi", granularitySec=5_400),
     ("granularity_uneven", f"{STREAM}/blocks/0/granularitySec"), "whole hours"),
    ("override of another", {"stream": {"assetOverrides": {"ETH": {"profile": "deep"}}}},
     ("override_unselected", f"{STREAM}/assetOverrides/ETH"), "not among the assets"),
    ("text of another", {"prompt": {"assetOverrides": {"ETH": {"customBehaviorPrompt": "x"}}}},
     ("override_unselected", f"{PROMPT}/assetOverrides/ETH"), "not among the assets"),
    ("override of nobody", {"stream": {"assetOverrides": {"NOPE/X": {}}}},
     ("symbol_unknown", f"{STREAM}/assetOverrides/NOPE~1X"), "lists no asset NOPE/X"),
    ("no text", {"prompt": {"coverageMode": "asset_specific_only"}},
     ("prompt_without_text", f"{PROMPT}/assetOverrides"), "none of its assets has one"),
    ("long text", {"prompt": {"assetOverrides": {"BTC": {"customBehaviorPrompt": "é" * 8_001}}}},
     ("prompt_too_long", f"{PROMPT}/assetOverrides/BTC/customBehaviorPrompt"),
     "at most 4,000 tokens, this one has about 4,001"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "place", "sentence"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_problem_has_its_code_place_and_sentence(
    listing: dict[str, Listed], change: dict[str, Any], place: tuple[str, str], sentence: str
) -> None:
    problems = found(changed(**change), listing)
    assert place in {(problem.code, problem.pointer) for problem in problems}, problems
    (problem,) = [problem for problem in problems if (problem.code, problem.pointer) == place]
    assert sentence in problem.message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"edges": []}, "assets_without_stream"),
        ({"edges": []}, "prompt_without_assets"),
        ({"prompt": {"enabled": False}}, "no_prompt"),
        ({"prompt": {"coverageMode": "asset_specific_only"}}, "prompt_without_text"),
        ({"assets": {"highLevelCategories": ["defi"]}}, "group_empty"),
        ({"stream": {"assetOverrides": {"ETH": {}}}}, "override_unselected"),
    ],
)
def test_what_is_only_unfinished_may_be_a_draft(listing: dict[str, Listed], change: dict[str, Any], code: str) -> None:
    problems = found(changed(**change), listing)
    assert code in {problem.code for problem in problems}
    assert all(problem.is_incomplete for problem in problems)


def test_every_code_of_the_unfinished_is_seen_above() -> None:
    seen = {"assets_without_stream", "prompt_without_assets", "no_prompt", "prompt_without_text", "group_empty"}
    assert seen | {"override_unselected"} == validation.INCOMPLETE


def test_a_trading_clone_among_the_nodes_is_told_where_it_belongs() -> None:
    content = selection("BTC")
    content["nodes"].append({"id": "clone", "type": "trading_clone"})
    with pytest.raises(GraphInvalid) as caught:
        validation.parse(content)
    (problem,) = caught.value.problems
    assert (problem.code, problem.pointer) == ("node_not_executable", "/nodes/3/type")
    assert problem.message == (
        "The Trading Clone block is only drawn: keep it in layout.strategyClone, not among the nodes."
    )


@pytest.mark.parametrize(
    ("ticker", "twin"),
    [("ВТС", "BTC"), ("ΕTΗ", "ETH"), ("ＢＴＣ", "BTC"), ("SОL", "SOL"), ("B\u0301TC", "BTC"), ("BTC\u200b", "BTC")],
)
def test_a_lookalike_ticker_names_the_one_it_resembles(ticker: str, twin: str) -> None:
    with pytest.raises(GraphInvalid) as caught:
        validation.parse(changed(assets={"explicitlyEnabledSymbols": [ticker]}))
    (problem,) = caught.value.problems
    assert problem.code == "symbol_lookalike"
    assert problem.message.endswith(f"Did you mean {twin}?")


def test_a_foreign_ticker_without_a_twin_is_refused_too() -> None:
    with pytest.raises(GraphInvalid, match="cannot be a symbol"):
        validation.parse(changed(assets={"explicitlyEnabledSymbols": ["比特币"]}))


def test_no_sentence_is_pydantics_own(listing: dict[str, Listed]) -> None:
    """Every kind of error that the models raise has words of ours."""
    content: dict[str, Any] = {
        "version": 1,
        "nodes": [
            7,
            {"id": "x"},
            {"id": "a b", "type": "data_stream", "config": {"profile": 1, "blocks": {}, "sourcePolicy": {"x": []}}},
            {"id": "", "type": "asset_selection", "config": {"explicitlyEnabledSymbols": [7], "subcategories": [""]}},
            {"id": "p", "type": "trading_prompt", "config": {"enabled": "yes", "candidatePolicy": {"maxCandidates": 26},
                                                             "customBehaviorPrompt": "x" * 64_001}},
        ],
        "edges": [{"id": "e"}],
        "layout": {"nodes": {"p": {"x": "1", "y": 10**7}}},
    }  # fmt: skip
    with pytest.raises(GraphInvalid) as caught:
        validation.parse(content)
    said = " ".join(problem.message for problem in caught.value.problems)
    assert not [
        word for word in ("Input should", "valid dictionary", "Field required", "discriminator") if word in said
    ]
    assert "form_invalid" not in {problem.code for problem in caught.value.problems}
    assert len(caught.value.problems) == 17


def test_a_grant_lifts_the_candidate_cap(listing: dict[str, Listed]) -> None:
    graph = validation.parse(changed(prompt={"candidatePolicy": {"maxCandidates": 25}}))
    (problem,) = validation.problems(graph, listing, CAPACITIES["pro"])
    assert (problem.code, problem.limit, problem.actual) == ("candidates_need_grant", 10, 25)
    assert validation.problems(graph, listing, CAPACITIES["pro"], candidate_cap=25) == []


def test_a_context_that_was_delisted_since_does_not_block_the_graph(listing: dict[str, Listed]) -> None:
    """The compiler drops the read with its reason; only what is traded must be listed."""
    assert found(changed(**block(source="hyperliquid", channel="rsi", contextSymbol="OLD")), listing) == []


@pytest.mark.parametrize("rule", validation.RULES, ids=lambda rule: rule.__name__)
def test_control_without_a_rule_a_wrong_graph_passes(listing: dict[str, Listed], rule: Any) -> None:
    """Each rule finds something in the cases of this file that no other rule finds."""
    wrong = [changed(**case[1]) for case in CASES] + [
        selection("BTC") | {"layout": {"nodes": {"ghost": {"x": 0, "y": 0}}}},
        selection(*(f"A{number}" for number in range(11))),
        {**selection("BTC"), "edges": [*selection("BTC")["edges"], {"id": "e1", "source": "gone", "target": "gone"}]},
        changed(stream={"profileDefinitions": {"fast": {"hyperliquid.vibes": {}}}}),
        _claimed_twice(),
    ]
    own = {(p.code, p.pointer) for content in wrong for p in rule(_subject(content, listing))}
    others = [other for other in validation.RULES if other is not rule]
    left = {(p.code, p.pointer) for content in wrong for other in others for p in other(_subject(content, listing))}
    assert own - left


def _claimed_twice() -> dict[str, Any]:
    content = selection("BTC")
    content["nodes"].append({"id": "prompt-2", "type": "trading_prompt", "config": {}})
    content["edges"].append({"id": "e3", "source": "assets-1", "target": "prompt-2"})
    return content


def _subject(content: dict[str, Any], listing: dict[str, Listed]) -> Subject:
    return Subject(validation.parse(content), listing, CAPACITIES["pro"], 10)
