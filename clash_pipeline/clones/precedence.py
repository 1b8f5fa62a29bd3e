"""Section B of a graph: how deep a channel is read for an asset, and how prominently, where several places say so.

The figures of one read are those of the first that names them: the asset's own override of the channel; the block that
reads it; the edited profile; the built-in profile. The profile is the block's own, else the asset's, else that of its
subcategory, else of its category, else the stream's. Inclusion goes the same way and ends at the source's policy.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from clash_pipeline.clones.node_configs import Block, ChannelDepth, DataStreamConfig
from clash_pipeline.market.listing import Listed
from clash_pipeline.market.read_plan import HOUR_SEC, Depth, built_in

MOST_POINTS = 5_000
DEFAULT_INCLUSION = "auto"
BARE = Depth(HOUR_SEC, 60, 60)
"""What a depth is completed from where no profile reads the channel at all."""
DEEPER = ("fast", "balanced", "deep")


class Setting(NamedTuple):
    """What one channel reads: one depth a segment, and how prominent it is in the packet."""

    depths: tuple[Depth, ...]
    inclusion: str


def setting(
    config: DataStreamConfig, symbol: str, asset: Listed | None, source: str, channel: str, block: Block | None = None
) -> Setting:
    """What a stream reads of a channel for a traded asset, by itself or through a block."""
    key = f"{source}.{channel}"
    profile = (block.retrieval_depth if block else None) or profile_of(config, symbol, asset)
    edited = config.profile_definitions.get(profile, {}).get(key)  # type: ignore[call-overload]
    own = _own_channel(config, symbol, key) if block is None or block.context_symbol in (None, symbol) else None
    said = [place for place in (edited, block, own) if place is not None]
    return Setting(depths_of(built_in(profile, source, channel), said), _inclusion(config, source, said))


def profile_of(config: DataStreamConfig, symbol: str, asset: Listed | None) -> str:
    """The profile of a traded asset: its own, its subcategory's, its category's, the stream's."""
    override = config.asset_overrides.get(symbol)
    if override is not None and override.profile is not None:
        return override.profile
    if asset is not None and config.group_profiles:
        for of_group in (
            [group.profile for group in config.group_profiles if group.subcategory == asset.subcategory],
            [group.profile for group in config.group_profiles if group.category == asset.category],
        ):
            if of_group:
                return max(of_group, key=DEEPER.index)
    return config.profile


def is_read(config: DataStreamConfig, source: str) -> bool:
    """Whether a stream reads a source at all."""
    policy = config.source_policy.get(source)  # type: ignore[call-overload]
    return policy is None or bool(policy.enabled)


def depths_of(depths: tuple[Depth, ...], said: Sequence[ChannelDepth | Block]) -> tuple[Depth, ...]:
    """One depth where a figure is named, each by the last that names it; else the profile's segments as they are.

    What nobody names is the profile's first segment's. Points are at most, and by themselves, what the window holds.
    """
    if not said:
        return depths
    lookback, granularity, points = (_last_named(said, name) for name in ("lookback_sec", "granularity_sec", "points"))
    if lookback is None and granularity is None and points is None:
        return depths
    base = depths[0] if depths else BARE
    lookback, granularity = lookback or base.lookback_sec, granularity or base.granularity_sec
    if not granularity:
        return (Depth(lookback, granularity, points or base.points),)
    held = max(lookback // granularity, 1)
    return (Depth(lookback, granularity, min(points or MOST_POINTS, held)),)


def _own_channel(config: DataStreamConfig, symbol: str, key: str) -> ChannelDepth | None:
    override = config.asset_overrides.get(symbol)
    return override.channels.get(key) if override else None


def _inclusion(config: DataStreamConfig, source: str, said: Sequence[ChannelDepth | Block]) -> str:
    policy = config.source_policy.get(source)  # type: ignore[call-overload]
    named: str | None = _last_named(said, "inclusion")
    return named or (policy.inclusion if policy else DEFAULT_INCLUSION)


def _last_named(said: Sequence[ChannelDepth | Block], name: str) -> Any:
    for place in reversed(said):
        value = getattr(place, name)
        if value is not None:
            return value
    return None
