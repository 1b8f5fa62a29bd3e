"""The markets and events that strategies name: refreshed first, whatever the crawl does, each failure with a reason."""

from collections.abc import Iterable
from typing import NamedTuple

import structlog

from clash_pipeline.clock import DAY_MS, HOUR_MS, Clock
from clash_pipeline.market import ingestion
from clash_pipeline.market.http import VenueError, VenueUnavailable
from clash_pipeline.market.polymarket import store
from clash_pipeline.market.polymarket.books import Books
from clash_pipeline.market.polymarket.client import PolymarketClient
from clash_pipeline.market.polymarket.links import Linker
from clash_pipeline.market.polymarket.wire import SOURCE, Market, Page
from clash_pipeline.market.report import Report, keep_refused, report_of
from clash_pipeline.market.text import key
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

CHANNEL = "targets"
WANTED_MS = HOUR_MS
"""What strategies and the operator name is said again with every refresh; this is how long a name outlives them."""
FORGOTTEN_MS = 7 * DAY_MS
"""A target that nobody has wanted for this long is deleted, with what was wrong with it."""
MOST_TARGETS = 200
"""Of one round; what nobody names any more comes last, and what was checked longest ago first *(ours)*."""
MOST_QUOTED = 100
"""Markets of one event that are sampled, the most liquid first; the first few with their books."""
MOST_BOOKS = 10

log = structlog.get_logger(__name__)


class Target(NamedTuple):
    """A slug somebody wants, and what it turned out to be."""

    slug: str
    kind: str | None


def want(connection: Connection, slugs: Iterable[str], now_ms: int) -> None:
    """Ask for slugs to be refreshed by every process for the next hour; what is long forgotten goes."""
    connection.execute("DELETE FROM polymarket_targets WHERE wanted_until < ?", (now_ms - FORGOTTEN_MS,))
    connection.executemany(
        """
        INSERT INTO polymarket_targets (slug, wanted_until) VALUES (?, ?)
        ON CONFLICT (slug) DO UPDATE SET wanted_until = max(wanted_until, excluded.wanted_until)
        """,
        [(slug, now_ms + WANTED_MS) for slug in sorted(set(slugs)) if key(slug)],
    )


def wanted(connection: Connection, now_ms: int) -> list[Target]:
    """The targets of the moment: those named last, of these the ones checked longest ago, first."""
    rows = connection.execute(
        """
        SELECT slug, kind FROM polymarket_targets WHERE wanted_until > ?
        ORDER BY wanted_until DESC, coalesce(checked_at, 0), slug
        """,
        (now_ms,),
    )
    return [Target(slug, kind) for slug, kind in rows]


def problems(connection: Connection) -> dict[str, str]:
    """Why a target could not be refreshed, by slug."""
    rows = connection.execute("SELECT slug, problem FROM polymarket_targets WHERE problem IS NOT NULL ORDER BY slug")
    return dict(rows.fetchall())


async def refresh_targets(
    market: Database, client: PolymarketClient, *, clock: Clock, settings: Settings, slugs: Iterable[str] = ()
) -> Report:
    """Sample every target: the operator's, those of strategies (`slugs`), and those wanted lately.

    A target that is unknown, closed or malformed is a recorded problem, not a failure.

    Raises:
        VenueUnavailable: some could not be asked for; the others are written.
    """
    with ingestion.run(market, SOURCE, CHANNEL, clock) as cycle:
        with market.write() as connection:
            want(connection, (*settings.targets, *slugs), clock.now_ms())
            targets = wanted(connection, clock.now_ms())
            linker = Linker(store.assets(connection))
        refresh = _Refresh(market, client, clock, linker, Books(client, is_on=settings.polymarket_books), cycle)
        cycle.expected, cycle.covered = len(targets), 0
        failures = [failure for target in targets[:MOST_TARGETS] if (failure := await refresh.one(target))]
        cycle.through_t = clock.now_ms()
        if failures:
            raise VenueUnavailable(SOURCE, f"{len(failures)} of {len(targets)} targets were not asked: {failures[0]}")
    return report_of(cycle)


async def refresh_if_due(
    market: Database, client: PolymarketClient, *, clock: Clock, settings: Settings, slugs: Iterable[str] = ()
) -> None:
    """Refresh the targets unless that began within the last cadence; their failure stays their own."""
    named = (*settings.targets, *slugs)
    since = clock.now_ms() - settings.polymarket_immediate_every_sec * 1_000
    with market.read() as connection:
        started = connection.execute(
            "SELECT max(started_at) FROM ingestion_runs WHERE source = ? AND channel = ?", (SOURCE, CHANNEL)
        ).fetchone()[0]
        asked = {target.slug for target in wanted(connection, clock.now_ms())}
    if started is not None and since < started <= clock.now_ms() and asked.issuperset(named):
        return
    try:
        await refresh_targets(market, client, clock=clock, settings=settings, slugs=named)
    except VenueError as error:
        log.warning("targets_failed", error=str(error))


class _Refresh:
    """One round over the targets."""

    def __init__(
        self,
        market: Database,
        client: PolymarketClient,
        clock: Clock,
        linker: Linker,
        books: Books,
        cycle: ingestion.Cycle,
    ) -> None:
        self._market = market
        self._client = client
        self._clock = clock
        self._linker = linker
        self._books = books
        self._cycle = cycle

    async def one(self, target: Target) -> str | None:
        """Refresh one target; returns what failed, where asking again could help."""
        try:
            kind, page = await self._asked(target)
        except VenueUnavailable as error:
            self._note(target, None, f"unavailable: {error}"[:200])
            return str(error)
        except VenueError as error:
            self._note(target, None, f"refused: {error}"[:200])
            return None
        if page is None:
            self._note(target, None, "not_found")
            return None
        await self._kept(target._replace(kind=kind), page)
        return None

    async def _asked(self, target: Target) -> tuple[str, Page | None]:
        """Slugs do not say whether they are of a market or an event; what it was last time is asked first."""
        order = ("event", "market") if target.kind == "event" else ("market", "event")
        for kind in order:
            ask = self._client.event if kind == "event" else self._client.market
            if (page := await ask(target.slug)) is not None:
                return kind, page
        return order[0], None

    async def _kept(self, target: Target, page: Page) -> None:
        opened = [market for market in page.markets if not market.is_closed and market.prices]
        sampled = sorted(opened, key=_most_liquid)[:MOST_QUOTED]
        books = {market.market_id: await self._books.of(market) for market in sampled[:MOST_BOOKS]}
        now_ms = self._clock.now_ms()
        with self._market.write() as connection:
            kept = store.keep(connection, page, source="target", now_ms=now_ms, linker=self._linker)
            self._cycle.rejected += keep_refused(connection, SOURCE, CHANNEL, page.refused, now_ms)
            self._cycle.rows += kept.rows
            for market in sampled:
                self._cycle.rows += store.quote(connection, market, books.get(market.market_id), now_ms)
        self._note(target, target.kind, _problem_of(page, sampled))

    def _note(self, target: Target, kind: str | None, problem: str | None) -> None:
        if problem is None:
            self._cycle.covered = (self._cycle.covered or 0) + 1
        now_ms = self._clock.now_ms()
        with self._market.write() as connection:
            connection.execute(
                "UPDATE polymarket_targets SET kind = coalesce(?, kind), problem = ?, checked_at = ? WHERE slug = ?",
                (kind, problem, now_ms, target.slug),
            )
            if problem is not None:
                code = problem.split(":")[0]
                ingestion.reject(connection, SOURCE, CHANNEL, f"target_{code}", f"{target.slug}: {problem}", now_ms)
                self._cycle.rejected += 1


def _problem_of(page: Page, sampled: list[Market]) -> str | None:
    if sampled:
        return None
    if not page.markets:
        return "malformed" if page.refused else "without_markets"
    return "closed" if all(market.is_closed for market in page.markets) else "without_prices"


def _most_liquid(market: Market) -> tuple[bool, float, str]:
    return market.liquidity is None, -(market.liquidity or 0.0), market.market_id
