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
from clash_pipeline.clones import compiler
from clash_pipeline.clones.compiler import BranchAsset, compile_graph
from clash_pipeline.clones.graph import Graph, simple_graph
from clash_pipeline.market.listing import Listed
from clash_pipeline.market.read_plan import Depth, ReadEntry
from tests.clones.conftest import listed

EXAMPLE: dict[str, Any] = json.loads((Path(__file__).parent / "example_graph.json").read_text())
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
