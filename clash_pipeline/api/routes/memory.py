"""Market memory for the workflow: what a block would read now, Polymarket search, DefiLlama subjects (06 memory)."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import StringConstraints
from pydantic.alias_generators import to_camel

from clash_pipeline import clone_desk
from clash_pipeline.api.documenting import refuses
from clash_pipeline.api.graphs import GraphJson, plain
from clash_pipeline.api.parts import Me, Paging, Parts
from clash_pipeline.api.problems import not_found
from clash_pipeline.api.routing import for_user, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Cursor, Decimal, Given, PageSize, Shown, Text, Time
from clash_pipeline.clones import latest, validation
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.latest import Latest, Left, Read
from clash_pipeline.market.defillama import store as macro
from clash_pipeline.market.polymarket import search
from clash_pipeline.market.polymarket.search import Market
from clash_pipeline.services import Services

router = area("/api/v1/memory", "memory")
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Scope = Literal["global", "chain", "protocol", "stablecoin"]


class LatestRequest(Given):
    """A graph, finished or not, and which of its nodes and blocks; all of them without."""

    graph: GraphJson
    node: Name | None = None
    block: Name | None = None


class ReadShown(Shown):
    """One read as it would be made now: `found` of `expected` rows, the newest of them, and what is wrong with it.

    `problem` is null, `missing`, `warming_up`, `stale` or `late`; `symbol` is empty while no asset is connected.
    """

    node: str
    block: str
    symbol: str
    context_symbol: str
    source: str
    channel: str
    scope: str
    subject: str
    market: str
    lookback_sec: int
    granularity_sec: int
    points: int
    inclusion: str
    found: int
    expected: int
    newest: dict[str, Any] | None
    newest_at: Time | None
    age_ms: int | None
    problem: str | None
    reason: str | None


class DroppedShown(Shown):
    """A read that was asked for and cannot be made, and why."""

    node: str
    block: str
    symbol: str
    context_symbol: str
    source: str
    channel: str
    reason: str


class LatestShown(Shown):
    """Everything the streams of a graph would read at one moment."""

    as_of: Time
    reads: list[ReadShown]
    dropped: list[DroppedShown]


class OutcomeShown(Shown):
    """An outcome and its price as last seen, null where none was."""

    name: str
    price: Decimal | None


class MarketShown(Shown):
    """An open Polymarket market; its texts are third parties', cleaned and bounded."""

    market_id: str
    slug: str
    event_slug: str | None
    event_title: str | None
    question: str
    outcomes: list[OutcomeShown]
    starts_at: Time | None
    ends_at: Time | None
    liquidity: float | None
    volume: float | None
    sampled_at: Time
    symbols: list[str]


class MarketList(Shown):
    """A page of markets, soonest end first."""

    items: list[MarketShown]
    next_cursor: str | None


class SubjectShown(Shown):
    """A DefiLlama subject and the newest hour of it."""

    scope: Scope
    subject: str
    newest_at: Time


class SubjectList(Shown):
    """A page of subjects by scope and name."""

    items: list[SubjectShown]
    next_cursor: str | None


@router.post("/latest", summary="What the blocks of a graph would read now")
@for_user
@refuses(404, 503)
def latest_of_graph(given: LatestRequest, me: Me, parts: Parts) -> LatestShown:
    """The same retrieval as a decision's, for a graph on the canvas; nothing is stored."""
    return latest_of(parts, validation.parse(plain(given.graph)), given.node, given.block)


@router.get("/polymarket/markets", summary="Search Polymarket markets")
@public
def search_markets(
    parts: Parts,
    paging: Paging,
    search_text: Annotated[Text | None, Query(alias="search")] = None,
    symbol: Annotated[str | None, Query(max_length=40, description="Only markets linked to this asset.")] = None,
    cursor: Cursor = None,
    limit: PageSize = 50,
) -> MarketList:
    """Open markets that hold every word of the text in question, event or slug, soonest end first."""
    after = paging.open("markets", cursor)
    with parts.market.read() as connection:
        found = search.search(
            connection, now_ms=parts.clock.now_ms(), text=search_text or "", symbol=symbol,
            after=(after[0], after[1]) if after else (0, ""), most=limit + 1,
        )  # fmt: skip
    page = paging.page("markets", found, limit, lambda market: list(market.position))
    return MarketList(items=[_market(market) for market in page.items], next_cursor=page.next_cursor)


@router.get("/defillama/subjects", summary="List DefiLlama subjects")
@public
def list_subjects(
    parts: Parts,
    paging: Paging,
    scope: Scope | None = None,
    search_text: Annotated[Text | None, Query(alias="search")] = None,
    cursor: Cursor = None,
    limit: PageSize = 50,
) -> SubjectList:
    """The chains, protocols, stablecoins and totals that a block may read."""
    after = paging.open("subjects", cursor)
    with parts.market.read() as connection:
        known = macro.subjects(connection, scope)
    wanted = (search_text or "").lower()
    found = [
        each
        for each in known
        if wanted in each.subject.lower() and (after is None or [each.scope, each.subject] > after)
    ]
    page = paging.page("subjects", found[: limit + 1], limit, lambda each: [each.scope, each.subject])
    items = [SubjectShown(scope=each.scope, subject=each.subject, newest_at=each.t) for each in page.items]  # type: ignore[arg-type]
    return SubjectList(items=items, next_cursor=page.next_cursor)


def latest_of(parts: Services, graph: Graph, node: str | None, block: str | None) -> LatestShown:
    """What a graph would read now, of one node or block of it where one is named.

    Raises:
        Problem: 404 for a node or block that it does not have.
    """
    _require(graph, node, block)
    listed, now_ms = clone_desk.registry(parts), parts.clock.now_ms()
    with parts.market.read() as connection:
        return _latest(latest.latest(connection, graph, listed, now_ms, node=node, block=block))


def _require(graph: Graph, node: str | None, block: str | None) -> None:
    streams = [stream for stream in graph.streams if node in (None, stream.id)]
    if node is not None and not streams:
        raise not_found("data stream node in this graph")
    if block is not None and all(block != each.id for stream in streams for each in stream.config.blocks):
        raise not_found("block in this graph")


def _latest(found: Latest) -> LatestShown:
    return LatestShown(
        as_of=found.as_of,
        reads=[_read(read) for read in found.reads],
        dropped=[_dropped(left) for left in found.dropped],
    )


def _read(read: Read) -> ReadShown:
    entry = read.entry
    return ReadShown(
        node=read.node, block=read.block, symbol=read.symbol, context_symbol=entry.context_symbol, source=entry.source,
        channel=entry.channel, scope=entry.scope, subject=entry.subject, market=entry.market,
        lookback_sec=entry.lookback_sec, granularity_sec=entry.granularity_sec, points=entry.points,
        inclusion=entry.inclusion, found=read.found, expected=read.expected, newest=_camel(read.newest),
        newest_at=read.newest_t, age_ms=read.age_ms, problem=read.problem, reason=read.reason,
    )  # fmt: skip


def _camel(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {to_camel(name): value for name, value in row.items()}


def _dropped(left: Left) -> DroppedShown:
    dropped = left.dropped
    return DroppedShown(
        node=left.node, block=dropped.block, symbol=dropped.symbol, context_symbol=dropped.context_symbol,
        source=dropped.source, channel=dropped.channel, reason=dropped.reason,
    )  # fmt: skip


def _market(market: Market) -> MarketShown:
    prices: list[str | None] = [*market.prices, *[None] * (len(market.outcomes) - len(market.prices))]
    outcomes = [OutcomeShown(name=name, price=price) for name, price in zip(market.outcomes, prices, strict=False)]
    return MarketShown(
        market_id=market.market_id, slug=market.slug, event_slug=market.event_slug, event_title=market.event_title,
        question=market.question, outcomes=outcomes, starts_at=market.start_at, ends_at=market.end_at,
        liquidity=market.liquidity, volume=market.volume, sampled_at=market.sampled_at, symbols=list(market.symbols),
    )  # fmt: skip
