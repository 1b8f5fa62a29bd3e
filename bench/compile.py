"""A graph of ten assets: read from bytes, validated, compiled; beside decoding and encoding the same bytes."""

import json
import time
from functools import cache
from typing import Any

import msgspec

from bench.harness import Bench, Contender
from clash_pipeline import canonical
from clash_pipeline.clones import reading, validation
from clash_pipeline.clones.compiler import compile_graph
from clash_pipeline.clones.entitlements import CAPACITIES
from clash_pipeline.market.listing import Listed, Tier

ASSETS = 10
LISTED = 500
CHANNELS = frozenset({"ohlcv", "rsi", "bollinger", "sma_ema", "macd", "funding"})


class Prepared:
    """What the contenders work on, and how long each round took, in seconds."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.listing = listing()
        self.content = json.dumps(graph()).encode()
        self.graph = reading.read(self.content)
        self.result = canonical.encode(compile_graph(self.graph, self.listing))
        self.took: list[float] = []

    def times(self, work: Any) -> int:
        """Do the work for every round, each timed."""
        for _ in range(self.rounds):
            started = time.perf_counter()
            work()
            self.took.append(time.perf_counter() - started)
        return self.rounds


def benches(quick: bool) -> tuple[Bench, ...]:
    """One table for each step from bytes to a version."""
    prepare = prepared_quick if quick else prepared
    floor = Contender("json decode + encode of the result", "floor", prepare, by_json, latency)
    return (
        Bench(
            "compile", f"Compile a graph of {ASSETS} assets, {LISTED} listed", "graphs",
            (floor, Contender("clash compile and hash", "ours", prepare, compiled, latency)), 7,
        ),
        Bench(
            "validate", "Read and validate the same graph", "graphs",
            (
                Contender("json decode + encode of the graph", "floor", prepare, by_json_graph, latency),
                Contender("clash read and validate", "ours", prepare, validated, latency),
                Contender("of it: read from bytes", "peer", prepare, read, latency),
            ), 7,
        ),
    )  # fmt: skip


@cache
def prepared() -> Prepared:
    """A few hundred rounds."""
    return Prepared(200)


@cache
def prepared_quick() -> Prepared:
    """Enough to see that it works."""
    return Prepared(20)


def latency(prepared: Prepared) -> dict[str, float]:
    """Median and 99th percentile of the last rounds, in milliseconds."""
    took = sorted(prepared.took)
    prepared.took = []
    return {"p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[int(len(took) * 0.99)] * 1e3}


def compiled(prepared: Prepared) -> int:
    """The product's compiler, with the identity of a version."""
    return prepared.times(lambda: compile_graph(prepared.graph, prepared.listing).digest)


def validated(prepared: Prepared) -> int:
    """From bytes to the list of problems."""
    pro = CAPACITIES["pro"]
    return prepared.times(lambda: validation.problems(reading.read(prepared.content), prepared.listing, pro))


def read(prepared: Prepared) -> int:
    """From bytes to the models."""
    return prepared.times(lambda: reading.read(prepared.content))


def by_json(prepared: Prepared) -> int:
    """The result as plain objects, there and back."""
    return prepared.times(lambda: msgspec.json.encode(msgspec.json.decode(prepared.result)))


def by_json_graph(prepared: Prepared) -> int:
    """The graph as plain objects, there and back."""
    return prepared.times(lambda: msgspec.json.encode(msgspec.json.decode(prepared.content)))


def listing() -> dict[str, Listed]:
    """A registry of the venue's size, in twenty categories of four subcategories each."""
    return {
        f"A{number}": Listed(
            f"A{number}", "perp", 2, 20, (Tier(0, 20),), False, CHANNELS, f"c{number % 20}", f"s{number % 80}"
        )
        for number in range(LISTED)
    }


def graph() -> dict[str, Any]:
    """Ten assets, five of them by subcategory, two streams with overrides and blocks, three prompts' worth of text."""
    symbols = [f"A{number}" for number in range(ASSETS)]
    blocks = [
        {"id": f"b{number}", "source": "hyperliquid", "channel": "rsi", "contextSymbol": f"A{number + 20}",
         "retrievalDepth": "deep", "inclusion": "standard"}
        for number in range(6)
    ]  # fmt: skip
    macro = {"id": "m", "source": "defillama", "channel": "capital_flows", "scope": "chain", "subject": "Solana"}
    streams = [
        {
            "profile": "deep",
            "groupProfiles": [{"category": f"c{number}", "profile": "balanced"} for number in range(5)],
            "assetOverrides": {
                symbol: {"profile": "fast", "channels": {"hyperliquid.macd": {"lookbackSec": 7_200}}}
                for symbol in symbols[:5]
            },
            "blocks": [*blocks, macro],
        },
        {"profile": "fast", "sourcePolicy": {"polymarket": {"enabled": False}}, "blocks": [macro]},
    ]
    return {
        "version": 1,
        "nodes": [
            *({"id": f"s{place}", "type": "data_stream", "config": config} for place, config in enumerate(streams)),
            {"id": "assets", "type": "asset_selection", "config": {"explicitlyEnabledSymbols": symbols}},
            {"id": "prompt", "type": "trading_prompt", "config": {"customBehaviorPrompt": "Trade the trend. " * 60}},
        ],
        "edges": [
            {"id": "e0", "source": "s0", "target": "assets"},
            {"id": "e1", "source": "s1", "target": "assets"},
            {"id": "e2", "source": "assets", "target": "prompt"},
        ],
        "layout": {"nodes": {"s0": {"x": 0, "y": 0}, "s1": {"x": 0, "y": 200}, "assets": {"x": 300, "y": 100}}},
    }
