"""What the nodes of a pipeline graph are told: data streams with their blocks, asset selections, trading prompts (02).

Attribute docstrings are the descriptions of the published JSON Schema; a frontend developer reads them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints
from pydantic.alias_generators import to_camel

MOST_BLOCKS = 200
MOST_GROUPS = 64
MOST_SYMBOLS = 500
MOST_POINTS = 5_000
MOST_LOOKBACK_SEC = 30 * 86_400
SLUG_CHARACTERS = 200
SUBJECT_CHARACTERS = 120
PROMPT_CHARACTERS = 64_000
"""A bound of form; the limit that counts is in tokens (02 D)."""
DEFAULT_CADENCE_SEC = 300
"""Decision cadence of a prompt that names none (03)."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Symbol = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9@/_.:-]+$")]
Category = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ChannelKey = Annotated[str, StringConstraints(min_length=1, max_length=80)]
PromptText = Annotated[str, StringConstraints(max_length=PROMPT_CHARACTERS)]
ProfileName = Literal["fast", "balanced", "deep"]
Inclusion = Literal["off", "auto", "standard", "required"]
SourceName = Literal["hyperliquid", "polymarket", "defillama"]
ScopeName = Literal["global", "chain", "protocol", "stablecoin"]
Lookback = Annotated[int, Field(strict=True, ge=60, le=MOST_LOOKBACK_SEC)]
Granularity = Annotated[int, Field(strict=True, ge=60, le=86_400, multiple_of=60)]
Points = Annotated[int, Field(strict=True, ge=1, le=MOST_POINTS)]
Legacy = Annotated[Any, Field(deprecated=True)]


class GraphModel(BaseModel):
    """Frozen, camelCase on the wire, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        field_title_generator=lambda name, _: name.replace("_", " ").capitalize(),
    )


class SourcePolicy(GraphModel):
    """Whether a source is read at all, and how prominently."""

    enabled: StrictBool = True
    """Off: nothing of this source is read, blocks included."""
    inclusion: Inclusion = "auto"
    """How prominent the source's channels are where nothing more specific says so."""


class ChannelDepth(GraphModel):
    """How far back, how fine and how many points of one channel; what is left out comes from the profile."""

    lookback_sec: Lookback | None = None
    """How far back to read, in seconds."""
    granularity_sec: Granularity | None = None
    """Seconds of one row: whole minutes, above an hour whole hours."""
    points: Points | None = None
    """At most this many rows, the newest kept. Left out: lookback by granularity."""
    inclusion: Inclusion | None = None
    """`off` leaves it out, `auto` may be thinned first, `standard` later, `required` never."""


class StreamOverride(GraphModel):
    """What one asset reads differently from its stream."""

    profile: ProfileName | None = None
    """The asset's profile, before the profile of its group and of the stream."""
    channels: dict[ChannelKey, ChannelDepth] = Field(default_factory=dict)
    """Depth by channel, such as `hyperliquid.funding`; it wins over everything else."""


class GroupProfile(GraphModel):
    """A profile for the assets of one category or of one subcategory, which is narrower and wins."""

    category: Category | None = None
    """A high-level category; give this or `subcategory`."""
    subcategory: Category | None = None
    """A subcategory; give this or `category`."""
    profile: ProfileName
    """What its assets read."""


class Block(GraphModel):
    """One channel dropped on the canvas, with its subject; it decides that channel in place of the profile."""

    id: Id
    """Unique within the stream."""
    source: SourceName
    """Where the rows come from."""
    channel: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    """hyperliquid: ohlcv, rsi, bollinger, sma_ema, macd, funding; polymarket: immediate, later, market;
    defillama: capital_base, capital_flows, economic_throughput."""
    context_symbol: Symbol | None = None
    """The asset whose memory is read; left out it is the traded asset itself. Another one is a cross-asset read."""
    scope: ScopeName | None = None
    """Of a DefiLlama block: what kind of subject."""
    subject: Annotated[str, StringConstraints(min_length=1, max_length=SUBJECT_CHARACTERS)] | None = None
    """Of a DefiLlama block: a chain (`Solana`), a protocol's slug (`aave-v3`) or a stablecoin; `defi` for global."""
    market_slug: Annotated[str, StringConstraints(min_length=1, max_length=SLUG_CHARACTERS)] | None = None
    """Of a Polymarket `market` block: the slug of one market; give this or `eventSlug`."""
    event_slug: Annotated[str, StringConstraints(min_length=1, max_length=SLUG_CHARACTERS)] | None = None
    """Of a Polymarket `market` block: the slug of an event with all its markets."""
    retrieval_depth: ProfileName | None = None
    """The profile whose depth this block takes, in place of the asset's."""
    inclusion: Inclusion | None = None
    """Left out it follows the edited profile, then the source's policy."""
    lookback_sec: Lookback | None = None
    """How far back to read, in seconds."""
    granularity_sec: Granularity | None = None
    """Seconds of one row: whole minutes, above an hour whole hours."""
    points: Points | None = None
    """At most this many rows, the newest kept."""


class DataStreamConfig(GraphModel):
    """What is read, and how deep (02 B). First of: asset override, block, asset or group profile, stream, built-in."""

    profile: ProfileName = "balanced"
    """The stream's own profile."""
    source_policy: dict[SourceName, SourcePolicy] = Field(default_factory=dict)
    """By source; one that is not named is read, with inclusion `auto`."""
    profile_definitions: dict[ProfileName, dict[ChannelKey, ChannelDepth]] = Field(default_factory=dict)
    """Edits of the built-in profiles, by profile and channel such as `hyperliquid.rsi`."""
    group_profiles: Annotated[tuple[GroupProfile, ...], Field(max_length=MOST_GROUPS)] = ()
    """Profiles of groups of assets."""
    asset_overrides: Annotated[dict[Symbol, StreamOverride], Field(max_length=MOST_SYMBOLS)] = Field(
        default_factory=dict
    )
    """By traded symbol: what that asset reads differently."""
    blocks: Annotated[tuple[Block, ...], Field(max_length=MOST_BLOCKS)] = ()
    """What the canvas drops into the stream."""


class AssetSelectionConfig(GraphModel):
    """Which assets are traded (02 A): groups and named symbols, without those that are disabled by name."""

    high_level_categories: Annotated[tuple[Category, ...], Field(max_length=MOST_GROUPS)] = ()
    """Categories whose listed assets are all traded."""
    subcategories: Annotated[tuple[Category, ...], Field(max_length=MOST_GROUPS)] = ()
    """Subcategories whose listed assets are all traded."""
    explicitly_enabled_symbols: Annotated[tuple[Symbol, ...], Field(max_length=MOST_SYMBOLS)] = ()
    """Symbols as the venue writes them: `BTC`, `kPEPE`, `PURR/USDC`, `@107`."""
    explicitly_disabled_symbols: Annotated[tuple[Symbol, ...], Field(max_length=MOST_SYMBOLS)] = ()
    """Out, whatever brought them in."""


class CandidatePolicy(GraphModel):
    """The prefilters of the assets of a branch (02 Candidates)."""

    max_candidates: Annotated[int, Field(strict=True, ge=1, le=25)] = 10
    """Assets considered in one run; more than 10 need an operator's grant."""
    min_volume24h_usd: Annotated[int, Field(strict=True, ge=0, le=10**12)] = Field(default=0, alias="minVolume24hUsd")
    """Assets with less volume in 24 hours are left out, whole USD."""
    max_data_age_sec: Annotated[int, Field(strict=True, ge=60, le=86_400)] = 300
    """Assets whose newest candle is older are left out."""


class PromptOverride(GraphModel):
    """The text of one asset, or its absence."""

    custom_behavior_prompt: PromptText = ""
    """Replaces the prompt's text for this asset."""
    enabled: StrictBool = True
    """Off: the asset is skipped."""


class TradingPromptConfig(GraphModel):
    """One strategy (02 D). The last four fields are legacy: accepted, kept, ignored."""

    enabled: StrictBool = True
    """Off: the prompt trades nothing and claims no asset."""
    custom_behavior_prompt: PromptText = ""
    """How to trade, in the creator's words; at most 4,000 tokens."""
    decision_cadence_sec: Annotated[int, Field(strict=True, ge=60, le=86_400)] = DEFAULT_CADENCE_SEC
    """Seconds between decisions."""
    candidate_policy: CandidatePolicy = CandidatePolicy()
    """Which of its assets a run considers."""
    coverage_mode: Literal["global", "global_with_asset_overrides", "asset_specific_only"] = "global"
    """`global`: one text for all, overrides are ignored; `global_with_asset_overrides`: an override replaces the text
    of its asset; `asset_specific_only`: an asset without an override is skipped."""
    asset_overrides: Annotated[dict[Symbol, PromptOverride], Field(max_length=MOST_SYMBOLS)] = Field(
        default_factory=dict
    )
    """By traded symbol: its own text."""
    max_assets_per_run: Legacy = None
    """Legacy: accepted, kept, ignored."""
    trader_type: Legacy = None
    """Legacy: accepted, kept, ignored."""
    analysis_timeframe: Legacy = None
    """Legacy: accepted, kept, ignored."""
    market_momentum_sensitivity: Legacy = None
    """Legacy: accepted, kept, ignored."""
