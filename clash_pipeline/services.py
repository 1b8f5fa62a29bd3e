"""Build stores, clients and the clock from settings, once, for every door alike: command line, jobs, assets, tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from clash_pipeline.clock import Clock, SystemClock
from clash_pipeline.settings import Settings, load, usable_home
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from clash_pipeline.storage.sqlite import Database

if TYPE_CHECKING:
    from clash_pipeline.archive.stores import ArtifactStore
    from clash_pipeline.clones.named_reads import NamedReads
    from clash_pipeline.economy.chain.confirming import Parts
    from clash_pipeline.market.defillama.client import DefiLlamaClient
    from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
    from clash_pipeline.market.polymarket.client import PolymarketClient


@dataclass(frozen=True)
class Services:
    """The parts a use-case may ask for. Everything is opened on first use and closed by `close`."""

    settings: Settings
    clock: Clock
    """The time of the market: the machine's, or a replayed venue's."""
    wall: Clock = field(default_factory=SystemClock)
    """The time of processes, for leases and heartbeats: never a replayed one."""

    @cached_property
    def clash(self) -> Database:
        """Accounts, ledger, clones and decisions."""
        return open_clash(self.settings)

    @cached_property
    def market(self) -> Database:
        """The market memory."""
        return open_market(self.settings)

    @cached_property
    def store(self) -> "ArtifactStore":
        """Where artifacts and archived partitions go."""
        from clash_pipeline.archive.choice import store_from

        return store_from(self.settings)

    @cached_property
    def named_reads(self) -> "NamedReads":
        """What strategies read by name, for those who fetch it."""
        from clash_pipeline.clones.named_reads import NamedReads

        return NamedReads(self.clash)

    @contextmanager
    def chain(self) -> Iterator["Parts | None"]:
        """What watches the chain of the settings and pays from it, with its connections; None where none is set."""
        from clash_pipeline.economy.chain.confirming import parts_from
        from clash_pipeline.economy.chain.endpoints import chain_from

        with chain_from(self.settings) as chain:
            yield None if chain is None else parts_from(self.settings, self.clash, self.store, chain)

    def close(self) -> None:
        """Close what was opened."""
        for name in ("clash", "market"):
            if name in self.__dict__:
                getattr(self, name).close()

    @asynccontextmanager
    async def hyperliquid(self) -> AsyncIterator["HyperliquidRest"]:
        """A REST client of Hyperliquid that shares the weight budget of this address."""
        import httpx

        from clash_pipeline.market.http import VenueHttp
        from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
        from clash_pipeline.market.weights import WeightBudget

        budget = WeightBudget(self.market, "hyperliquid", self.settings.rest_weight_per_minute, self.clock)
        async with httpx.AsyncClient() as client:
            settings = self.settings
            http = VenueHttp(
                "hyperliquid", client, timeout_sec=settings.http_timeout_sec, max_bytes=settings.http_max_bytes
            )
            yield HyperliquidRest(http, budget, str(self.settings.hyperliquid_url), self.clock)

    @asynccontextmanager
    async def polymarket(self) -> AsyncIterator["PolymarketClient"]:
        """A client of Gamma and the CLOB."""
        import httpx

        from clash_pipeline.market.polymarket.client import PolymarketClient

        async with httpx.AsyncClient() as connections:
            yield PolymarketClient.from_settings(self.settings, connections)

    @asynccontextmanager
    async def defillama(self) -> AsyncIterator["DefiLlamaClient"]:
        """A client of DefiLlama's free interfaces."""
        import httpx

        from clash_pipeline.market.defillama.client import DefiLlamaClient

        async with httpx.AsyncClient() as connections:
            yield DefiLlamaClient.from_settings(self.settings, connections)


def build(settings: Settings | None = None, *, migrate: bool = False) -> Services:
    """The services of this process; `migrate` creates or updates the databases first.

    Raises:
        SettingsError: the environment is wrong; names each key.
    """
    chosen = settings or load()
    if migrate:
        with usable_home(chosen):
            migrate_all(chosen)
    return Services(chosen, clock_from(chosen))


def clock_from(settings: Settings) -> Clock:
    """The machine's clock, or the `/clock` of a replayed venue where one is set."""
    if settings.venue_clock_url is None:
        return SystemClock()
    from clash_pipeline.replay.clock import venue_clock

    return venue_clock(str(settings.venue_clock_url))
