"""Section A of a graph: which assets its selections trade, which prompt claims them, and which streams reach them."""

from collections.abc import Mapping
from functools import cached_property

from clash_pipeline.clones.graph import AssetSelectionNode, DataStreamNode, Graph, TradingPromptNode
from clash_pipeline.clones.node_configs import AssetSelectionConfig
from clash_pipeline.market.listing import Listed, Listing

STRENGTH = ("category", "subcategory", "explicit")
"""Sources of a selection, the strongest last: a symbol that is named is explicit, whatever groups bring it in too."""


def universe(config: AssetSelectionConfig, listing: Listing) -> dict[str, str]:
    """The trade universe of a selection: symbol → `explicit`, `subcategory` or `category`, sorted.

    Disabled symbols are out whatever brought them in. Groups bring in listed perps; a spot pair of the same coin would
    only double it, so pairs are traded when they are named *(ours)*. A delisted symbol that was named is kept, so that
    it can be refused by name.
    """
    found: dict[str, str] = {}
    if config.high_level_categories or config.subcategories:
        for asset in listing.values():
            if not is_of_groups(asset):
                continue
            if asset.subcategory in config.subcategories:
                found[asset.symbol] = "subcategory"
            elif asset.category in config.high_level_categories:
                found[asset.symbol] = "category"
    found |= dict.fromkeys(config.explicitly_enabled_symbols, "explicit")
    disabled = frozenset(config.explicitly_disabled_symbols)
    return {symbol: found[symbol] for symbol in sorted(found) if symbol not in disabled}


def is_of_groups(asset: Listed) -> bool:
    """Whether categories and subcategories bring an asset in."""
    return asset.kind == "perp" and not asset.is_delisted


class Reach:
    """What the edges of a graph join: computed once, asked by compiler and validation alike."""

    def __init__(self, graph: Graph, listing: Listing) -> None:
        self.graph = graph
        self.listing = listing
        self._into: dict[str, set[str]] = {}
        for edge in graph.edges:
            self._into.setdefault(edge.target, set()).add(edge.source)

    @cached_property
    def universes(self) -> Mapping[str, dict[str, str]]:
        """The trade universe of each selection, by node id."""
        return {node.id: universe(node.config, self.listing) for node in self.graph.selections}

    @cached_property
    def enabled(self) -> tuple[TradingPromptNode, ...]:
        """The prompts that trade, in the order given."""
        return tuple(prompt for prompt in self.graph.prompts if prompt.config.enabled)

    def selections(self, prompt: TradingPromptNode) -> list[AssetSelectionNode]:
        """The selections that lead to a prompt."""
        sources = self._into.get(prompt.id, ())
        return [selection for selection in self.graph.selections if selection.id in sources]

    def streams(self, selection: AssetSelectionNode) -> list[DataStreamNode]:
        """The streams that lead to a selection."""
        sources = self._into.get(selection.id, ())
        return [stream for stream in self.graph.streams if stream.id in sources]

    def claims(self, prompt: TradingPromptNode) -> dict[str, str]:
        """The assets that a prompt claims, sorted, each with the strongest source of its selection."""
        claimed: dict[str, str] = {}
        for selection in self.selections(prompt):
            for symbol, source in self.universes[selection.id].items():
                claimed[symbol] = max(source, claimed.get(symbol, source), key=STRENGTH.index)
        return dict(sorted(claimed.items()))

    def streams_by_symbol(self, prompt: TradingPromptNode) -> dict[str, dict[str, DataStreamNode]]:
        """The streams that reach each asset of a prompt, by stream id."""
        reached: dict[str, dict[str, DataStreamNode]] = {}
        for selection in self.selections(prompt):
            streams = {stream.id: stream for stream in self.streams(selection)}
            for symbol in self.universes[selection.id]:
                reached.setdefault(symbol, {}).update(streams)
        return reached

    def links(self) -> set[tuple[str, str]]:
        """Every (data_stream node, symbol reached) of the enabled prompts (02 B)."""
        return {
            (stream, symbol)
            for prompt in self.enabled
            for symbol, streams in self.streams_by_symbol(prompt).items()
            for stream in streams
        }

    def symbols_of_stream(self, stream: DataStreamNode) -> set[str]:
        """Every symbol a stream reaches through any selection, whether a prompt trades it or not."""
        reached = [selection for selection in self.graph.selections if stream.id in self._into.get(selection.id, ())]
        return {symbol for selection in reached for symbol in self.universes[selection.id]}
