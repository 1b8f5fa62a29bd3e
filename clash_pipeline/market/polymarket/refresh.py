"""Polymarket's use-cases, for the ingester and for Dagster alike: discovery, the immediate and the later market.

Each records its own `ingestion_runs` row. What was read before a failure is kept, and the failure is raised after it:
failed is not empty. Targets come first in all of them.
"""

from collections.abc import AsyncIterator, Iterable

from clash_pipeline.clock import HOUR_MS, Clock
from clash_pipeline.market import ingestion
from clash_pipeline.market.http import VenueError, VenueMalformed, VenueRefused, VenueUnavailable
from clash_pipeline.market.polymarket import store, wire
from clash_pipeline.market.polymarket.books import Books
from clash_pipeline.market.polymarket.client import PolymarketClient
from clash_pipeline.market.polymarket.links import Asset, Linker, search_query
from clash_pipeline.market.polymarket.selection import Candidate, choose
from clash_pipeline.market.polymarket.store import Kind
from clash_pipeline.market.polymarket.targets import refresh_if_due
from clash_pipeline.market.polymarket.wire import SOURCE, Market, Page, Quote
from clash_pipeline.market.report import Report, keep_refused, report_of
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

RECURRING_COINS = ("btc", "eth", "sol", "xrp")
RECURRING_MINUTES = (5, 15, 240)
"""Windows of the up/down markets, shortest first (sources 2.4); general listings may leave them out."""
ROUNDS = 4
"""How often a choice that turns out closed is replaced within one refresh."""
FAILURES_IN_A_ROW = 3
"""Then the venue is down, and the rest of the round is not asked for."""


async def refresh_discovery(
    market: Database, client: PolymarketClient, *, clock: Clock, settings: Settings, slugs: Iterable[str] = ()
) -> Report:
    """Crawl the open events of the crypto tags, then search for assets that have no market, and link all to assets.

    Raises:
        VenueError: the crawl or a search did not come to its end; what was read is kept.
    """
    wanted = tuple(slugs)

    async def targets_first() -> None:
        await refresh_if_due(market, client, clock=clock, settings=settings, slugs=wanted)

    await targets_first()
    with ingestion.run(market, SOURCE, "discovery", clock) as cycle:
        with market.read() as connection:
            assets = store.assets(connection)
        discovery = _Discovery(market, client, clock, Linker(assets), cycle)
        failure: VenueError | None = None
        try:
            for tag in filter(None, (part.strip() for part in settings.polymarket_tags.split(","))):
                async for _ in discovery.crawl(tag, most_pages=settings.polymarket_max_pages):
                    await targets_first()
        except VenueError as error:
            failure = error
        await discovery.search(assets, most=settings.polymarket_searches)
        with market.read() as connection:
            cycle.covered = len(assets) - len(store.unlinked(connection, clock.now_ms()))
        if failure is not None:
            raise failure
        cycle.through_t = clock.now_ms()
    return report_of(cycle)


async def refresh_immediate(
    market: Database, client: PolymarketClient, *, clock: Clock, settings: Settings, slugs: Iterable[str] = ()
) -> Report:
    """Choose and sample the live market of each linked asset that ends soonest within 24 h.

    Raises:
        VenueUnavailable: some markets could not be asked for; the others are written.
    """
    await refresh_if_due(market, client, clock=clock, settings=settings, slugs=slugs)
    with ingestion.run(market, SOURCE, "immediate", clock) as cycle:
        choosing = _Choosing(market, client, clock, settings, cycle, "immediate")
        await choosing.find_recurring()
        await choosing.run()
    return report_of(cycle)


async def refresh_later(
    market: Database, client: PolymarketClient, *, clock: Clock, settings: Settings, slugs: Iterable[str] = ()
) -> Report:
    """Choose and sample the most liquid market of each linked asset that ends after its immediate one.

    Raises:
        VenueUnavailable: some markets could not be asked for; the others are written.
    """
    await refresh_if_due(market, client, clock=clock, settings=settings, slugs=slugs)
    with ingestion.run(market, SOURCE, "later", clock) as cycle:
        await _Choosing(market, client, clock, settings, cycle, "later").run()
    return report_of(cycle)


class _Discovery:
    """One crawl and the searches after it."""

    def __init__(
        self, market: Database, client: PolymarketClient, clock: Clock, linker: Linker, cycle: ingestion.Cycle
    ) -> None:
        self._market = market
        self._client = client
        self._clock = clock
        self._linker = linker
        self._cycle = cycle

    async def crawl(self, tag: str, *, most_pages: int) -> AsyncIterator[Page]:
        """Read and keep page after page; yields after each one.

        Raises:
            VenueMalformed: the pages go round in a circle, or do not end.
        """
        cursor: str | None = None
        cursors: set[str] = set()
        seen: set[str] = set()
        for count in range(1, most_pages + 1):
            page = await self._client.events(tag, cursor)
            self._keep(page, "crawl", tag)
            yield page
            events = {event.event_id for event in page.events}
            cursor = page.next_cursor
            if cursor is None:
                return
            if cursor in cursors or (events and events <= seen):
                raise self._stopped("crawl_circle", f"page {count} of tag {tag} leads back to pages already read")
            cursors.add(cursor)
            seen |= events
        raise self._stopped("crawl_endless", f"tag {tag} has more than {most_pages} pages")

    async def search(self, assets: list[Asset], *, most: int) -> None:
        """Search for assets without a market, another part of them each hour."""
        with self._market.read() as connection:
            unlinked = store.unlinked(connection, self._clock.now_ms())
        queries = sorted({query for asset in assets if asset.symbol in unlinked and (query := search_query(asset))})
        for query in turn(queries, self._clock.now_ms() // HOUR_MS, most):
            try:
                self._keep(await self._client.search(query), "search", None)
            except VenueRefused as refused:
                self._reject("search_refused", f"{query}: {refused}")

    def _keep(self, page: Page, source: store.Found, tag: str | None) -> None:
        now_ms = self._clock.now_ms()
        with self._market.write() as connection:
            kept = store.keep(connection, page, source=source, now_ms=now_ms, linker=self._linker, tag=tag)
            self._cycle.rejected += keep_refused(connection, SOURCE, "discovery", page.refused, now_ms)
        self._cycle.rows += kept.rows

    def _stopped(self, reason: str, message: str) -> VenueMalformed:
        self._reject(reason, message)
        return VenueMalformed(SOURCE, message)

    def _reject(self, reason: str, message: str) -> None:
        with self._market.write() as connection:
            ingestion.reject(connection, SOURCE, "discovery", reason, message, self._clock.now_ms())
        self._cycle.rejected += 1


class _Choosing:
    """One refresh of a kind of choice: choose from memory, ask the venue, choose again where that market closed."""

    def __init__(
        self,
        market: Database,
        client: PolymarketClient,
        clock: Clock,
        settings: Settings,
        cycle: ingestion.Cycle,
        kind: Kind,
    ) -> None:
        self._market = market
        self._client = client
        self._clock = clock
        self._later_days = settings.polymarket_later_days
        self._books = Books(client, is_on=settings.polymarket_books)
        self._cycle = cycle
        self._kind: Kind = kind
        self._fresh: dict[str, Market] = {}
        self._asked: set[str] = set()
        self._failures: list[str] = []
        self._in_a_row = 0

    async def find_recurring(self) -> None:
        """Make sure the up/down window of the moment is in memory, the shortest that the venue has."""
        with self._market.read() as connection:
            linker = Linker(store.assets(connection))
        for coin in RECURRING_COINS:
            if linker.knows(coin):
                await self._find_window(coin, linker)

    async def run(self) -> None:
        """Choose, refresh and record.

        Raises:
            VenueUnavailable: some markets could not be asked for.
        """
        for _ in range(ROUNDS):
            chosen = self._chosen()
            pending = {found.market_id: found for found in chosen.values() if found.market_id not in self._asked}
            if not pending or self._is_down():
                break
            for found in pending.values():
                await self._refresh(found)
        await self._record(self._chosen())
        if self._failures:
            raise VenueUnavailable(
                SOURCE, f"{len(self._failures)} {self._kind} markets were not asked for: {self._failures[0]}"
            )

    def _chosen(self) -> dict[str, Candidate]:
        now_ms = self._clock.now_ms()
        with self._market.read() as connection:
            offered = store.candidates(connection, now_ms, days=self._later_days)
        choices = {symbol: choose(found, now_ms, later_days=self._later_days) for symbol, found in offered.items()}
        picked = {symbol: getattr(choice, self._kind) for symbol, choice in choices.items()}
        return {symbol: found for symbol, found in picked.items() if found is not None}

    async def _find_window(self, coin: str, linker: Linker) -> None:
        for minutes in RECURRING_MINUTES:
            slug = wire.recurring_slug(coin, minutes, self._clock.now_ms())
            with self._market.read() as connection:
                if store.known_open(connection, slug):
                    return
            page = await self._page(slug)
            if page is not None:
                self._keep(page, linker)
                return

    async def _refresh(self, found: Candidate) -> None:
        if self._is_down():
            return
        self._asked.add(found.market_id)
        failures = len(self._failures)
        page = await self._page(found.slug)
        if len(self._failures) > failures:
            return
        self._keep(page or Page((), ()), None)
        fresh = {market.market_id: market for market in (page.markets if page else ()) if not market.is_closed}
        if found.market_id in fresh:
            self._fresh[found.market_id] = fresh[found.market_id]
        elif page is None:
            with self._market.write() as connection:
                store.mark_closed(connection, found.market_id, self._clock.now_ms())

    async def _page(self, slug: str) -> Page | None:
        """The market of a slug; a failure is remembered and looks like None."""
        if self._is_down():
            return None
        try:
            page = await self._client.market(slug)
        except VenueError as error:
            self._failures.append(str(error))
            self._in_a_row += 1
            return None
        self._in_a_row = 0
        return page

    def _is_down(self) -> bool:
        return self._in_a_row >= FAILURES_IN_A_ROW

    def _keep(self, page: Page, linker: Linker | None) -> None:
        now_ms = self._clock.now_ms()
        with self._market.write() as connection:
            kept = store.keep(connection, page, source="recurring", now_ms=now_ms, linker=linker)
            self._cycle.rejected += keep_refused(connection, SOURCE, self._kind, page.refused, now_ms)
        self._cycle.rows += kept.rows

    async def _record(self, chosen: dict[str, Candidate]) -> None:
        fresh = {symbol: self._fresh[c.market_id] for symbol, c in chosen.items() if c.market_id in self._fresh}
        sampled = {market.market_id: market for market in fresh.values()}
        books: dict[str, Quote | None] = {
            market_id: await self._books.of(market) for market_id, market in sampled.items()
        }
        now_ms = self._clock.now_ms()
        with self._market.write() as connection:
            for market_id, market in sampled.items():
                self._cycle.rows += store.quote(connection, market, books[market_id], now_ms)
            for symbol, market in fresh.items():
                self._cycle.rows += store.select(connection, self._kind, symbol, market, now_ms)
        self._cycle.covered, self._cycle.expected = len(fresh), len(chosen)
        self._cycle.through_t = now_ms


def turn(queries: list[str], index: int, most: int) -> list[str]:
    """The `index`-th part of a list taken `most` at a time, round and round."""
    if not queries or not most:
        return []
    start = index * most % len(queries)
    return (queries[start:] + queries[:start])[:most]
