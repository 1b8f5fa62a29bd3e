"""The shape that polled sources share: the running partition is asked for, ended ones are held."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from assets.reporting import KINDS, reported
from clash_pipeline.market.spans import Span
from clash_pipeline.services import Services
from clash_pipeline.storage.sqlite import Database
from resources.beta import MARKET_DATA, ONE_RUN

if TYPE_CHECKING:
    from clash_pipeline.market.backfill import Outcome, Past

Refresh = Callable[[Services], Awaitable[object]]
RETRIES, RETRY_AFTER_SEC = 2, 15
"""For what does not answer; refusals, wrong answers and defects of ours are never retried."""

polled = partial(
    dg.asset,
    backfill_policy=ONE_RUN,
    owners=MARKET_DATA,
    kinds=KINDS,
    code_version="1",
    tags={"clash/origin": "rest"},
)
"""What all assets that ask a venue have in common."""


def refreshed(
    context: dg.AssetExecutionContext,
    services: Services,
    table: str,
    spans: Sequence[Span],
    refresh: Refresh,
    show: Callable[[Database], Mapping[str, object]],
) -> dg.MaterializeResult:
    """Ask the source when the running partition is among `spans`; ended ones never receive today's values."""
    outcome = refresh_tables(services, [table], spans, refresh)[table]
    return reported(context, outcome, show=lambda: show(services.market))


def refresh_tables(
    services: Services, tables: Sequence[str], spans: Sequence[Span], refresh: Refresh
) -> "dict[str, Outcome]":
    """The same for several tables that are filled by asking once."""
    from clash_pipeline.market.backfill import Filled

    past, now_ms = past_of(services), services.clock.now_ms()
    ended = [span for span in spans if not span.holds(now_ms)]
    outcomes = {table: past.hold_each(table, ended) for table in tables}
    for span in spans:
        if span.holds(now_ms):
            before = {table: past.count(table, span) for table in tables}
            with asking_again():
                asyncio.run(_ask(services, refresh))
            for table, outcome in outcomes.items():
                rows = past.count(table, span)
                outcome.filled.append(Filled(table, span, rows, rows - before[table], "venue"))
    return outcomes


@contextmanager
def asking_again() -> Iterator[None]:
    """Let Dagster repeat the step when a venue or the store did not answer, or the database was busy."""
    from clash_pipeline.archive.stores import StoreUnavailable
    from clash_pipeline.market.http import VenueUnavailable
    from clash_pipeline.storage.errors import StorageBusy

    try:
        yield
    except (VenueUnavailable, StoreUnavailable, StorageBusy) as error:
        raise dg.RetryRequested(RETRIES, RETRY_AFTER_SEC) from error


def past_of(services: Services) -> "Past":
    """What a past range can be filled from."""
    from clash_pipeline.market.backfill import Past
    from clash_pipeline.market.gaps import Reach

    settings = services.settings
    reach = Reach(
        keeps_minutes=settings.venue_keeps_candles,
        lost_after_ms=settings.gap_lost_after_hours * 3_600_000,
        grace_ms=settings.minute_grace_sec * 1000,
    )
    return Past(
        services.market,
        services.store,
        services.clock,
        reach,
        settings.restored_pin_days,
    )


async def _ask(services: Services, refresh: Refresh) -> None:
    await refresh(services)
