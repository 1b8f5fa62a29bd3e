"""The polled channels: what is asked for, how often, and a loop in which one failing poll never disturbs another."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple

import structlog

from clash_pipeline.clock import Clock
from clash_pipeline.market.http import VenueError
from clash_pipeline.settings import Settings
from clash_pipeline.storage.errors import LeaseLost, StorageBusy, StorageFull
from clash_pipeline.storage.sqlite import Database

log = structlog.get_logger(__name__)

Refresh = Callable[[int], Awaitable[Any]]


class Poll(NamedTuple):
    """A channel that is asked for every so often; `refresh` records its own cycle, failed ones too."""

    name: str
    every_sec: int
    refresh: Refresh


def hyperliquid(market: Database, rest: Any, clock: Clock, settings: Settings) -> list[Poll]:
    """Registry, funding and asset contexts."""
    from clash_pipeline.market.hyperliquid import contexts, funding, registry

    def asking(ask: Callable[..., Awaitable[Any]]) -> Refresh:
        return lambda now_ms: ask(market, rest, now_ms=now_ms, clock=clock, settings=settings)

    return [
        Poll("registry", settings.registry_every_sec, asking(registry.refresh)),
        Poll("asset_ctxs", settings.asset_ctxs_every_sec, asking(contexts.refresh)),
        Poll("funding", settings.funding_every_sec, asking(funding.refresh)),
    ]


def polymarket(
    market: Database,
    connections: Any,
    clock: Clock,
    settings: Settings,
    *,
    named: Callable[[], Collection[str]] = tuple,
) -> list[Poll]:
    """Discovery, and the immediate and later market of each linked asset; before all the slugs that are `named`."""
    from clash_pipeline.market.polymarket import refresh
    from clash_pipeline.market.polymarket.client import PolymarketClient

    client = PolymarketClient.from_settings(settings, connections)

    def asking(ask: Callable[..., Awaitable[Any]]) -> Refresh:
        async def refreshed(_: int) -> Any:
            slugs = await asyncio.to_thread(named)
            return await ask(market, client, clock=clock, settings=settings, slugs=slugs)

        return refreshed

    return [
        Poll("polymarket discovery", settings.polymarket_discovery_every_sec, asking(refresh.refresh_discovery)),
        Poll("polymarket immediate", settings.polymarket_immediate_every_sec, asking(refresh.refresh_immediate)),
        Poll("polymarket later", settings.polymarket_later_every_sec, asking(refresh.refresh_later)),
    ]


def defillama(
    market: Database,
    connections: Any,
    clock: Clock,
    settings: Settings,
    *,
    named: Callable[[], Collection[tuple[str, str]]] = tuple,
) -> list[Poll]:
    """The three macro tables, from the same payloads, with the subjects that are `named` whatever their size."""
    from clash_pipeline.market.defillama import refresh
    from clash_pipeline.market.defillama.client import DefiLlamaClient

    client = DefiLlamaClient.from_settings(settings, connections)

    async def asking(_: int) -> Any:
        wanted = await asyncio.to_thread(named)
        return await refresh.refresh_all(market, client, clock=clock, settings=settings, wanted=wanted)

    return [Poll("defillama", settings.defillama_every_sec, asking)]


async def keep_polling(poll: Poll, now_ms: Callable[[], int], stop: asyncio.Event, *, look_sec: float) -> None:
    """Ask once at the start and then at each multiple of the cadence, by the market's clock, until `stop`."""
    every_ms = poll.every_sec * 1000
    due_ms = 0
    while not stop.is_set():
        if (now := now_ms()) >= due_ms:
            await once(poll, now)
            due_ms = now - now % every_ms + every_ms
        elif due_ms - now > every_ms:  # the clock was set back
            due_ms = now
        await asyncio.sleep(look_sec)


async def once(poll: Poll, now_ms: int) -> bool:
    """Ask once; a failure is logged, as the refresh has recorded it, and says False.

    Raises:
        LeaseLost: this process must stop.
    """
    try:
        await poll.refresh(now_ms)
    except (VenueError, StorageBusy, StorageFull) as error:
        log.warning("poll_failed", channel=poll.name, error=str(error))
    except LeaseLost:
        raise
    except Exception:  # a defect in one source must not stop the candles; it stays visible as a failed cycle
        log.exception("poll_broken", channel=poll.name)
    else:
        return True
    return False


async def all_polls(polls: Sequence[Poll], now_ms: Callable[[], int], stop: asyncio.Event, *, look_sec: float) -> None:
    """Run every poll beside the others until `stop`."""
    await asyncio.gather(*(keep_polling(poll, now_ms, stop, look_sec=look_sec) for poll in polls))
