"""The pipeline graph, version 1: what a canvas saves and the compiler reads. Its layout is kept, never compiled."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Symbol = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9@/_.:-]+$")]
Category = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ChannelKey = Annotated[str, StringConstraints(min_length=1, max_length=80)]
ProfileName = Literal["fast", "balanced", "deep"]
Inclusion = Literal["off", "auto", "standard", "required"]
SourceName = Literal["hyperliquid", "polymarket", "defillama"]
Lookback = Annotated[int, Field(strict=True, ge=60, le=30 * 86_400)]
Granularity = Annotated[int, Field(strict=True, ge=60, le=86_400, multiple_of=60)]
Points = Annotated[int, Field(strict=True, ge=1, le=5_000)]
Coordinate = Annotated[float, Field(ge=-1_000_000, le=1_000_000, allow_inf_nan=False)]

DEFAULT_CADENCE_SEC = 300
"""Decision cadence of a prompt that names none (03)."""


class GraphModel(BaseModel):
    """Frozen, camelCase on the wire, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class SourcePolicy(GraphModel):
    """Whether a source is read at all, and how prominently."""

    enabled: bool = True
    inclusion: Inclusion = "auto"


class ChannelDepth(GraphModel):
    """A depth of one channel that replaces the profile's."""

    lookback_sec: Lookback | None = None
    granularity_sec: Granularity | None = None
    points: Points | None = None
    inclusion: Inclusion | None = None


class StreamOverride(GraphModel):
    """What one asset reads differently from its stream."""

    profile: ProfileName | None = None
    channels: dict[ChannelKey, ChannelDepth] = Field(default_factory=dict)


class GroupProfile(GraphModel):
    """A profile for the assets of a category or subcategory."""

    category: Category | None = None
    subcategory: Category | None = None
    profile: ProfileName


class Block(GraphModel):
    """One channel dropped on the canvas, with its subject."""

    id: Id
    source: SourceName
    channel: str
    context_symbol: Symbol | None = None
    scope: Literal["global", "chain", "protocol", "stablecoin"] | None = None
    subject: Annotated[str, StringConstraints(min_length=1, max_length=120)] | None = None
    market_slug: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    event_slug: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    retrieval_depth: ProfileName | None = None
    inclusion: Inclusion = "auto"
    lookback_sec: Lookback | None = None
    granularity_sec: Granularity | None = None
    points: Points | None = None


class DataStreamConfig(GraphModel):
    """Section B of 02: what is read, how deep."""

    profile: ProfileName = "balanced"
    source_policy: dict[SourceName, SourcePolicy] = Field(default_factory=dict)
    profile_definitions: dict[ProfileName, dict[ChannelKey, ChannelDepth]] = Field(default_factory=dict)
    group_profiles: tuple[GroupProfile, ...] = ()
    asset_overrides: dict[Symbol, StreamOverride] = Field(default_factory=dict)
    blocks: tuple[Block, ...] = Field(default=(), max_length=200)


class AssetSelectionConfig(GraphModel):
    """Section A of 02: which assets are traded."""

    high_level_categories: tuple[Category, ...] = ()
    subcategories: tuple[Category, ...] = ()
    explicitly_enabled_symbols: tuple[Symbol, ...] = ()
    explicitly_disabled_symbols: tuple[Symbol, ...] = ()


class CandidatePolicy(GraphModel):
    """The prefilters of the assets of a branch (02 Candidates)."""

    max_candidates: Annotated[int, Field(strict=True, ge=1, le=25)] = 10
    min_volume24h_usd: Annotated[int, Field(strict=True, ge=0)] = Field(default=0, alias="minVolume24hUsd")
    max_data_age_sec: Annotated[int, Field(strict=True, ge=60, le=86_400)] = 300


class PromptOverride(GraphModel):
    """The text of one asset, or its absence."""

    custom_behavior_prompt: str = ""
    enabled: bool = True


class TradingPromptConfig(GraphModel):
    """Section D of 02: one strategy. The last four fields are legacy: accepted, kept, ignored."""

    enabled: bool = True
    custom_behavior_prompt: str = ""
    decision_cadence_sec: Annotated[int, Field(strict=True, ge=60, le=86_400)] = DEFAULT_CADENCE_SEC
    candidate_policy: CandidatePolicy = CandidatePolicy()
    coverage_mode: Literal["global", "global_with_asset_overrides", "asset_specific_only"] = "global"
    asset_overrides: dict[Symbol, PromptOverride] = Field(default_factory=dict)
    max_assets_per_run: Any = None
    trader_type: Any = None
    analysis_timeframe: Any = None
    market_momentum_sensitivity: Any = None


class DataStreamNode(GraphModel):
    """A node of memory to read."""

    id: Id
    type: Literal["data_stream"]
    config: DataStreamConfig = DataStreamConfig()


class AssetSelectionNode(GraphModel):
    """A node of assets to trade."""

    id: Id
    type: Literal["asset_selection"]
    config: AssetSelectionConfig = AssetSelectionConfig()


class TradingPromptNode(GraphModel):
    """A node of one strategy; its id is the branch."""

    id: Id
    type: Literal["trading_prompt"]
    config: TradingPromptConfig = TradingPromptConfig()


Node = Annotated[DataStreamNode | AssetSelectionNode | TradingPromptNode, Field(discriminator="type")]


class Edge(GraphModel):
    """One arrow from `source` to `target`."""

    id: Id
    source: Id
    target: Id


class Position(GraphModel):
    """A place on the canvas."""

    x: Coordinate
    y: Coordinate


class StrategyClone(GraphModel):
    """The visual terminal of the canvas; nothing of it is executed."""

    position: Position
    connected_prompt_node_ids: tuple[Id, ...] = ()


class Layout(GraphModel):
    """Where things stand on the canvas: saved, returned, never compiled."""

    nodes: dict[Id, Position] = Field(default_factory=dict)
    strategy_clone: StrategyClone | None = None


class Graph(GraphModel):
    """The whole pipeline of one clone."""

    version: Literal[1]
    nodes: tuple[Node, ...] = Field(max_length=500)
    edges: tuple[Edge, ...] = Field(default=(), max_length=2_000)
    layout: Layout = Layout()

    @property
    def streams(self) -> tuple[DataStreamNode, ...]:
        """The data_stream nodes, in the order given."""
        return tuple(node for node in self.nodes if isinstance(node, DataStreamNode))

    @property
    def selections(self) -> tuple[AssetSelectionNode, ...]:
        """The asset_selection nodes, in the order given."""
        return tuple(node for node in self.nodes if isinstance(node, AssetSelectionNode))

    @property
    def prompts(self) -> tuple[TradingPromptNode, ...]:
        """The trading_prompt nodes, in the order given."""
        return tuple(node for node in self.nodes if isinstance(node, TradingPromptNode))

    def sources_of(self, node_id: str) -> frozenset[str]:
        """The ids of the nodes with an edge into this one."""
        return frozenset(edge.source for edge in self.edges if edge.target == node_id)

    def wire(self) -> dict[str, Any]:
        """The graph as plain camelCase objects, as it came."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def simple_graph(symbols: tuple[str, ...], *, prompt: str = "", cadence_sec: int = DEFAULT_CADENCE_SEC) -> Graph:
    """The smallest whole graph: one balanced stream, some symbols, one prompt."""
    return Graph.model_validate(
        {
            "version": 1,
            "nodes": [
                {"id": "stream-1", "type": "data_stream", "config": {"profile": "balanced"}},
                {"id": "assets-1", "type": "asset_selection", "config": {"explicitlyEnabledSymbols": list(symbols)}},
                {
                    "id": "prompt-1",
                    "type": "trading_prompt",
                    "config": {"customBehaviorPrompt": prompt, "decisionCadenceSec": cadence_sec},
                },
            ],
            "edges": [
                {"id": "e1", "source": "stream-1", "target": "assets-1"},
                {"id": "e2", "source": "assets-1", "target": "prompt-1"},
            ],
        }
    )
