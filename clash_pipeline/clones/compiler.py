"""The compiler: graph + registry → strategy branches with a read plan for each asset. Pure; layout never reaches it.

The result is sorted throughout, so that a graph gives the same bytes whatever the order of its nodes and edges. Its
SHA-256 is the identity of a version.
"""

from collections.abc import Iterable, Iterator

import msgspec

from clash_pipeline.clones import budgets
from clash_pipeline.clones.compiled import (
    FORMAT,
    Branch,
    BranchAsset,
    Budget,
    Compiled,
    UniverseAsset,
    decode,
)
from clash_pipeline.clones.graph import DataStreamNode, Graph, TradingPromptNode
from clash_pipeline.clones.node_configs import Block, DataStreamConfig, TradingPromptConfig
from clash_pipeline.clones.precedence import is_read, setting
from clash_pipeline.clones.selection import STRENGTH, Reach
from clash_pipeline.market.listing import Listed, Listing
from clash_pipeline.market.read_plan import CHANNELS, Dropped, ReadEntry, ReadPlan

__all__ = [
    "FORMAT", "Branch", "BranchAsset", "Budget", "Compiled", "UniverseAsset", "compile_graph", "decode",
    "resolved_prompt",
]  # fmt: skip

GLOBAL_SUBJECT = ("global", "defi")
"""The DefiLlama subject a stream reads without being told another."""
PROMINENCE = ("auto", "standard", "required")

Subject = tuple[str, str, str]
"""Scope and subject of a DefiLlama row and slug of a Polymarket market; empty where there is none."""


def compile_graph(graph: Graph, listing: Listing) -> Compiled:
    """Compile a valid graph against the registry."""
    reach = Reach(graph, listing)
    branches = sorted((_branch(reach, prompt) for prompt in reach.enabled), key=lambda branch: branch.id)
    return Compiled(FORMAT, tuple(branches), _universe(branches, listing))


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


def plan_of(streams: Iterable[DataStreamNode], symbol: str, listing: Listing) -> ReadPlan:
    """Everything some streams read for one traded asset."""
    asset = listing.get(symbol)
    reads = [read for stream in streams for read in reads_of(stream.config, symbol, asset, listing)]
    entries = _widest(read for read in reads if isinstance(read, ReadEntry))
    return ReadPlan(symbol, entries, tuple(sorted({read for read in reads if isinstance(read, Dropped)})))


def reads_of(
    config: DataStreamConfig, symbol: str, asset: Listed | None, listing: Listing
) -> Iterator[ReadEntry | Dropped]:
    """What one stream reads for a traded asset: its blocks, and of its sources' channels what no block decides."""
    decided = {(block.source, block.channel, _context(block, symbol), *_subject(block)) for block in config.blocks}
    for block in config.blocks:
        yield from _block_reads(config, block, symbol, asset, listing)
    for source, channels in CHANNELS.items():
        if not is_read(config, source):
            continue
        subject: Subject = (*GLOBAL_SUBJECT, "") if source == "defillama" else ("", "", "")
        for channel in channels:
            if channel != "market" and (source, channel, symbol, *subject) not in decided:
                yield from _channel_reads(config, symbol, asset, source, channel, subject)


# branches


def _branch(reach: Reach, prompt: TradingPromptNode) -> Branch:
    policy = prompt.config.candidate_policy
    streams = reach.streams_by_symbol(prompt)
    assets = []
    for symbol, selection in reach.claims(prompt).items():
        text, skipped = resolved_prompt(prompt.config, symbol)
        linked = streams[symbol]
        plan = plan_of(linked.values(), symbol, reach.listing)
        assets.append(BranchAsset(symbol, selection, text, skipped, plan, budgets.of_asset(plan, text), len(linked)))
    return Branch(
        id=prompt.id,
        cadence_sec=prompt.config.decision_cadence_sec,
        max_candidates=policy.max_candidates,
        min_volume_24h_usd=policy.min_volume24h_usd,
        max_data_age_sec=policy.max_data_age_sec,
        assets=tuple(assets),
        budget=budgets.of_branch(assets),
    )


def _universe(branches: Iterable[Branch], listing: Listing) -> tuple[UniverseAsset, ...]:
    selected: dict[str, str] = {}
    for branch in branches:
        for asset in branch.assets:
            selected[asset.symbol] = max(
                asset.selection, selected.get(asset.symbol, asset.selection), key=STRENGTH.index
            )
    return tuple(_universe_asset(symbol, selected[symbol], listing.get(symbol)) for symbol in sorted(selected))


def _universe_asset(symbol: str, selection: str, asset: Listed | None) -> UniverseAsset:
    if asset is None:
        return UniverseAsset(symbol, selection, symbol, "", "", "", False, ())
    return UniverseAsset(
        symbol=symbol,
        selection=selection,
        name=asset.display_name or symbol,
        kind=asset.kind,
        category=asset.category,
        subcategory=asset.subcategory,
        can_trade=not asset.is_delisted,
        channels=tuple(sorted(asset.channels)),
    )


# reads


def _channel_reads(
    config: DataStreamConfig, symbol: str, asset: Listed | None, source: str, channel: str, subject: Subject
) -> Iterator[ReadEntry | Dropped]:
    depths, inclusion = setting(config, symbol, asset, source, channel)
    if inclusion == "off" or not depths:
        return
    if reason := _impossible(source, channel, asset):
        yield Dropped(symbol, symbol, source, channel, reason)
        return
    for depth in depths:
        yield ReadEntry(symbol, symbol, source, channel, *depth, inclusion, *subject)


def _block_reads(
    config: DataStreamConfig, block: Block, symbol: str, asset: Listed | None, listing: Listing
) -> Iterator[ReadEntry | Dropped]:
    context = _context(block, symbol)
    depths, inclusion = setting(config, symbol, asset, block.source, block.channel, block)
    reason = (
        ("source_disabled" if not is_read(config, block.source) else None)
        or ("switched_off" if inclusion == "off" else None)
        or _impossible(block.source, block.channel, listing.get(context))
        or (None if depths else "not_in_profile")
    )
    if reason:
        yield Dropped(symbol, context, block.source, block.channel, reason, block.id)
        return
    for depth in depths:
        yield ReadEntry(
            symbol, context, block.source, block.channel, *depth, inclusion, *_subject(block), block.id
        )  # fmt: skip


def _context(block: Block, symbol: str) -> str:
    return block.context_symbol or symbol


def _subject(block: Block) -> Subject:
    """What a block names besides an asset; chains by the one name that memory has for them."""
    if block.source == "defillama":
        from clash_pipeline.market.defillama.chains import chain_name

        scope, subject = block.scope or "", block.subject or (GLOBAL_SUBJECT[1] if block.scope == "global" else "")
        return scope, chain_name(subject) if scope == "chain" else subject, ""
    return "", "", block.market_slug or block.event_slug or ""


def _impossible(source: str, channel: str, context: Listed | None) -> str | None:
    """Why memory of this channel cannot exist; Polymarket and DefiLlama are asked by subject, whatever the asset."""
    if source != "hyperliquid":
        return None
    if context is None:
        return "context_unknown"
    if context.is_delisted:
        return "context_delisted"
    return None if channel in context.channels else "channel_unsupported"


def _widest(entries: Iterable[ReadEntry]) -> tuple[ReadEntry, ...]:
    """Of reads of the same rows by several streams or blocks, one that covers them all."""
    kept: dict[tuple[str, str, str, int, str, str, str], ReadEntry] = {}
    for entry in entries:
        key = (
            entry.context_symbol, entry.source, entry.channel, entry.granularity_sec, entry.scope, entry.subject,
            entry.market,
        )  # fmt: skip
        other = kept.get(key)
        kept[key] = entry if other is None else _covering(entry, other)
    return tuple(sorted(kept.values()))


def _covering(one: ReadEntry, other: ReadEntry) -> ReadEntry:
    return msgspec.structs.replace(
        one,
        lookback_sec=max(one.lookback_sec, other.lookback_sec),
        points=max(one.points, other.points),
        inclusion=max(one.inclusion, other.inclusion, key=PROMINENCE.index),
        block=min(filter(None, (one.block, other.block)), default=""),
    )
