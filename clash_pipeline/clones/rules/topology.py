"""Nodes, edges and layout: unique ids, the two legal kinds of edge, no circle, nothing left hanging."""

from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from clash_pipeline.clones.problems import Problem, escaped
from clash_pipeline.clones.rules import Subject

EDGE_KINDS = frozenset({("data_stream", "asset_selection"), ("asset_selection", "trading_prompt")})
CANVAS_TERMINALS = frozenset({"strategyClone", "strategy_clone", "tradingClone", "trading_clone"})


def unique_ids(subject: Subject) -> Iterator[Problem]:
    """Node and edge ids are unique in the graph, block ids in their stream."""
    graph = subject.graph
    groups = [("/nodes", [node.id for node in graph.nodes]), ("/edges", [edge.id for edge in graph.edges])]
    groups += [(f"{at}/config/blocks", [block.id for block in node.config.blocks]) for at, node in subject.streams()]
    for place, ids in groups:
        for identifier, count in Counter(ids).items():
            if count > 1:
                last = len(ids) - 1 - ids[::-1].index(identifier)
                message = f"The id {identifier} is used {count} times."
                yield Problem("duplicate_id", f"{place}/{last}/id", message, 1, count)


def legal_edges(subject: Subject) -> Iterator[Problem]:
    """Edges join existing nodes, of the two kinds that exist, once."""
    kinds = {node.id: node.type for node in subject.graph.nodes}
    seen: set[tuple[str, str]] = set()
    for index, edge in enumerate(subject.graph.edges):
        ends = [(end, name) for end, name in (("source", edge.source), ("target", edge.target)) if name not in kinds]
        for end, name in ends:
            yield Problem("dangling_edge", f"/edges/{index}/{end}", _no_node(name))
        if ends:
            continue
        kind = (kinds[edge.source], kinds[edge.target])
        if kind not in EDGE_KINDS:
            message = f"An edge cannot lead from {kind[0]} to {kind[1]}; streams lead to assets, assets to prompts."
            yield Problem("illegal_edge", f"/edges/{index}", message)
        if (edge.source, edge.target) in seen:
            yield Problem("duplicate_edge", f"/edges/{index}", f"{edge.source} is already joined to {edge.target}.")
        seen.add((edge.source, edge.target))


def no_cycle(subject: Subject) -> Iterator[Problem]:
    """The edges never lead in a circle; one is named by the nodes on it, at one of its edges."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for edge in sorted(subject.graph.edges, key=lambda edge: (edge.target, edge.source)):
        sorter.add(edge.target, edge.source)
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        steps = set(pairwise(circle))
        index = max(place for place, edge in enumerate(subject.graph.edges) if (edge.source, edge.target) in steps)
        yield Problem("cycle", f"/edges/{index}", f"The edges lead in a circle: {' → '.join(circle)}.")


def complete(subject: Subject) -> Iterator[Problem]:
    """An enabled prompt trades at least one asset with a text for it, and every asset traded reads a data stream."""
    if not subject.reach.enabled:
        yield Problem("no_prompt", "/nodes", "The graph has no enabled trading prompt.", 1, 0)
    for at, prompt in subject.prompts():
        if prompt.config.enabled:
            yield from _trades_something(subject, at, prompt.id)
    for at, selection in subject.selections():
        if not subject.reach.streams(selection):
            message = f"The assets of {selection.id} read no data stream."
            yield Problem("assets_without_stream", at, message, 1, 0)


def real_layout(subject: Subject) -> Iterator[Problem]:
    """The layout names nodes that exist."""
    layout = subject.graph.layout
    ids = {node.id for node in subject.graph.nodes}
    for identifier in sorted(layout.nodes.keys() - ids):
        yield Problem("layout_unknown_node", f"/layout/nodes/{escaped(identifier)}", f"There is no node {identifier}.")
    prompts = {prompt.id for prompt in subject.graph.prompts}
    connected = layout.strategy_clone.connected_prompt_node_ids if layout.strategy_clone else ()
    for place, identifier in enumerate(connected):
        if identifier not in prompts:
            pointer = f"/layout/strategyClone/connectedPromptNodeIds/{place}"
            yield Problem("layout_unknown_node", pointer, f"There is no trading prompt {identifier}.")


def _trades_something(subject: Subject, at: str, prompt_id: str) -> Iterator[Problem]:
    prompt = next(prompt for prompt in subject.reach.enabled if prompt.id == prompt_id)
    claimed = subject.reach.claims(prompt)
    if not claimed:
        yield Problem("prompt_without_assets", at, f"The prompt {prompt_id} trades no asset.", 1, 0)
        return
    config = prompt.config
    told = {symbol for symbol, override in config.asset_overrides.items() if override.enabled}
    if config.coverage_mode == "asset_specific_only" and not told & claimed.keys():
        message = f"The prompt {prompt_id} covers only assets with a text of their own, and none of its assets has one."
        yield Problem("prompt_without_text", f"{at}/config/assetOverrides", message, 1, 0)


def _no_node(name: str) -> str:
    if name in CANVAS_TERMINALS:
        return (
            "The Trading Clone block is only drawn: name the prompts that end in it in "
            "layout.strategyClone.connectedPromptNodeIds, not by an edge."
        )
    return f"There is no node {name}."
