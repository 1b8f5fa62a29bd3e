"""The compiler: the same bytes whatever the order, layout without effect, precedence, cross-asset reads."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline import canonical
from clash_pipeline.clones import budgets, compiler, reading, validation
from clash_pipeline.clones.compiler import BranchAsset, compile_graph
from clash_pipeline.clones.entitlements import CAPACITIES
from clash_pipeline.clones.graph import Graph, simple_graph
from clash_pipeline.clones.reading import parse
from clash_pipeline.market.hyperliquid import answers, registry
from clash_pipeline.market.listing import Listed
from clash_pipeline.market.read_plan import Depth, ReadEntry
from clash_pipeline.replay import listing as market_listing
from tests.clones.conftest import listed
from tests.fakes.graphs import REGISTRY as SMALL
from tests.fakes.graphs import graphs, whole

EXAMPLE: dict[str, Any] = json.loads((Path(__file__).parent / "example_graph.json").read_text())
EXAMPLES = Path(__file__).resolve().parents[2] / "doc" / "examples"
REGISTRY = {symbol: listed(symbol) for symbol in ("BTC", "ETH", "SOL")}


def compiled(content: dict[str, Any], registry: dict[str, Listed] = REGISTRY) -> compiler.Compiled:
    return compile_graph(Graph.model_validate(content), registry)


def asset(made: compiler.Compiled, symbol: str) -> BranchAsset:
    return next(item for branch in made.branches for item in branch.assets if item.symbol == symbol)


def reads(made: compiler.Compiled, symbol: str, channel: str) -> list[ReadEntry]:
    return [entry for entry in asset(made, symbol).plan.entries if entry.channel == channel]


def stream(content: dict[str, Any]) -> dict[str, Any]:
    return dict(content["nodes"][0]["config"])


@given(st.randoms(use_true_random=False))
def test_the_order_of_everything_does_not_matter(source: Any) -> None:
    """Nodes, edges, blocks, symbols and the keys of every object shuffled: identical bytes."""
    shuffled = shuffle(copy.deepcopy(EXAMPLE), source)
    assert canonical.encode(compiled(shuffled)) == canonical.encode(compiled(EXAMPLE))


def shuffle(value: Any, source: Any) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {key: shuffle(value[key], source) for key in keys}
    if isinstance(value, list):
        items = [shuffle(item, source) for item in value]
        source.shuffle(items)
        return items
    return value


def test_the_layout_is_never_compiled() -> None:
    moved = copy.deepcopy(EXAMPLE)
    moved["layout"] = {"nodes": {"stream-1": {"x": 7, "y": 9}}}
    assert compiled(moved).digest == compiled(EXAMPLE).digest
    told = copy.deepcopy(EXAMPLE)
    told["nodes"][2]["config"]["customBehaviorPrompt"] = "Do otherwise."
    assert compiled(told).digest != compiled(EXAMPLE).digest


def test_another_process_gives_the_same_hash() -> None:
    program = (
        "import sys, json; from tests.clones.test_compiler import EXAMPLE, compiled; print(compiled(EXAMPLE).digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True,
        env={"PYTHONHASHSEED": "7", "PATH": ""},
    )  # fmt: skip
    assert done.stdout.strip() == compiled(EXAMPLE).digest, done.stderr


def test_the_universe_names_how_each_symbol_was_selected() -> None:
    """crypto_major brings BTC, ETH and SOL; BTC and SOL are named; ETH is disabled."""
    made = compiled(EXAMPLE)
    assert [(item.symbol, item.selection) for item in made.branches[0].assets] == [
        ("BTC", "explicit"),
        ("SOL", "explicit"),
    ]


def test_groups_bring_listed_perps(listing: dict[str, Listed]) -> None:
    content = simple_graph(()).wire()
    content["nodes"][1]["config"] = {"highLevelCategories": ["meme"]}
    assert compiled(content, listing).symbols == ("DOGE", "kPEPE")


def test_a_spot_asset_has_no_funding_to_read(listing: dict[str, Listed]) -> None:
    made = compiled(simple_graph(("PURR/USDC",)).wire(), listing)
    assert reads(made, "PURR/USDC", "funding") == []
    assert len(reads(made, "PURR/USDC", "ohlcv")) == 2


def test_a_block_of_another_asset_is_a_cross_asset_read() -> None:
    cross = [entry for entry in asset(compiled(EXAMPLE), "BTC").plan.entries if entry.context_symbol == "ETH"]
    assert [(entry.symbol, entry.channel, entry.lookback_sec, entry.points) for entry in cross] == [
        ("BTC", "rsi", 3_600, 60)
    ]


def test_a_block_that_its_subject_cannot_have_is_dropped_with_the_reason(listing: dict[str, Listed]) -> None:
    content = simple_graph(("BTC",)).wire()
    content["nodes"][0]["config"]["blocks"] = [
        {"id": "b1", "source": "hyperliquid", "channel": "funding", "contextSymbol": "PURR/USDC"},
        {"id": "b2", "source": "hyperliquid", "channel": "rsi", "contextSymbol": "OLD"},
    ]
    dropped = asset(compiled(content, listing), "BTC").plan.dropped
    assert [(item.block, item.reason) for item in dropped] == [
        ("b2", "context_delisted"),
        ("b1", "channel_unsupported"),
    ]


def test_the_example_follows_the_precedence_of_the_contract() -> None:
    """Per asset > group > stream > built-in: SOL is fast by override, without funding; BTC's RSI is edited."""
    made = compiled(EXAMPLE)
    assert reads(made, "SOL", "funding") == []
    assert [(e.lookback_sec, e.granularity_sec, e.points) for e in reads(made, "SOL", "macd")] == [Depth(3_600, 60, 60)]
    own = [entry for entry in reads(made, "BTC", "rsi") if entry.context_symbol == "BTC"]
    assert [(e.lookback_sec, e.granularity_sec, e.points) for e in own] == [Depth(7_200, 60, 120)]
    assert {(e.granularity_sec, e.inclusion, e.block) for e in reads(made, "BTC", "ohlcv")} == {
        (300, "required", "b1"), (3_600, "required", "b1"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "lookback"),
    [
        ({"profile": "fast"}, 3_600),
        ({"profile": "deep"}, 86_400),
        ({"profile": "fast", "groupProfiles": [{"category": "crypto_major", "profile": "deep"}]}, 86_400),
        ({"profile": "fast", "groupProfiles": [{"category": "crypto_major", "profile": "deep"}],
          "assetOverrides": {"BTC": {"profile": "fast"}}}, 3_600),
        ({"profile": "fast", "profileDefinitions": {"fast": {"hyperliquid.macd": {"lookbackSec": 120}}}}, 120),
        ({"profile": "fast", "profileDefinitions": {"fast": {"hyperliquid.macd": {"lookbackSec": 120}}},
          "assetOverrides": {"BTC": {"channels": {"hyperliquid.macd": {"lookbackSec": 180}}}}}, 180),
    ],
)  # fmt: skip
def test_each_step_of_the_precedence(config: dict[str, Any], lookback: int) -> None:
    content = simple_graph(("BTC",)).wire()
    content["nodes"][0]["config"] = config
    assert reads(compiled(content), "BTC", "macd")[0].lookback_sec == lookback


def test_a_source_that_is_off_is_not_read() -> None:
    content = simple_graph(("BTC",)).wire()
    content["nodes"][0]["config"] = {
        "sourcePolicy": {"polymarket": {"enabled": False}, "defillama": {"inclusion": "off"}}
    }
    assert {entry.source for entry in asset(compiled(content), "BTC").plan.entries} == {"hyperliquid"}


@pytest.mark.parametrize(
    ("mode", "btc", "sol"),
    [
        ("global", ("all", None), ("all", None)),
        ("global_with_asset_overrides", ("all", None), ("mine", None)),
        ("asset_specific_only", ("", "no_asset_prompt"), ("mine", None)),
    ],
)
def test_coverage_modes(mode: str, btc: tuple[str, str | None], sol: tuple[str, str | None]) -> None:
    content = simple_graph(("BTC", "SOL")).wire()
    content["nodes"][2]["config"] = {
        "customBehaviorPrompt": "all",
        "coverageMode": mode,
        "assetOverrides": {"SOL": {"customBehaviorPrompt": "mine"}},
    }
    made = compiled(content)
    assert [(asset(made, symbol).prompt, asset(made, symbol).skipped) for symbol in ("BTC", "SOL")] == [btc, sol]


def test_two_streams_that_read_the_same_are_read_once_and_widest() -> None:
    content = simple_graph(("BTC",)).wire()
    content["nodes"].append(
        {
            "id": "stream-2",
            "type": "data_stream",
            "config": {"profileDefinitions": {"balanced": {"hyperliquid.funding": {"lookbackSec": 144_000}}}},
        }
    )
    content["edges"].append({"id": "e3", "source": "stream-2", "target": "assets-1"})
    (funding,) = reads(compiled(content), "BTC", "funding")
    assert funding.points == 40


def test_what_was_compiled_is_read_back() -> None:
    made = compiled(EXAMPLE)
    assert compiler.decode(canonical.encode(made)) == made


# the universe, budgets and what is left out


def test_the_universe_has_display_metadata_and_support_flags() -> None:
    made = compile_graph(parse(whole([{}], ["BTC", "PURR/USDC"])), SMALL)
    bitcoin, purr = made.universe
    assert (bitcoin.symbol, bitcoin.name, bitcoin.kind, bitcoin.selection) == ("BTC", "Bitcoin", "perp", "explicit")
    assert (bitcoin.can_trade, "funding" in bitcoin.channels) == (True, True)
    assert (purr.name, purr.kind, purr.category, "funding" in purr.channels) == ("PURR/USDC", "spot", "meme", False)


def test_an_asset_delisted_since_can_no_longer_be_traded_or_read() -> None:
    made = compile_graph(parse(whole([{}], ["BTC"])), {"BTC": listed("BTC", delisted=True)})
    assert [asset.can_trade for asset in made.universe] == [False]
    plan = asset(made, "BTC").plan
    assert {item.reason for item in plan.dropped} == {"context_delisted"}
    assert {entry.source for entry in plan.entries} == {"polymarket", "defillama"}


@pytest.mark.parametrize(
    ("block", "symbol", "reason"),
    [
        ({"source": "hyperliquid", "channel": "funding"}, "PURR/USDC", "channel_unsupported"),
        ({"source": "hyperliquid", "channel": "rsi", "contextSymbol": "OLD"}, "BTC", "context_delisted"),
        ({"source": "hyperliquid", "channel": "rsi", "contextSymbol": "NEW"}, "BTC", "context_unknown"),
        ({"source": "hyperliquid", "channel": "rsi", "inclusion": "off"}, "BTC", "switched_off"),
        ({"source": "polymarket", "channel": "immediate"}, "BTC", "source_disabled"),
        ({"source": "polymarket", "channel": "later", "retrievalDepth": "fast"}, "BTC", "source_disabled"),
    ],
)
def test_a_block_that_reads_nothing_says_why(block: dict[str, Any], symbol: str, reason: str) -> None:
    config = {"sourcePolicy": {"polymarket": {"enabled": False}}, "blocks": [{"id": "b", **block}]}
    plan = asset(compile_graph(parse(whole([config], [symbol])), SMALL), symbol).plan
    assert [item.reason for item in plan.dropped if item.block == "b"] == [reason]
    assert not [entry for entry in plan.entries if entry.block == "b"]


def test_a_profile_without_the_channel_drops_its_block() -> None:
    config = {"profile": "fast", "blocks": [{"id": "b", "source": "polymarket", "channel": "later"}]}
    plan = asset(compile_graph(parse(whole([config], ["BTC"])), SMALL), "BTC").plan
    assert [item.reason for item in plan.dropped] == ["not_in_profile"]


def test_chains_are_read_by_the_name_that_memory_has() -> None:
    written = {"id": "b", "source": "defillama", "channel": "capital_base", "scope": "chain", "subject": "optimism"}
    made = compile_graph(parse(whole([{"blocks": [written]}], ["BTC"])), SMALL)
    assert ("chain", "OP Mainnet") in made.subjects


def test_what_strategies_name_can_be_asked_for() -> None:
    made = compiled(EXAMPLE)
    assert made.markets == ("btc-updown-5m-1773307200",)
    assert made.subjects == (("chain", "Solana"), ("global", "defi"))


def test_budgets_follow_from_the_plan_and_the_text() -> None:
    made = compile_graph(parse(whole([{"profile": "fast"}], ["BTC", "SOL"])), SMALL)
    (branch,) = made.branches
    for item in branch.assets:
        assert item.budget is not None
        assert item.budget.points == sum(entry.points for entry in item.plan.entries)
        rows = sum(entry.points * budgets.ROW_TOKENS[entry.channel] for entry in item.plan.entries)
        assert item.budget.tokens == rows + budgets.ENTRY_TOKENS * len(item.plan.entries) + budgets.tokens("Trade.")
    assert branch.budget == budgets.of_branch(branch.assets)
    assert branch.budget is not None
    assert branch.budget.points == 2 * 308  # five channels of 60, funding 4, odds 1, three macro rows


def test_a_skipped_asset_costs_nothing() -> None:
    content = whole([{}], ["BTC", "SOL"])
    content["nodes"][-1]["config"] |= {
        "coverageMode": "asset_specific_only",
        "assetOverrides": {"BTC": {"customBehaviorPrompt": "mine"}, "SOL": {"enabled": False}},
    }
    (branch,) = compile_graph(parse(content), SMALL).branches
    assert [(item.symbol, item.skipped) for item in branch.assets] == [("BTC", None), ("SOL", "asset_disabled")]
    assert branch.budget == branch.assets[0].budget


@given(graphs(), st.randoms(use_true_random=False))
def test_any_graph_compiles_to_the_same_bytes_in_any_order(content: dict[str, Any], source: Any) -> None:
    made = compile_graph(parse(content), SMALL)
    shuffled_registry = dict(source.sample(sorted(SMALL.items()), len(SMALL)))
    other = compile_graph(parse(shuffle(copy.deepcopy(content), source)), shuffled_registry)
    assert canonical.encode(other) == canonical.encode(made)
    assert compiler.decode(canonical.encode(made)) == made


def test_control_an_order_that_shows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sorting, two orders of the same nodes give two hashes."""
    config = {"profileDefinitions": {"balanced": {"hyperliquid.rsi": {"points": 9}}}}
    content = whole([{"profile": "fast"}, config], ["BTC"])
    turned = content | {"nodes": list(reversed(content["nodes"]))}
    assert compile_graph(parse(content), SMALL) == compile_graph(parse(turned), SMALL)
    monkeypatch.setattr(compiler, "_widest", lambda entries: tuple(entries))
    assert compile_graph(parse(content), SMALL) != compile_graph(parse(turned), SMALL)


# versions that were compiled earlier

FORMAT_1 = (
    '{"branches":[{"assets":[{"plan":{"dropped":[],"entries":[{"channel":"rsi","context_symbol":"BTC",'
    '"granularity_sec":60,"inclusion":"auto","lookback_sec":3600,"points":60,"source":"hyperliquid","symbol":"BTC"}],'
    '"symbol":"BTC"},"prompt":"","selection":"explicit","skipped":null,"symbol":"BTC"}],"cadence_sec":300,'
    '"id":"prompt-1","max_candidates":10,"max_data_age_sec":300,"min_volume_24h_usd":0}],"format":1}'
)


def test_a_version_of_the_first_format_decodes_and_keeps_its_hash() -> None:
    made = compiler.decode(FORMAT_1)
    assert made.symbols == ("BTC",)
    assert (made.universe, made.branches[0].budget) == ((), None)
    assert made.digest == canonical.sha256(FORMAT_1.encode())


def test_a_version_of_a_newer_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 3 is newer than 2"):
        compiler.decode('{"branches":[],"format":3}')


@pytest.mark.parametrize("name", ["majors-trend", "layer1-mean-reversion", "btc-led-alts"])
def test_the_examples_are_valid_on_the_synthetic_market(name: str) -> None:
    graph = reading.read((EXAMPLES / name / "graph.json").read_bytes())
    market = synthetic()
    assert validation.problems(graph, market, CAPACITIES["starter"]) == []
    made = compile_graph(graph, market)
    assert not [item for branch in made.branches for each in branch.assets for item in each.plan.dropped]


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["majors-trend", "layer1-mean-reversion", "btc-led-alts"])
def test_the_examples_are_valid_on_the_recorded_registries(name: str, recordings: Path) -> None:
    folder = recordings / "hyperliquid"
    perps = answers.decode_meta((folder / "meta.json").read_bytes())
    spots = answers.decode_spot_meta((folder / "spot_meta.json").read_bytes())
    graph = reading.read((EXAMPLES / name / "graph.json").read_bytes())
    assert validation.problems(graph, of_registry(perps, spots), CAPACITIES["starter"]) == []


def test_the_cross_asset_example_reads_what_it_does_not_trade() -> None:
    graph = reading.read((EXAMPLES / "btc-led-alts" / "graph.json").read_bytes())
    made = compile_graph(graph, synthetic())
    assert made.symbols == ("AVAX", "SOL")
    for symbol in made.symbols:
        foreign = {
            (e.channel, e.context_symbol) for e in asset(made, symbol).plan.entries if e.context_symbol != symbol
        }
        assert foreign == {("ohlcv", "BTC"), ("macd", "BTC"), ("immediate", "BTC")}
    assert made.subjects == (("chain", "Avalanche"), ("chain", "Solana"))


def synthetic() -> dict[str, Listed]:
    """The registry of the demo's market."""
    meta = answers.decode_meta(json.dumps(market_listing.meta(market_listing.PERPS)).encode())
    return of_registry(meta, answers.decode_spot_meta(json.dumps(market_listing.spot_meta()).encode()))


def of_registry(perps: answers.PerpMeta, spots: answers.SpotMeta) -> dict[str, Listed]:
    return {
        found.symbol: Listed(
            found.symbol, found.kind, found.sz_decimals, found.max_leverage, (), found.is_delisted,
            frozenset(found.channels), found.category, found.subcategory, found.display_name,
        )
        for found in registry.from_wire(perps, spots)
    }  # fmt: skip
