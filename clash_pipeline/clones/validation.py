"""Validation at save: every problem at once, each with a code, the place, a sentence, and limit and actual number."""

from collections.abc import Callable, Iterator
from typing import Any

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
from clash_pipeline.clones.salvage import salvage
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
    "every_problem",
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
OF_THE_WHOLE = frozenset({complete, used_overrides, single_claims, within_tier})
"""Rules that count or join: of a part of a graph they would say what is not so."""


def problems(
    graph: Graph, listing: Listing, capacity: Capacity, *, candidate_cap: int = CANDIDATE_CAP
) -> list[Problem]:
    """Everything that is wrong with a well-formed graph, in the order of the rules; empty when it may be published."""
    subject = Subject(graph, listing, capacity, candidate_cap)
    return listed([problem for rule in RULES for problem in rule(subject)])


def every_problem(
    error: GraphInvalid, content: Any, listing: Listing, capacity: Capacity, *, candidate_cap: int = CANDIDATE_CAP
) -> list[Problem]:
    """The errors of form that `parse` found in a graph, and what the rules find in everything that is well formed."""
    found = salvage(content) if not error.is_unbounded else None
    if found is None:
        return error.problems
    graph, rest = found
    subject = Subject(graph, listing, capacity, candidate_cap)
    rules = [rule for rule in RULES if not (rest.touches_executed and rule in OF_THE_WHOLE)]
    places = {problem.pointer for problem in error.problems}
    more = [rest.in_document(problem) for rule in rules for problem in rule(subject) if rest.is_real(problem)]
    return listed([*error.problems, *(problem for problem in more if problem.pointer not in places)])
