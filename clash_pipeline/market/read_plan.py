"""Read plans: which rows of market memory one strategy branch reads for one asset. Compiled, never chosen by a model.

`symbol` is what is traded, `context_symbol` whose memory is read; where they differ the read is cross-asset (02).
"""

from typing import Any, Literal, NamedTuple

import msgspec

from clash_pipeline import canonical

Source = Literal["hyperliquid", "polymarket", "defillama"]
Inclusion = Literal["off", "auto", "standard", "required"]

HYPERLIQUID_CHANNELS = ("ohlcv", "rsi", "bollinger", "sma_ema", "macd", "funding")
POLYMARKET_CHANNELS = ("immediate", "later", "market")
DEFILLAMA_CHANNELS = ("capital_base", "capital_flows", "economic_throughput")
CHANNELS: dict[str, tuple[str, ...]] = {
    "hyperliquid": HYPERLIQUID_CHANNELS,
    "polymarket": POLYMARKET_CHANNELS,
    "defillama": DEFILLAMA_CHANNELS,
}
HOUR_SEC = 3_600
DAY_SEC = 86_400


class Depth(NamedTuple):
    """How far back, how fine, and at most how many points one entry reads."""

    lookback_sec: int
    granularity_sec: int
    points: int


class Profile(NamedTuple):
    """A built-in retrieval profile *(ours)*: what it reads of each kind of channel (02 B)."""

    candles: tuple[Depth, ...]
    funding: Depth
    polymarket: dict[str, Depth]
    defillama: Depth


PROFILES: dict[str, Profile] = {
    "fast": Profile(
        candles=(Depth(HOUR_SEC, 60, 60),),
        funding=Depth(4 * HOUR_SEC, HOUR_SEC, 4),
        polymarket={"immediate": Depth(HOUR_SEC, 0, 1)},
        defillama=Depth(2 * DAY_SEC, 0, 1),
    ),
    "balanced": Profile(
        candles=(Depth(HOUR_SEC, 60, 60), Depth(6 * HOUR_SEC, HOUR_SEC, 6)),
        funding=Depth(12 * HOUR_SEC, HOUR_SEC, 12),
        polymarket={"immediate": Depth(HOUR_SEC, 0, 1), "later": Depth(4 * HOUR_SEC, 0, 1)},
        defillama=Depth(DAY_SEC, HOUR_SEC, 24),
    ),
    "deep": Profile(
        candles=(Depth(DAY_SEC, 300, 288), Depth(7 * DAY_SEC, HOUR_SEC, 168)),
        funding=Depth(48 * HOUR_SEC, HOUR_SEC, 48),
        polymarket={"immediate": Depth(6 * HOUR_SEC, 0, 12), "later": Depth(DAY_SEC, 0, 24)},
        defillama=Depth(7 * DAY_SEC, HOUR_SEC, 168),
    ),
}


class ReadEntry(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One read. `granularity_sec` 0 means rows as they were sampled; `points` bounds them, newest kept.

    `scope` and `subject` name a DefiLlama row, `market` a Polymarket slug; both are empty elsewhere.
    """

    symbol: str
    context_symbol: str
    source: str
    channel: str
    lookback_sec: int
    granularity_sec: int
    points: int
    inclusion: str
    scope: str = ""
    subject: str = ""
    market: str = ""
    block: str = ""


class Dropped(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """A read that was asked for and cannot be made, and why."""

    symbol: str
    context_symbol: str
    source: str
    channel: str
    reason: str
    block: str = ""


class ReadPlan(msgspec.Struct, frozen=True):
    """All reads of one branch for one traded asset, in canonical order."""

    symbol: str
    entries: tuple[ReadEntry, ...]
    dropped: tuple[Dropped, ...] = ()

    @property
    def max_points(self) -> int:
        """The most datapoints this plan can yield."""
        return sum(entry.points for entry in self.entries)

    @property
    def digest(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        return canonical.digest(self)


def built_in(profile: str, source: str, channel: str) -> tuple[Depth, ...]:
    """What a built-in profile reads of a channel; empty when it leaves the channel out."""
    chosen = PROFILES[profile]
    if source == "hyperliquid":
        return (chosen.funding,) if channel == "funding" else chosen.candles
    if source == "polymarket":
        depth = chosen.polymarket.get(channel, chosen.polymarket["immediate"] if channel == "market" else None)
        return (depth,) if depth else ()
    return (chosen.defillama,)


def decode(content: Any) -> ReadPlan:
    """A plan from the plain objects of its JSON."""
    return msgspec.convert(content, ReadPlan)
