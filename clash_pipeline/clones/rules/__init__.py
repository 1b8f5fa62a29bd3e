"""The rules of validation at save, by subject: each a function from a graph in its surroundings to its problems."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from clash_pipeline.clones.entitlements import Capacity
from clash_pipeline.clones.graph import (
    AssetSelectionNode,
    DataStreamNode,
    Graph,
    TradingPromptNode,
)
from clash_pipeline.clones.selection import Reach
from clash_pipeline.market.listing import Listing


@dataclass(frozen=True)
class Subject:
    """What the rules look at: a well-formed graph, the registry, and what the entitlement allows."""

    graph: Graph
    listing: Listing
    capacity: Capacity
    candidate_cap: int

    @cached_property
    def reach(self) -> Reach:
        """What the edges join."""
        return Reach(self.graph, self.listing)

    def streams(self) -> Iterator[tuple[str, DataStreamNode]]:
        """The data streams with the pointers to their nodes."""
        return ((at, node) for at, node in self._nodes() if isinstance(node, DataStreamNode))

    def selections(self) -> Iterator[tuple[str, AssetSelectionNode]]:
        """The asset selections with the pointers to their nodes."""
        return ((at, node) for at, node in self._nodes() if isinstance(node, AssetSelectionNode))

    def prompts(self) -> Iterator[tuple[str, TradingPromptNode]]:
        """The trading prompts with the pointers to their nodes."""
        return ((at, node) for at, node in self._nodes() if isinstance(node, TradingPromptNode))

    def _nodes(self) -> Iterator[tuple[str, DataStreamNode | AssetSelectionNode | TradingPromptNode]]:
        return ((f"/nodes/{index}", node) for index, node in enumerate(self.graph.nodes))
