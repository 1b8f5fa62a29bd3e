"""DefiLlama's use-case, for the ingester and for Dagster alike: ask once an hour, fill the three tables.

Each table is a channel with its own `ingestion_runs` row. An endpoint that fails makes the channels that need it
`failed`, with what the others gave still written.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from typing import NamedTuple, TypeVar, cast

from clash_pipeline.clock import DAY_MS, Clock, hour_of
from clash_pipeline.market import ingestion
from clash_pipeline.market.decoding import Refused
from clash_pipeline.market.defillama import rows, store
from clash_pipeline.market.defillama.chains import chain_name
from clash_pipeline.market.defillama.client import METRICS, DefiLlamaClient, Metric
from clash_pipeline.market.defillama.rows import DEFI, Rows, Subject, Table, largest
from clash_pipeline.market.defillama.wire import SOURCE, Chain, Overview, Point, Protocol, Stablecoins
from clash_pipeline.market.http import VenueError, VenueRefused
from clash_pipeline.market.report import Report, keep_refused, report_of
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

T = TypeVar("T")

CHANNELS: tuple[Table, ...] = store.TABLES
FOLLOWED_MS = 2 * DAY_MS
"""A subject that falls out of the largest keeps its rows this long, so that a place on the edge leaves no holes."""


async def refresh_all(
    market: Database,
    client: DefiLlamaClient,
    clock: Clock,
    settings: Settings,
    *,
    wanted: Iterable[tuple[str, str]] = (),
    channels: Collection[Table] = CHANNELS,
) -> dict[Table, Report]:
    """Fill the channels for the running hour; `wanted` subjects of strategies are kept whatever their size.

    Does not raise for the venue: a channel that failed says so in its report and its `ingestion_runs` row.
    """
    named = frozenset(cast(Subject, (scope, chain_name(name) if scope == "chain" else name)) for scope, name in wanted)
    cycle = _Refresh(market, client, clock, settings, named)
    reports: dict[Table, Report] = {}
    if "capital_base" in channels or "capital_flows" in channels:
        await cycle.ask_capital()
    if "capital_base" in channels:
        reports["capital_base"] = await cycle.run("capital_base", cycle.capital_base)
    if "capital_flows" in channels:
        reports["capital_flows"] = await cycle.run("capital_flows", cycle.capital_flows)
    if "economic_throughput" in channels:
        reports["economic_throughput"] = await cycle.run("economic_throughput", cycle.economic_throughput)
    return reports


class _Capital(NamedTuple):
    """The answers that base and flows share; None is one that failed, with its error in `errors`."""

    chains: tuple[Chain, ...] | None
    protocols: tuple[Protocol, ...] | None
    stablecoins: Stablecoins | None
    refused: tuple[Refused, ...]
    errors: tuple[VenueError, ...]


class _Made(NamedTuple):
    """The rows of a channel, what was refused on the way, and what failed."""

    rows: Rows
    refused: tuple[Refused, ...]
    errors: tuple[VenueError, ...]


class _Refresh:
    """One refresh of one hour."""

    def __init__(
        self,
        market: Database,
        client: DefiLlamaClient,
        clock: Clock,
        settings: Settings,
        wanted: frozenset[Subject],
    ) -> None:
        self._market = market
        self._client = client
        self._clock = clock
        self._settings = settings
        self._wanted = wanted
        self._t = hour_of(clock.now_ms())
        self._capital = _Capital(None, None, None, (), ())

    async def ask_capital(self) -> None:
        """Read chains, protocols and stablecoins, each for itself."""
        errors: list[VenueError] = []
        chains = await _or_error(self._client.chains, errors)
        protocols = await _or_error(self._client.protocols, errors)
        stablecoins = await _or_error(self._client.stablecoins, errors)
        refused = (
            *(chains.refused if chains else ()),
            *(protocols.refused if protocols else ()),
            *(stablecoins[1] if stablecoins else ()),
        )
        self._capital = _Capital(
            chains=_unique(chains.items, lambda chain: chain.name) if chains else None,
            protocols=self._kept_protocols(protocols.items) if protocols else None,
            stablecoins=self._kept_stablecoins(stablecoins[0]) if stablecoins else None,
            refused=refused,
            errors=tuple(errors),
        )

    async def run(self, channel: Table, make: Callable[[], Awaitable[_Made]]) -> Report:
        """Record one channel: its rows, then its failure if there was one."""
        try:
            with ingestion.run(self._market, SOURCE, channel, self._clock) as cycle:
                made = await make()
                now_ms = self._clock.now_ms()
                with self._market.write() as connection:
                    cycle.rejected += keep_refused(connection, SOURCE, channel, made.refused, now_ms)
                    cycle.rows += store.write(connection, channel, made.rows, t=self._t, known_at=now_ms)
                cycle.covered = len(made.rows)
                cycle.expected = len(made.rows) + len(made.refused)
                if made.errors:
                    raise made.errors[0]
                cycle.through_t = now_ms
        except VenueError as error:
            return report_of(cycle)._replace(error=str(error))
        return report_of(cycle)

    async def capital_base(self) -> _Made:
        """TVL, market value and stablecoins."""
        return _Made(self._base(), self._capital.refused, self._capital.errors)

    async def capital_flows(self) -> _Made:
        """Changes and flows; daily histories are asked for only while our own rows are too young."""
        base, capital = self._base(), self._capital
        with self._market.read() as connection:
            past = store.past(connection, "capital_base", self._t)
        needed = rows.needs_history(base, past, self._wanted, self._settings.defillama_chain_histories)
        histories, refused, errors = await self._histories(needed)
        made = rows.capital_flows(base, capital.protocols, capital.stablecoins, past, histories, self._clock.now_ms())
        return _Made(made, refused, (*capital.errors, *errors))

    async def economic_throughput(self) -> _Made:
        """Volume, fees, revenue and open interest, one request each."""
        errors: list[VenueError] = []
        refused: list[Refused] = []
        overviews: dict[Metric, Overview | None] = {}
        for metric in METRICS:
            answer = await _or_error(partial(self._client.overview, metric), errors)
            overviews[metric] = answer[0] if answer else None
            refused += answer[1] if answer else ()
        with self._market.read() as connection:
            yesterday = store.past(connection, "economic_throughput", self._t).day
        most = self._settings.defillama_chain_overviews
        needed = rows.needs_overview(overviews, yesterday, self._wanted, most)
        of_chains, also_refused, also_failed = await self._chain_overviews(needed)
        made = rows.economic_throughput(
            overviews, of_chains, yesterday, self._followed("protocol"), self._settings.defillama_protocols
        )
        return _Made(made, (*refused, *also_refused), (*errors, *also_failed))

    def _base(self) -> Rows:
        return rows.capital_base(self._capital.chains, self._capital.protocols, self._capital.stablecoins)

    async def _histories(
        self, needed: list[Subject]
    ) -> tuple[dict[Subject, tuple[Point, ...]], tuple[Refused, ...], tuple[VenueError, ...]]:
        """A refused history costs that chain its change; a venue that is down ends the asking."""
        found: dict[Subject, tuple[Point, ...]] = {}
        refused: list[Refused] = []
        for subject in needed:
            try:
                decoded = await self._client.history(None if subject == DEFI else subject[1])
            except VenueRefused as error:
                refused.append(Refused("history_refused", f"{subject[1]}: {error}"))
            except VenueError as error:
                return found, tuple(refused), (error,)
            else:
                found[subject] = decoded.items
                refused += decoded.refused
        return found, tuple(refused), ()

    async def _chain_overviews(
        self, needed: list[tuple[Metric, str]]
    ) -> tuple[dict[tuple[Metric, str], Overview], tuple[Refused, ...], tuple[VenueError, ...]]:
        """As `_histories`; the protocols in them were counted with the overview of all."""
        found: dict[tuple[Metric, str], Overview] = {}
        refused: list[Refused] = []
        for metric, chain in needed:
            try:
                found[metric, chain] = (await self._client.overview(metric, chain))[0]
            except VenueRefused as error:
                refused.append(Refused("chain_overview_refused", f"{metric} of {chain}: {error}"))
            except VenueError as error:
                return found, tuple(refused), (error,)
        return found, tuple(refused), ()

    def _kept_protocols(self, protocols: tuple[Protocol, ...]) -> tuple[Protocol, ...]:
        distinct = _unique(protocols, lambda one: one.slug)
        return _kept(
            distinct,
            lambda one: one.tvl_usd,
            lambda one: one.slug,
            self._settings.defillama_protocols,
            self._followed("protocol"),
            self._named("protocol"),
        )

    def _kept_stablecoins(self, stablecoins: Stablecoins) -> Stablecoins:
        coins = _kept(
            _unique(stablecoins.coins, lambda one: one.subject),
            lambda one: one.circulating_usd,
            lambda one: one.subject,
            self._settings.defillama_stablecoins,
            self._followed("stablecoin"),
            self._named("stablecoin"),
        )
        return stablecoins._replace(coins=coins)

    def _followed(self, scope: str) -> set[str]:
        with self._market.read() as connection:
            return store.followed(connection, scope, since_t=self._t - FOLLOWED_MS) | self._named(scope)

    def _named(self, scope: str) -> set[str]:
        return {subject for named_scope, subject in self._wanted if named_scope == scope}


async def _or_error(ask: Callable[[], Awaitable[T]], errors: list[VenueError]) -> T | None:
    try:
        return await ask()
    except VenueError as error:
        errors.append(error)
        return None


def _unique(items: Iterable[T], name: Callable[[T], str]) -> tuple[T, ...]:
    """The first of each name: two spellings of one chain must not fight over a row."""
    found: dict[str, T] = {}
    for item in items:
        found.setdefault(name(item), item)
    return tuple(found.values())


def _kept(
    items: tuple[T, ...],
    amount: Callable[[T], float | None],
    name: Callable[[T], str],
    most: int,
    followed: set[str],
    named: set[str],
) -> tuple[T, ...]:
    """The largest; followed ones down to half as far again; and everything that was asked for by name."""
    ordered = largest(items, amount, name, len(items))
    near = [item for item in ordered[most : most + most // 2] if name(item) in followed]
    silent = [item for item in ordered[most:] if amount(item) is None and name(item) in followed]
    asked = [item for item in ordered[most:] if name(item) in named]
    return _unique((*ordered[:most], *near, *silent, *asked), name)
