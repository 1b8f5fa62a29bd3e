"""The compiler: graph + registry → strategy branches with a read plan for each asset. Pure; layout never reaches it.

The result is sorted throughout, so that a graph gives the same bytes whatever the order of its nodes and edges. Its
SHA-256 is the identity of a version.
"""

from collections.abc import Iterable, Iterator

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clones.graph import (
    AssetSelectionNode,
    Block,
    ChannelDepth,
    DataStreamConfig,
    DataStreamNode,
    Graph,
    TradingPromptConfig,
    TradingPromptNode,
)
from clash_pipeline.market.listing import Listed, Listing
from clash_pipeline.market.read_plan import CHANNELS, Depth, Dropped, ReadEntry, ReadPlan, built_in

FORMAT = 1
GLOBAL_SUBJECT = ("global", "defi")
"""The DefiLlama subject a stream reads without being told another."""


class BranchAsset(msgspec.Struct, frozen=True, order=True):
    """One traded asset of a branch: why it is in, what it is told, what it reads; `skipped` says why it is left out."""

    symbol: str
    selection: str
    prompt: str
    skipped: str | None
    plan: ReadPlan


class Branch(msgspec.Struct, frozen=True, order=True):
    """One enabled prompt node and the assets that it claims."""

    id: str
    cadence_sec: int
    max_candidates: int
    min_volume_24h_usd: int
    max_data_age_sec: int
    assets: tuple[BranchAsset, ...]


class Compiled(msgspec.Struct, frozen=True):
    """What a version really is."""

    format: int
    branches: tuple[Branch, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return canonical.digest(self)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every active asset, sorted."""
        return tuple(sorted({asset.symbol for branch in self.branches for asset in branch.assets}))


def compile_graph(graph: Graph, listing: Listing) -> Compiled:
    """Compile a valid graph against the registry."""
    branches = (_branch(graph, prompt, listing) for prompt in graph.prompts if prompt.config.enabled)
    return Compiled(FORMAT, tuple(sorted(branches, key=lambda branch: branch.id)))


def decode(content: str | bytes) -> Compiled:
    """What was compiled and stored earlier."""
    return msgspec.json.decode(content, type=Compiled)


def universe(selection: AssetSelectionNode, listing: Listing) -> dict[str, str]:
    """The trade universe of a selection: symbol → `explicit`, `subcategory` or `category`.

    Disabled symbols are out whatever brought them in. Groups bring no delisted asset in; a delisted symbol that was
    named is kept, so that it can be refused by name.
    """
    config = selection.config
    found: dict[str, str] = {}
    for asset in listing.values():
        if asset.is_delisted:
            continue
        if asset.category in config.high_level_categories:
            found[asset.symbol] = "category"
        if asset.subcategory in config.subcategories:
            found[asset.symbol] = "subcategory"
    found |= dict.fromkeys(config.explicitly_enabled_symbols, "explicit")
    return {symbol: found[symbol] for symbol in sorted(found) if symbol not in config.explicitly_disabled_symbols}


def claims(graph: Graph, prompt: TradingPromptNode, listing: Listing) -> dict[str, str]:
    """The assets that a prompt claims, each with the strongest source of its selection."""
    strength = ("category", "subcategory", "explicit")
    claimed: dict[str, str] = {}
    for selection in _selections(graph, prompt):
        for symbol, source in universe(selection, listing).items():
            claimed[symbol] = max(source, claimed.get(symbol, source), key=strength.index)
    return dict(sorted(claimed.items()))


def links(graph: Graph, listing: Listing) -> set[tuple[str, str]]:
    """Every (data_stream node, symbol reached) of the enabled prompts (02 B)."""
    found = set()
    for prompt in graph.prompts:
        if prompt.config.enabled:
            for selection in _selections(graph, prompt):
                symbols = universe(selection, listing)
                found |= {(source, symbol) for source in graph.sources_of(selection.id) for symbol in symbols}
    return found


def resolved_prompt(config: TradingPromptConfig, symbol: str) -> tuple[str, str | None]:
    """The text for one asset by coverage mode (02 D), and why the asset is skipped, if it is."""
    override = config.asset_overrides.get(symbol)
    if config.coverage_mode == "global":
        return config.custom_behavior_prompt, None
    if override is not None:
        return override.custom_behavior_prompt, None if override.enabled else "asset_disabled"
    if config.coverage_mode == "asset_specific_only":
        return "", "no_asset_prompt"
    return config.custom_behavior_prompt, None


def _branch(graph: Graph, prompt: TradingPromptNode, listing: Listing) -> Branch:
    policy = prompt.config.candidate_policy
    assets = []
    for symbol, selection in claims(graph, prompt, listing).items():
        text, skipped = resolved_prompt(prompt.config, symbol)
        assets.append(BranchAsset(symbol, selection, text, skipped, _plan(graph, prompt, symbol, listing)))
    return Branch(
        id=prompt.id,
        cadence_sec=prompt.config.decision_cadence_sec,
        max_candidates=policy.max_candidates,
        min_volume_24h_usd=policy.min_volume24h_usd,
        max_data_age_sec=policy.max_data_age_sec,
        assets=tuple(assets),
    )


def _plan(graph: Graph, prompt: TradingPromptNode, symbol: str, listing: Listing) -> ReadPlan:
    reaching = {
        source
        for selection in _selections(graph, prompt)
        if symbol in universe(selection, listing)
        for source in graph.sources_of(selection.id)
    }
    reads = [read for stream in graph.streams if stream.id in reaching for read in _reads(stream, symbol, listing)]
    entries = _widest(read for read in reads if isinstance(read, ReadEntry))
    return ReadPlan(symbol, entries, tuple(sorted({read for read in reads if isinstance(read, Dropped)})))


def _selections(graph: Graph, prompt: TradingPromptNode) -> Iterator[AssetSelectionNode]:
    sources = graph.sources_of(prompt.id)
    return (selection for selection in graph.selections if selection.id in sources)


def _widest(entries: Iterable[ReadEntry]) -> tuple[ReadEntry, ...]:
    """Of reads of the same rows by several streams or blocks, one that covers them all."""
    kept: dict[tuple[object, ...], ReadEntry] = {}
    for entry in sorted(entries):
        key = (
            entry.context_symbol,
            entry.source,
            entry.channel,
            entry.granularity_sec,
            entry.scope,
            entry.subject,
            entry.market,
        )
        other = kept.get(key)
        if other is not None:
            entry = msgspec.structs.replace(
                entry,
                lookback_sec=max(entry.lookback_sec, other.lookback_sec),
                points=max(entry.points, other.points),
                inclusion=max(entry.inclusion, other.inclusion, key=_PROMINENCE.index),
                block=min(filter(None, (entry.block, other.block)), default=""),
            )
        kept[key] = entry
    return tuple(sorted(kept.values()))


_PROMINENCE = ("auto", "standard", "required")


def _reads(stream: DataStreamNode, symbol: str, listing: Listing) -> Iterator[ReadEntry | Dropped]:
    """What one stream reads for a traded asset: its sources' channels, then its blocks."""
    config = stream.config
    for source, channels in CHANNELS.items():
        policy = config.source_policy.get(source)  # type: ignore[call-overload]
        if policy is not None and (not policy.enabled or policy.inclusion == "off"):
            continue
        inclusion = policy.inclusion if policy else "auto"
        for channel in channels:
            if channel != "market" and (source != "hyperliquid" or _supports(listing.get(symbol), channel)):
                yield from _channel_reads(config, symbol, source, channel, inclusion, listing)
    for block in config.blocks:
        yield from _block_reads(config, block, symbol, listing)


def _channel_reads(
    config: DataStreamConfig, symbol: str, source: str, channel: str, inclusion: str, listing: Listing
) -> Iterator[ReadEntry]:
    scope, subject = GLOBAL_SUBJECT if source == "defillama" else ("", "")
    depths, wanted = _depths(config, symbol, source, channel, inclusion, listing)
    for depth in depths if wanted != "off" else ():
        yield ReadEntry(symbol, symbol, source, channel, *depth, wanted, scope, subject)


def _block_reads(
    config: DataStreamConfig, block: Block, symbol: str, listing: Listing
) -> Iterator[ReadEntry | Dropped]:
    context = block.context_symbol or symbol
    if reason := _impossible(block, listing.get(context)):
        yield Dropped(symbol, context, block.source, block.channel, reason, block.id)
        return
    own = ChannelDepth(lookback_sec=block.lookback_sec, granularity_sec=block.granularity_sec, points=block.points)
    profile = block.retrieval_depth or _profile(config, symbol, listing)
    depths = _overridden(_profile_depths(config, profile, block.source, block.channel), own)
    inclusion: str = block.inclusion
    if context == symbol and (override := _asset_channel(config, symbol, block.source, block.channel)):
        depths, inclusion = _overridden(depths, override), override.inclusion or inclusion
    for depth in depths if inclusion != "off" else ():
        yield ReadEntry(
            symbol, context, block.source, block.channel, *depth, inclusion,
            block.scope or "", block.subject or "", block.market_slug or block.event_slug or "", block.id,
        )  # fmt: skip


def _impossible(block: Block, context: Listed | None) -> str | None:
    if block.source != "hyperliquid":
        return None
    if context is None:
        return "context_unknown"
    if context.is_delisted:
        return "context_delisted"
    return None if _supports(context, block.channel) else "channel_unsupported"


def _supports(asset: Listed | None, channel: str) -> bool:
    return asset is not None and channel in asset.channels


def _depths(
    config: DataStreamConfig, symbol: str, source: str, channel: str, inclusion: str, listing: Listing
) -> tuple[tuple[Depth, ...], str]:
    """Precedence of 02 B: per-asset channel > asset or group profile > stream profile > built-in profile."""
    profile = _profile(config, symbol, listing)
    depths = _profile_depths(config, profile, source, channel)
    edited = config.profile_definitions.get(profile, {}).get(f"{source}.{channel}")  # type: ignore[call-overload]
    wanted = (edited.inclusion if edited else None) or inclusion
    if override := _asset_channel(config, symbol, source, channel):
        depths, wanted = _overridden(depths, override), override.inclusion or wanted
    return depths, wanted


def _asset_channel(config: DataStreamConfig, symbol: str, source: str, channel: str) -> ChannelDepth | None:
    override = config.asset_overrides.get(symbol)
    return override.channels.get(f"{source}.{channel}") if override else None


def _profile(config: DataStreamConfig, symbol: str, listing: Listing) -> str:
    override = config.asset_overrides.get(symbol)
    if override and override.profile:
        return override.profile
    asset = listing.get(symbol)
    for attribute in ("subcategory", "category"):  # the narrower group decides; of equal ones the first by name
        of_asset = getattr(asset, attribute, None)
        groups = [group for group in config.group_profiles if of_asset and getattr(group, attribute) == of_asset]
        if groups:
            return min(group.profile for group in groups)
    return config.profile


def _profile_depths(config: DataStreamConfig, profile: str, source: str, channel: str) -> tuple[Depth, ...]:
    depths = built_in(profile, source, channel)
    edited = config.profile_definitions.get(profile, {}).get(f"{source}.{channel}")  # type: ignore[call-overload]
    return _overridden(depths, edited) if edited else depths


def _overridden(depths: tuple[Depth, ...], override: ChannelDepth) -> tuple[Depth, ...]:
    """One depth from a profile's segments and an override; without figures of its own the segments stay."""
    if override.lookback_sec is None and override.granularity_sec is None and override.points is None:
        return depths
    base = depths[0] if depths else Depth(3_600, 60, 60)
    lookback = override.lookback_sec or base.lookback_sec
    granularity = override.granularity_sec or base.granularity_sec
    points = override.points or max(lookback // granularity if granularity else base.points, 1)
    return (Depth(lookback, granularity, points),)
