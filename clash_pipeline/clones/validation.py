"""Validation at save: every problem at once, each with a code, the place, a sentence, and limit and actual number."""

from collections.abc import Callable, Iterator

from clash_pipeline.clones.budgets import BYTES_PER_TOKEN, tokens
from clash_pipeline.clones.entitlements import CANDIDATE_CAP, Capacity
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.problems import INCOMPLETE, GraphInvalid, GraphUnreadable, Problem, listed
from clash_pipeline.clones.reading import GRAPH_BYTES, decode, parse, read
from clash_pipeline.clones.rules import Subject
from clash_pipeline.clones.rules.limits import PROMPT_TOKENS, bounded_prompts, single_claims, within_tier
from clash_pipeline.clones.rules.streams import plain_groups, real_channels, whole_blocks
from clash_pipeline.clones.rules.symbols import known_groups, known_symbols, used_overrides
from clash_pipeline.clones.rules.topology import complete, legal_edges, no_cycle, real_layout, unique_ids
from clash_pipeline.market.listing import Listing

__all__ = [
    "BYTES_PER_TOKEN",
    "GRAPH_BYTES",
    "INCOMPLETE",
    "PROMPT_TOKENS",
    "RULES",
    "GraphInvalid",
    "GraphUnreadable",
    "Problem",
    "decode",
    "parse",
    "problems",
    "read",
    "tokens",
]

RULES: tuple[Callable[[Subject], Iterator[Problem]], ...] = (
    unique_ids,
    legal_edges,
    no_cycle,
    complete,
    known_symbols,
    known_groups,
    used_overrides,
    real_channels,
    whole_blocks,
    plain_groups,
    single_claims,
    within_tier,
    bounded_prompts,
    real_layout,
)


def problems(
    graph: Graph, listing: Listing, capacity: Capacity, *, candidate_cap: int = CANDIDATE_CAP
) -> list[Problem]:
    """Everything that is wrong with a well-formed graph, in the order of the rules; empty when it may be published."""
    subject = Subject(graph, listing, capacity, candidate_cap)
    return listed([problem for rule in RULES for problem in rule(subject)])
