"""Pipeline graphs as Hypothesis draws them, over a registry small enough to know by heart."""

from typing import Any

from hypothesis import strategies as st

from clash_pipeline.market.listing import Listed, Tier

PERP_CHANNELS = frozenset({"ohlcv", "rsi", "bollinger", "sma_ema", "macd", "funding"})


def listed(
    symbol: str, category: str, subcategory: str, *, kind: str = "perp", delisted: bool = False, name: str = ""
) -> Listed:
    """One asset; a spot pair has no funding, a delisted asset no channels."""
    channels = frozenset() if delisted else PERP_CHANNELS if kind == "perp" else PERP_CHANNELS - {"funding"}
    return Listed(symbol, kind, 2, 20, (Tier(0, 20),), delisted, channels, category, subcategory, name)


REGISTRY = {
    asset.symbol: asset
    for asset in (
        listed("BTC", "crypto_major", "store_of_value", name="Bitcoin"),
        listed("ETH", "crypto_major", "smart_contracts"),
        listed("SOL", "layer_1", "smart_contracts"),
        listed("PURR/USDC", "meme", "hyperliquid_native", kind="spot"),
        listed("OLD", "layer_1", "payments", delisted=True),
    )
}
TRADED = ("BTC", "SOL", "PURR/USDC")
PROFILES = ("fast", "balanced", "deep")
INCLUSIONS = ("off", "auto", "standard", "required")
KEYS = (
    "hyperliquid.ohlcv", "hyperliquid.rsi", "hyperliquid.funding", "polymarket.immediate", "polymarket.later",
    "polymarket.market", "defillama.capital_flows",
)  # fmt: skip

inclusions = st.sampled_from(INCLUSIONS)
profiles = st.sampled_from(PROFILES)
figures = {
    "lookbackSec": st.sampled_from([60, 3_600, 7_200, 86_400, 30 * 86_400]),
    "granularitySec": st.sampled_from([60, 300, 3_600, 86_400]),
    "points": st.sampled_from([1, 40, 300, 5_000]),
    "inclusion": inclusions,
}
depths = st.fixed_dictionaries({}, optional=figures)
channels = st.dictionaries(st.sampled_from(KEYS), depths, max_size=3)


def policies() -> st.SearchStrategy[dict[str, Any]]:
    """What a stream says of its sources."""
    policy = st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "inclusion": inclusions})
    return st.dictionaries(st.sampled_from(["hyperliquid", "polymarket", "defillama"]), policy)


def blocks() -> st.SearchStrategy[dict[str, Any]]:
    """One block of any source; several may read the same."""
    common = {"retrievalDepth": profiles, **figures}
    of_asset = st.fixed_dictionaries(
        {"source": st.just("hyperliquid"), "channel": st.sampled_from(["ohlcv", "rsi", "funding"])},
        optional={"contextSymbol": st.sampled_from(["BTC", "ETH", "PURR/USDC", "OLD"]), **common},
    )
    odds = st.fixed_dictionaries(
        {"source": st.just("polymarket"), "channel": st.sampled_from(["immediate", "later"])},
        optional={"contextSymbol": st.sampled_from(["BTC", "ETH"]), **common},
    )
    market = st.fixed_dictionaries(
        {"source": st.just("polymarket"), "channel": st.just("market"), "marketSlug": st.just("btc-up")},
        optional=common,
    )
    macro = st.fixed_dictionaries(
        {
            "source": st.just("defillama"),
            "channel": st.just("capital_flows"),
            "scope": st.sampled_from(["global", "chain"]),
        },
        optional=common,
    ).map(lambda block: block | {"subject": "defi" if block["scope"] == "global" else "Solana"})
    return st.one_of(of_asset, odds, market, macro)


def groups() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Group profiles, each group once."""
    by_category = st.dictionaries(st.sampled_from(["crypto_major", "layer_1", "meme"]), profiles)
    by_subcategory = st.dictionaries(st.sampled_from(["store_of_value", "smart_contracts"]), profiles)
    return st.tuples(by_category, by_subcategory).map(
        lambda found: [
            *({"category": name, "profile": profile} for name, profile in found[0].items()),
            *({"subcategory": name, "profile": profile} for name, profile in found[1].items()),
        ]
    )


def stream_configs() -> st.SearchStrategy[dict[str, Any]]:
    """The settings of one stream, from nothing to everything."""
    overrides = st.fixed_dictionaries({}, optional={"profile": profiles, "channels": channels})
    drawn = st.fixed_dictionaries(
        {},
        optional={
            "profile": profiles,
            "sourcePolicy": policies(),
            "profileDefinitions": st.dictionaries(profiles, channels),
            "groupProfiles": groups(),
            "assetOverrides": st.dictionaries(st.sampled_from(TRADED), overrides),
            "blocks": st.lists(blocks(), max_size=4),
        },
    )
    return drawn.map(_with_block_ids)


def graphs(max_streams: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Whole graphs: some streams, one selection of the traded symbols, one prompt, a layout."""
    return st.tuples(
        st.lists(stream_configs(), min_size=1, max_size=max_streams),
        st.lists(st.sampled_from(TRADED), min_size=1, unique=True),
        st.floats(-1e6, 1e6),
    ).map(lambda drawn: whole(*drawn))


def whole(streams: list[dict[str, Any]], symbols: list[str], x: float = 0.0) -> dict[str, Any]:
    """A graph of these streams, all read for these symbols."""
    nodes: list[dict[str, Any]] = [
        {"id": f"stream-{place}", "type": "data_stream", "config": config} for place, config in enumerate(streams)
    ]
    edges = [{"id": f"e{place}", "source": f"stream-{place}", "target": "assets"} for place, _ in enumerate(streams)]
    return {
        "version": 1,
        "nodes": [
            *nodes,
            {"id": "assets", "type": "asset_selection", "config": {"explicitlyEnabledSymbols": symbols}},
            {"id": "prompt", "type": "trading_prompt", "config": {"customBehaviorPrompt": "Trade."}},
        ],
        "edges": [*edges, {"id": "out", "source": "assets", "target": "prompt"}],
        "layout": {"nodes": {"assets": {"x": x, "y": 0}}},
    }


def _with_block_ids(config: dict[str, Any]) -> dict[str, Any]:
    if "blocks" in config:
        config["blocks"] = [block | {"id": f"b{place}"} for place, block in enumerate(config["blocks"])]
    return config
