"""Precedence of 02 B against a second model, written from the words of the contract and from nothing else.

The model works on the plain JSON of a graph and calls nothing of ours but the compiler under test.
"""

from typing import Any

import pytest
from hypothesis import given

from clash_pipeline.clones import precedence
from clash_pipeline.clones.compiler import compile_graph
from clash_pipeline.clones.reading import parse
from tests.fakes.graphs import REGISTRY, graphs, whole

CANDLES = {
    "fast": [(3_600, 60, 60)],
    "balanced": [(3_600, 60, 60), (21_600, 3_600, 6)],
    "deep": [(86_400, 300, 288), (604_800, 3_600, 168)],
}
FUNDING = {"fast": [(14_400, 3_600, 4)], "balanced": [(43_200, 3_600, 12)], "deep": [(172_800, 3_600, 48)]}
IMMEDIATE = {"fast": [(3_600, 0, 1)], "balanced": [(3_600, 0, 1)], "deep": [(21_600, 0, 12)]}
LATER = {"fast": [], "balanced": [(14_400, 0, 1)], "deep": [(86_400, 0, 24)]}
MACRO = {"fast": [(172_800, 0, 1)], "balanced": [(86_400, 3_600, 24)], "deep": [(604_800, 3_600, 168)]}
BUILT_IN = {
    **{f"hyperliquid.{name}": CANDLES for name in ("ohlcv", "rsi", "bollinger", "sma_ema", "macd")},
    "hyperliquid.funding": FUNDING,
    "polymarket.immediate": IMMEDIATE,
    "polymarket.market": IMMEDIATE,
    "polymarket.later": LATER,
    **{f"defillama.{name}": MACRO for name in ("capital_base", "capital_flows", "economic_throughput")},
}
RANK = ["auto", "standard", "required"]
Read = tuple[Any, ...]


@given(graphs())
def test_the_compiler_reads_what_the_second_model_reads(content: dict[str, Any]) -> None:
    assert compiled_reads(content) == expected_reads(content)


def test_control_another_order_of_precedence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the general before the particular, the two models part."""
    config = {
        "profileDefinitions": {"balanced": {"hyperliquid.rsi": {"lookbackSec": 7_200}}},
        "assetOverrides": {"BTC": {"channels": {"hyperliquid.rsi": {"lookbackSec": 600}}}},
    }
    content = whole([config], ["BTC"])
    assert compiled_reads(content) == expected_reads(content)
    named = precedence._last_named
    monkeypatch.setattr(precedence, "_last_named", lambda said, name: named(list(reversed(said)), name))
    assert compiled_reads(content) != expected_reads(content)


def compiled_reads(content: dict[str, Any]) -> set[Read]:
    made = compile_graph(parse(content), REGISTRY)
    return {
        (
            entry.symbol, entry.context_symbol, f"{entry.source}.{entry.channel}", entry.scope, entry.subject,
            entry.market, entry.granularity_sec, entry.lookback_sec, entry.points, entry.inclusion,
        )
        for branch in made.branches for asset in branch.assets for entry in asset.plan.entries
    }  # fmt: skip


def expected_reads(content: dict[str, Any]) -> set[Read]:
    """Of reads of the same rows the widest, over all streams."""
    streams = [node["config"] for node in content["nodes"] if node["type"] == "data_stream"]
    symbols = next(node["config"] for node in content["nodes"] if node["type"] == "asset_selection")
    widest: dict[Read, tuple[int, int, str]] = {}
    for symbol in symbols["explicitlyEnabledSymbols"]:
        for config in streams:
            for *key, lookback, points, inclusion in of_stream(config, symbol):
                other = widest.get(tuple(key), (0, 0, "auto"))
                ranked = max(inclusion, other[2], key=RANK.index)
                widest[tuple(key)] = (max(lookback, other[0]), max(points, other[1]), ranked)
    return {(*key, *value) for key, value in widest.items()}


def of_stream(config: dict[str, Any], symbol: str) -> list[Read]:
    """A block decides the read of its subject; the channels that no block decides follow the profile."""
    found: list[Read] = []
    decided = set()
    for block in config.get("blocks", []):
        key = f"{block['source']}.{block['channel']}"
        subject = (
            block.get("contextSymbol", symbol), key, block.get("scope", ""), block.get("subject", ""),
            block.get("marketSlug", ""),
        )  # fmt: skip
        decided.add(subject)
        found += reads(config, symbol, subject, block)
    for key in BUILT_IN:
        macro = ("global", "defi") if key.startswith("defillama") else ("", "")
        subject = (symbol, key, *macro, "")
        if key != "polymarket.market" and subject not in decided:
            found += reads(config, symbol, subject, {})
    return found


def reads(config: dict[str, Any], symbol: str, subject: tuple[str, ...], block: dict[str, Any]) -> list[Read]:
    context, key, *_ = subject
    policy = config.get("sourcePolicy", {}).get(key.split(".")[0], {})
    if policy.get("enabled", True) is False or not has_memory(context, key):
        return []
    profile = block.get("retrievalDepth") or profile_of(config, symbol)
    own = config.get("assetOverrides", {}).get(symbol, {}).get("channels", {}).get(key, {}) if context == symbol else {}
    edited = config.get("profileDefinitions", {}).get(profile, {}).get(key, {})
    said = {**edited, **{name: block[name] for name in block if name in DEPTH}, **own}  # the later wins, field by field
    inclusion = said.get("inclusion") or policy.get("inclusion", "auto")
    if inclusion == "off":
        return []
    depths = BUILT_IN[key][profile]
    if said.keys() & {"lookbackSec", "granularitySec", "points"}:
        depths = [one_depth(said, depths[0] if depths else (3_600, 60, 60))]
    return [(symbol, *subject, granularity, lookback, points, inclusion) for lookback, granularity, points in depths]


DEPTH = ("lookbackSec", "granularitySec", "points", "inclusion")


def one_depth(said: dict[str, Any], base: tuple[int, int, int]) -> tuple[int, int, int]:
    lookback = said.get("lookbackSec", base[0])
    granularity = said.get("granularitySec", base[1])
    if granularity == 0:
        return lookback, 0, said.get("points", base[2])
    return lookback, granularity, min(said.get("points", 5_000), max(lookback // granularity, 1))


def profile_of(config: dict[str, Any], symbol: str) -> str:
    asset = REGISTRY[symbol]
    groups = config.get("groupProfiles", [])
    by_subcategory = [group["profile"] for group in groups if group.get("subcategory") == asset.subcategory]
    by_category = [group["profile"] for group in groups if group.get("category") == asset.category]
    own = config.get("assetOverrides", {}).get(symbol, {}).get("profile")
    return next(iter([*filter(None, [own]), *by_subcategory, *by_category, config.get("profile", "balanced")]))


def has_memory(context: str, key: str) -> bool:
    if not key.startswith("hyperliquid."):
        return True
    asset = REGISTRY[context]
    return not asset.is_delisted and not (asset.kind == "spot" and key == "hyperliquid.funding")
