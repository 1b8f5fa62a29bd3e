"""What each block of a graph would read now: for the review panel of the workflow, drafts that are unfinished included.

The same compiler rules and the same retrieval as a decision's; only it asks for every stream and asset of the graph,
whether or not a prompt is connected yet. Texts that strangers wrote come out cleaned.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from clash_pipeline.clock import iso
from clash_pipeline.clones.compiler import reads_of
from clash_pipeline.clones.graph import DataStreamNode, Graph
from clash_pipeline.clones.selection import universe
from clash_pipeline.market import retrieval
from clash_pipeline.market.listing import Listing
from clash_pipeline.market.polymarket import targets
from clash_pipeline.market.read_plan import Dropped, ReadEntry, ReadPlan
from clash_pipeline.market.retrieval import Section
from clash_pipeline.market.text import SHOWN_CHARACTERS, clean
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import scaled_text

NO_ASSET = ""
"""Stands for the traded asset where a stream leads to none yet."""


class Read(msgspec.Struct, frozen=True):
    """One read as it would be made now; `newest` is its newest row, readable, None where there is none.

    `found` of `expected` rows are there; `symbol` is empty while the stream leads to no asset; `reason` says why a
    named market is missing, where that is known.
    """

    node: str
    block: str
    symbol: str
    entry: ReadEntry
    found: int
    expected: int
    newest: dict[str, Any] | None
    newest_t: int | None
    age_ms: int | None
    problem: str | None
    reason: str | None = None


class Left(msgspec.Struct, frozen=True):
    """A read that was asked for and cannot be made, and why."""

    node: str
    dropped: Dropped


class Latest(msgspec.Struct, frozen=True):
    """Everything the streams of a graph would read at `as_of`, by node and asset, in canonical order."""

    as_of: int
    reads: tuple[Read, ...]
    dropped: tuple[Left, ...]


def latest(
    connection: Connection,
    graph: Graph,
    listing: Listing,
    as_of: int,
    *,
    node: str | None = None,
    block: str | None = None,
) -> Latest:
    """What the streams of a graph would read now, of all of them or of one node, one block."""
    streams = sorted((stream for stream in graph.streams if node in (None, stream.id)), key=lambda stream: stream.id)
    plans = [_plans(graph, stream, listing, block) for stream in streams]
    found = retrieval.retrieve_branches(connection, plans, as_of)
    refusals = targets.problems(connection)
    reads = (
        _read(stream.id, section, refusals)
        for stream, of_stream in zip(streams, found, strict=True)
        for symbol in of_stream
        for section in of_stream[symbol].sections
    )
    dropped = (
        Left(stream.id, each)
        for stream, of_stream in zip(streams, plans, strict=True)
        for plan in of_stream
        for each in plan.dropped
    )
    return Latest(as_of, tuple(reads), tuple(dropped))


def _plans(graph: Graph, stream: DataStreamNode, listing: Listing, block: str | None) -> list[ReadPlan]:
    """The plans of one stream by asset; without one, what its blocks read by themselves."""
    symbols = _reached(graph, stream, listing)
    by_symbol = (
        {symbol: list(reads_of(stream.config, symbol, listing.get(symbol), listing)) for symbol in symbols}
        if symbols
        else {NO_ASSET: list(_own_subjects(stream, listing))}
    )
    return [_plan(symbol, reads, block) for symbol, reads in by_symbol.items()]


def _plan(symbol: str, reads: Iterable[ReadEntry | Dropped], block: str | None) -> ReadPlan:
    wanted = {read for read in reads if block in (None, read.block)}
    entries = tuple(sorted(read for read in wanted if isinstance(read, ReadEntry)))
    return ReadPlan(symbol, entries, tuple(sorted(read for read in wanted if isinstance(read, Dropped))))


def _reached(graph: Graph, stream: DataStreamNode, listing: Listing) -> list[str]:
    """Every asset of the selections that the stream leads to."""
    targets = {edge.target for edge in graph.edges if edge.source == stream.id}
    selections = (selection for selection in graph.selections if selection.id in targets)
    return sorted({symbol for selection in selections for symbol in universe(selection.config, listing)})


def _own_subjects(stream: DataStreamNode, listing: Listing) -> Iterator[ReadEntry | Dropped]:
    """What blocks read that name their subject; the others wait for an asset."""
    for block in stream.config.blocks:
        context = block.context_symbol or NO_ASSET
        if block.source != "defillama" and block.channel != "market" and not context:
            yield Dropped(NO_ASSET, NO_ASSET, block.source, block.channel, "no_asset_selected", block.id)
            continue
        alone = stream.config.model_copy(update={"blocks": (block,)})
        for read in reads_of(alone, context, listing.get(context), listing):
            if read.block == block.id:
                yield msgspec.structs.replace(read, symbol=NO_ASSET)


def _read(node: str, section: Section, refusals: Mapping[str, str]) -> Read:
    entry = section.entry
    newest = _readable(section) if section.rows else None
    reason = refusals.get(entry.market) if section.problem else None
    return Read(
        node, entry.block, entry.symbol, entry, len(section.rows), section.expected, newest, section.newest_t,
        section.age_ms, section.problem, reason,
    )  # fmt: skip


def _readable(section: Section) -> dict[str, Any]:
    """The newest row by column name: times as text, rates as decimals, outcomes with their prices."""
    row = dict(zip(section.columns, section.rows[-1], strict=True))
    return {name: value for column in row for name, value in _shown(column, row).items()}


def _shown(column: str, row: dict[str, Any]) -> dict[str, Any]:
    value = row[column]
    if column in ("t", "end_at"):
        return {column: None if value is None else iso(value)}
    if column == "rate_e10":
        return {"rate": scaled_text(value, 10)}
    if column == "outcomes":
        return {"outcomes": _outcomes(value, row["prices"])}
    if column == "prices":
        return {}
    return {column: _text(value) if isinstance(value, str) else value}


def _outcomes(names: str, prices: str) -> dict[str, str]:
    """Price by outcome; both are JSON lists of one length where the venue keeps its form."""
    pairs = zip(json.loads(names), json.loads(prices), strict=False)
    return {_text(str(name)): _text(str(price)) for name, price in pairs}


def _text(value: str) -> str:
    return clean(value, max_bytes=4 * SHOWN_CHARACTERS, max_characters=SHOWN_CHARACTERS)
