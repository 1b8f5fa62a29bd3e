"""The pipeline graph, version 1: what a canvas saves and the compiler reads. Its layout is kept, never compiled."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from clash_pipeline.clones.node_configs import (
    DEFAULT_CADENCE_SEC,
    AssetSelectionConfig,
    Block,
    ChannelDepth,
    DataStreamConfig,
    GraphModel,
    Id,
    TradingPromptConfig,
)

__all__ = ["Block", "ChannelDepth", "DataStreamConfig", "TradingPromptConfig"]  # what callers knew as ours
MOST_NODES = 500
MOST_EDGES = 2_000
FARTHEST = 1_000_000
"""Canvas units from the origin, in either direction."""

Coordinate = Annotated[float, Field(strict=True, ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]


def _no_lookalike(version: Any) -> Any:
    """Python takes `true` and 1.0 for 1; a format does not."""
    return version if type(version) is int else repr(version)


class DataStreamNode(GraphModel):
    """A node of memory to read; its edges lead to asset selections."""

    id: Id
    """Unique in the graph."""
    type: Literal["data_stream"]
    """The kind of node."""
    config: DataStreamConfig = DataStreamConfig()
    """What is read, and how deep."""


class AssetSelectionNode(GraphModel):
    """A node of assets to trade; its edges lead to trading prompts."""

    id: Id
    """Unique in the graph."""
    type: Literal["asset_selection"]
    """The kind of node."""
    config: AssetSelectionConfig = AssetSelectionConfig()
    """Which assets are traded."""


class TradingPromptNode(GraphModel):
    """A node of one strategy; its id names the branch, and no edge leaves it."""

    id: Id
    """Unique in the graph."""
    type: Literal["trading_prompt"]
    """The kind of node."""
    config: TradingPromptConfig = TradingPromptConfig()
    """How its assets are traded."""


Node = Annotated[DataStreamNode | AssetSelectionNode | TradingPromptNode, Field(discriminator="type")]


class Edge(GraphModel):
    """One arrow: from a data stream to an asset selection, or from an asset selection to a trading prompt."""

    id: Id
    """Unique among the edges."""
    source: Id
    """The id of the node it leaves."""
    target: Id
    """The id of the node it enters."""


class Position(GraphModel):
    """A place on the canvas."""

    x: Coordinate
    """To the right, in canvas units."""
    y: Coordinate
    """Downwards, in canvas units."""


class StrategyClone(GraphModel):
    """The Trading Clone block, where the canvas ends: drawn only, nothing of it is executed."""

    position: Position
    """Where it stands."""
    connected_prompt_node_ids: Annotated[tuple[Id, ...], Field(max_length=MOST_NODES)] = ()
    """The prompts whose arrows end in it."""


class Layout(GraphModel):
    """Where things stand on the canvas: saved, returned, never compiled."""

    nodes: Annotated[dict[Id, Position], Field(max_length=MOST_NODES)] = Field(default_factory=dict)
    """Places by node id."""
    strategy_clone: StrategyClone | None = None
    """The Trading Clone block."""


class Graph(GraphModel):
    """The whole pipeline of one clone: data streams lead to asset selections, those to trading prompts."""

    version: Annotated[Literal[1], BeforeValidator(_no_lookalike)]
    """The version of this format."""
    nodes: Annotated[tuple[Node, ...], Field(max_length=MOST_NODES)]
    """The executable nodes, in any order."""
    edges: Annotated[tuple[Edge, ...], Field(max_length=MOST_EDGES)] = ()
    """The arrows between them, in any order."""
    layout: Layout = Layout()
    """Where things stand on the canvas; has no effect on what is traded or read."""

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
