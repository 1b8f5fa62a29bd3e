"""Data streams: channels that exist, blocks with the subject that their source needs, depths that hold a row."""

import re
from collections.abc import Iterator

from clash_pipeline.clones.node_configs import Block, ChannelDepth
from clash_pipeline.clones.problems import Problem, escaped, shown
from clash_pipeline.clones.rules import Subject
from clash_pipeline.market.listing import Listing
from clash_pipeline.market.read_plan import CHANNELS, HOUR_SEC
from clash_pipeline.market.text import key

TITLES = {"hyperliquid": "Hyperliquid", "polymarket": "Polymarket", "defillama": "DefiLlama"}
SUBJECT_FIELDS = {
    "hyperliquid": frozenset({"contextSymbol"}),
    "polymarket": frozenset({"contextSymbol", "marketSlug", "eventSlug"}),
    "defillama": frozenset({"scope", "subject"}),
}
WITHOUT_THROUGHPUT = "stablecoin"
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()!$&'*-]*")


def real_channels(subject: Subject) -> Iterator[Problem]:
    """Edited depths name channels that exist and hold at least one row."""
    keys = {f"{source}.{channel}" for source, channels in CHANNELS.items() for channel in channels}
    for pointer, name, depth in _depths(subject):
        if name not in keys:
            yield _no_channel(pointer, name)
        yield from _depth_problems(depth, pointer)


def whole_blocks(subject: Subject) -> Iterator[Problem]:
    """Blocks name a channel of their source and the subject that it needs, and nothing else."""
    for at, stream in subject.streams():
        for place, block in enumerate(stream.config.blocks):
            pointer = f"{at}/config/blocks/{place}"
            if block.channel not in CHANNELS[block.source]:
                yield _no_channel(f"{pointer}/channel", f"{block.source}.{block.channel}")
            yield from _foreign_fields(block, pointer)
            yield from SUBJECTS[block.source](block, pointer, subject.listing)
            yield from _depth_problems(block, pointer)


def plain_groups(subject: Subject) -> Iterator[Problem]:
    """A group profile names one group, and a group has one profile."""
    for at, stream in subject.streams():
        seen: set[tuple[str | None, str | None]] = set()
        for place, group in enumerate(stream.config.group_profiles):
            pointer = f"{at}/config/groupProfiles/{place}"
            if (group.category is None) == (group.subcategory is None):
                yield Problem(
                    "group_unclear", pointer, "A group profile names a category or a subcategory, one of them."
                )
            if (group.category, group.subcategory) in seen:
                name = group.subcategory or group.category
                yield Problem("duplicate_group", pointer, f"{name} has a profile in this stream already.", 1, 2)
            seen.add((group.category, group.subcategory))


def _depths(subject: Subject) -> Iterator[tuple[str, str, ChannelDepth]]:
    for at, stream in subject.streams():
        for profile, edits in stream.config.profile_definitions.items():
            for name, depth in edits.items():
                yield f"{at}/config/profileDefinitions/{profile}/{escaped(name)}", name, depth
        for symbol, override in stream.config.asset_overrides.items():
            for name, depth in override.channels.items():
                yield f"{at}/config/assetOverrides/{escaped(symbol)}/channels/{escaped(name)}", name, depth


def _depth_problems(depth: ChannelDepth | Block, pointer: str) -> Iterator[Problem]:
    lookback, granularity = depth.lookback_sec, depth.granularity_sec
    if lookback is not None and granularity is not None and granularity > lookback:
        message = f"A lookback of {lookback} s holds no row of {granularity} s."
        yield Problem("depth_empty", f"{pointer}/granularitySec", message, lookback, granularity)
    if granularity is not None and granularity > HOUR_SEC and granularity % HOUR_SEC:
        message = f"Rows longer than an hour are whole hours; {granularity} s are not a multiple of {HOUR_SEC} s."
        yield Problem("granularity_uneven", f"{pointer}/granularitySec", message, HOUR_SEC, granularity)


def _foreign_fields(block: Block, pointer: str) -> Iterator[Problem]:
    given = {
        "contextSymbol": block.context_symbol,
        "scope": block.scope,
        "subject": block.subject,
        "marketSlug": block.market_slug,
        "eventSlug": block.event_slug,
    }
    for name, value in given.items():
        if value is not None and name not in SUBJECT_FIELDS[block.source]:
            message = f"A {TITLES[block.source]} block has no {name}."
            yield Problem("field_of_other_source", f"{pointer}/{name}", message)


def _of_hyperliquid(block: Block, pointer: str, listing: Listing) -> Iterator[Problem]:
    """What can never be read is refused by name; an asset that was delisted since is dropped by the compiler."""
    context = listing.get(block.context_symbol or "")
    if context is None or context.is_delisted or block.channel not in CHANNELS["hyperliquid"]:
        return
    if block.channel not in context.channels:
        kind = "a spot pair" if context.kind == "spot" else "an asset"
        message = f"{context.symbol} is {kind} without {block.channel}."
        yield Problem("channel_unsupported", f"{pointer}/channel", message)


def _of_polymarket(block: Block, pointer: str, _: Listing) -> Iterator[Problem]:
    slugs = [("marketSlug", block.market_slug), ("eventSlug", block.event_slug)]
    named = [(name, slug) for name, slug in slugs if slug is not None]
    if block.channel == "market":
        if not named:
            message = "A Polymarket market block needs a marketSlug or an eventSlug."
            yield Problem("block_without_subject", pointer, message, 1, 0)
        if len(named) > 1:
            message = "A Polymarket block names one market or one event, not both."
            yield Problem("block_unclear", f"{pointer}/eventSlug", message, 1, 2)
        if block.context_symbol is not None:
            message = "A block of one market has no contextSymbol; the channels immediate and later go by asset."
            yield Problem("block_unclear", f"{pointer}/contextSymbol", message)
    elif named:
        message = f"Only the channel market goes by slug; {block.channel} finds the markets of its asset."
        yield Problem("block_unclear", f"{pointer}/{named[0][0]}", message)
    for name, slug in named:
        if key(slug) is None:
            message = f"{shown(slug)} cannot be a slug of Polymarket: it has letters, digits and dashes, no spaces."
            yield Problem("subject_malformed", f"{pointer}/{name}", message)


def _of_defillama(block: Block, pointer: str, _: Listing) -> Iterator[Problem]:
    if block.scope is None or (block.subject is None and block.scope != "global"):
        message = "A DefiLlama block needs a scope and a subject, such as chain and Solana."
        yield Problem("block_without_subject", pointer, message, 1, 0)
    if block.scope == "global" and block.subject not in (None, "defi"):
        yield Problem("subject_malformed", f"{pointer}/subject", "The only subject of the global scope is defi.")
    elif block.subject is not None and not _SUBJECT.fullmatch(block.subject):
        message = f"{shown(block.subject)} cannot be a chain, protocol or stablecoin of DefiLlama."
        yield Problem("subject_malformed", f"{pointer}/subject", message)
    if block.channel == "economic_throughput" and block.scope == WITHOUT_THROUGHPUT:
        message = "A stablecoin has no economic_throughput; it has capital_base and capital_flows."
        yield Problem("channel_unsupported", f"{pointer}/channel", message)


SUBJECTS = {"hyperliquid": _of_hyperliquid, "polymarket": _of_polymarket, "defillama": _of_defillama}


def _no_channel(pointer: str, name: str) -> Problem:
    source, _, channel = name.partition(".")
    if source in CHANNELS:
        known = f"{TITLES[source]} has {', '.join(CHANNELS[source])}."
    else:
        known = "A channel is named with its source, such as hyperliquid.rsi."
    return Problem("channel_unknown", pointer, f"There is no channel {shown(channel or name)}. {known}")
