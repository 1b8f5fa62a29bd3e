"""Validation at save: every problem at once, each with a code, the place, a sentence, and limit and actual number."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from clash_pipeline.clones import compiler
from clash_pipeline.clones.entitlements import CANDIDATE_CAP, Capacity
from clash_pipeline.clones.graph import Block, Graph
from clash_pipeline.market.listing import Listing
from clash_pipeline.market.read_plan import CHANNELS

PROMPT_TOKENS = 4_000
BYTES_PER_TOKEN = 4
EDGE_KINDS = frozenset({("data_stream", "asset_selection"), ("asset_selection", "trading_prompt")})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (a JSON pointer), what, and the limit with the actual number if there is one."""

    code: str
    pointer: str
    message: str
    limit: int | None = None
    actual: int | None = None

    def wire(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


class GraphInvalid(ValueError):
    """A graph that must not be stored; `problems` has all of them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{first.pointer or '/'}: {first.message}{more}")


@dataclass(frozen=True)
class Subject:
    """What the rules look at."""

    graph: Graph
    listing: Listing
    capacity: Capacity


def tokens(text: str) -> int:
    """Tokens of a text by the documented estimate: UTF-8 bytes by four, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def parse(content: Any) -> Graph:
    """A graph from plain JSON objects.

    Raises:
        GraphInvalid: with every problem of form.
    """
    try:
        return Graph.model_validate(content)
    except ValidationError as error:
        raise GraphInvalid([_of_form(item) for item in error.errors(include_url=False, include_input=False)]) from None


def problems(graph: Graph, listing: Listing, capacity: Capacity) -> list[Problem]:
    """Everything that is wrong with a well-formed graph, in the order of the rules; empty when it may be published."""
    subject = Subject(graph, listing, capacity)
    return [problem for rule in RULES for problem in rule(subject)]


def unique_ids(subject: Subject) -> Iterator[Problem]:
    """Node, edge and block ids are unique."""
    graph = subject.graph
    groups = [("nodes", [node.id for node in graph.nodes]), ("edges", [edge.id for edge in graph.edges])]
    for index, node in enumerate(graph.nodes):
        if node.type == "data_stream":
            groups.append((f"nodes/{index}/config/blocks", [block.id for block in node.config.blocks]))
    for place, ids in groups:
        for identifier, count in Counter(ids).items():
            if count > 1:
                last = len(ids) - 1 - ids[::-1].index(identifier)
                yield Problem(
                    "duplicate_id", f"/{place}/{last}/id", f"The id {identifier} is used {count} times.", 1, count
                )


def legal_edges(subject: Subject) -> Iterator[Problem]:
    """Edges join existing nodes, of the two kinds that exist, once; such a graph has no cycle."""
    kinds = {node.id: node.type for node in subject.graph.nodes}
    seen: set[tuple[str, str]] = set()
    for index, edge in enumerate(subject.graph.edges):
        ends = [end for end in ("source", "target") if getattr(edge, end) not in kinds]
        for end in ends:
            yield Problem("dangling_edge", f"/edges/{index}/{end}", f"There is no node {getattr(edge, end)}.")
        if ends:
            continue
        kind = (kinds[edge.source], kinds[edge.target])
        if kind not in EDGE_KINDS:
            message = f"An edge cannot lead from {kind[0]} to {kind[1]}; streams lead to assets, assets to prompts."
            yield Problem("illegal_edge", f"/edges/{index}", message)
        if (edge.source, edge.target) in seen:
            yield Problem("duplicate_edge", f"/edges/{index}", f"{edge.source} is already joined to {edge.target}.")
        seen.add((edge.source, edge.target))


def complete(subject: Subject) -> Iterator[Problem]:
    """An enabled prompt trades at least one asset, and every asset it trades reads at least one stream."""
    graph = subject.graph
    if not any(prompt.config.enabled for prompt in graph.prompts):
        yield Problem("no_prompt", "/nodes", "The graph has no enabled trading prompt.", 1, 0)
    for index, node in enumerate(graph.nodes):
        if node.type == "trading_prompt" and node.config.enabled and not compiler.claims(graph, node, subject.listing):
            yield Problem("prompt_without_assets", f"/nodes/{index}", f"The prompt {node.id} trades no asset.", 1, 0)
        if node.type == "asset_selection" and not _reads_a_stream(graph, node.id):
            yield Problem(
                "assets_without_stream", f"/nodes/{index}", f"The assets of {node.id} read no data stream.", 1, 0
            )


def known_symbols(subject: Subject) -> Iterator[Problem]:
    """Every symbol that is named is listed, and what is traded is not delisted."""
    for index, node in enumerate(subject.graph.nodes):
        base = f"/nodes/{index}/config"
        if node.type == "asset_selection":
            for place, symbol in enumerate(node.config.explicitly_enabled_symbols):
                pointer = f"{base}/explicitlyEnabledSymbols/{place}"
                listed = subject.listing.get(symbol)
                if listed is None:
                    yield _unknown(pointer, symbol)
                elif listed.is_delisted:
                    yield Problem("symbol_delisted", pointer, f"{symbol} is no longer traded on Hyperliquid.")
        if node.type == "data_stream":
            for place, block in enumerate(node.config.blocks):
                if block.context_symbol is not None and block.context_symbol not in subject.listing:
                    yield _unknown(f"{base}/blocks/{place}/contextSymbol", block.context_symbol)


def real_channels(subject: Subject) -> Iterator[Problem]:
    """Blocks and edited depths name channels that exist, and blocks name their subject."""
    keys = {f"{source}.{channel}" for source, channels in CHANNELS.items() for channel in channels}
    for index, node in enumerate(subject.graph.nodes):
        if node.type != "data_stream":
            continue
        base = f"/nodes/{index}/config"
        for profile, definitions in node.config.profile_definitions.items():
            for key in definitions.keys() - keys:
                yield _no_channel(f"{base}/profileDefinitions/{profile}/{_escaped(key)}", key)
        for symbol, override in node.config.asset_overrides.items():
            for key in override.channels.keys() - keys:
                yield _no_channel(f"{base}/assetOverrides/{_escaped(symbol)}/channels/{_escaped(key)}", key)
        for place, block in enumerate(node.config.blocks):
            yield from _block_problems(block, f"{base}/blocks/{place}")


def single_claims(subject: Subject) -> Iterator[Problem]:
    """An active asset is claimed by exactly one enabled prompt."""
    owner: dict[str, str] = {}
    for index, node in enumerate(subject.graph.nodes):
        if node.type != "trading_prompt" or not node.config.enabled:
            continue
        for symbol in compiler.claims(subject.graph, node, subject.listing):
            if symbol in owner:
                message = f"{symbol} is already traded by the prompt {owner[symbol]}."
                yield Problem("duplicate_claim", f"/nodes/{index}", message, 1, 2)
            owner.setdefault(symbol, node.id)


def within_tier(subject: Subject) -> Iterator[Problem]:
    """Assets, prompts and links stay within the capacity tier (02 Entitlements)."""
    graph, listing, capacity = subject.graph, subject.listing, subject.capacity
    enabled = [prompt for prompt in graph.prompts if prompt.config.enabled]
    symbols = {symbol for prompt in enabled for symbol in compiler.claims(graph, prompt, listing)}
    found = compiler.links(graph, listing)
    per_asset = Counter(symbol for _, symbol in found)
    busiest = max(per_asset.values(), default=0)
    for code, what, limit, actual in (
        ("too_many_assets", "active assets", capacity.assets, len(symbols)),
        ("too_many_prompts", "enabled prompts", capacity.prompts, len(enabled)),
        ("too_many_links_per_asset", "links to one asset", capacity.links_per_asset, busiest),
        ("too_many_links", "links in all", capacity.links, len(found)),
    ):
        if actual > limit:
            yield Problem(
                code,
                "/nodes",
                f"The {capacity.name} tier allows {limit} {what}, this graph has {actual}.",
                limit,
                actual,
            )


def bounded_prompts(subject: Subject) -> Iterator[Problem]:
    """Custom prompts and candidate caps stay within their limits."""
    for index, node in enumerate(subject.graph.nodes):
        if node.type != "trading_prompt":
            continue
        base = f"/nodes/{index}/config"
        texts = [("customBehaviorPrompt", node.config.custom_behavior_prompt)]
        for symbol, override in node.config.asset_overrides.items():
            texts.append((f"assetOverrides/{_escaped(symbol)}/customBehaviorPrompt", override.custom_behavior_prompt))
        for place, text in texts:
            if (count := tokens(text)) > PROMPT_TOKENS:
                message = f"A custom prompt has at most {PROMPT_TOKENS} tokens, this one has about {count}."
                yield Problem("prompt_too_long", f"{base}/{place}", message, PROMPT_TOKENS, count)
        if (cap := node.config.candidate_policy.max_candidates) > CANDIDATE_CAP:
            message = f"More than {CANDIDATE_CAP} candidates need an operator's grant."
            yield Problem("candidates_need_grant", f"{base}/candidatePolicy/maxCandidates", message, CANDIDATE_CAP, cap)


def real_layout(subject: Subject) -> Iterator[Problem]:
    """The layout names nodes that exist."""
    layout = subject.graph.layout
    ids = {node.id for node in subject.graph.nodes}
    for identifier in sorted(layout.nodes.keys() - ids):
        yield Problem("layout_unknown_node", f"/layout/nodes/{_escaped(identifier)}", f"There is no node {identifier}.")
    for place, identifier in enumerate(
        layout.strategy_clone.connected_prompt_node_ids if layout.strategy_clone else ()
    ):
        if identifier not in {prompt.id for prompt in subject.graph.prompts}:
            pointer = f"/layout/strategyClone/connectedPromptNodeIds/{place}"
            yield Problem("layout_unknown_node", pointer, f"There is no trading prompt {identifier}.")


RULES: tuple[Callable[[Subject], Iterator[Problem]], ...] = (
    unique_ids,
    legal_edges,
    complete,
    known_symbols,
    real_channels,
    single_claims,
    within_tier,
    bounded_prompts,
    real_layout,
)


def _reads_a_stream(graph: Graph, selection_id: str) -> bool:
    return bool(graph.sources_of(selection_id) & {stream.id for stream in graph.streams})


def _block_problems(block: Block, pointer: str) -> Iterator[Problem]:
    if block.channel not in CHANNELS[block.source]:
        yield _no_channel(f"{pointer}/channel", f"{block.source}.{block.channel}")
    if block.source == "defillama" and (block.scope is None or block.subject is None):
        yield Problem("block_without_subject", pointer, "A DefiLlama block needs a scope and a subject.")
    if block.source == "polymarket" and block.channel == "market" and not (block.market_slug or block.event_slug):
        yield Problem("block_without_subject", pointer, "A Polymarket block needs a marketSlug or an eventSlug.")


def _unknown(pointer: str, symbol: str) -> Problem:
    return Problem("symbol_unknown", pointer, f"Hyperliquid lists no asset {symbol}.")


def _no_channel(pointer: str, key: str) -> Problem:
    return Problem("channel_unknown", pointer, f"There is no channel {key}.")


def _of_form(item: Any) -> Problem:
    pointer = "".join(f"/{_escaped(str(part))}" for part in item["loc"] if part not in NODE_TAGS)
    return Problem(f"form_{item['type']}", pointer, f"{item['msg']}.".replace("..", "."))


NODE_TAGS = frozenset({"data_stream", "asset_selection", "trading_prompt"})
"""Steps of the union that stand in pydantic's path but not in the document."""


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
