"""Polymarket's part of the market memory: events and markets, and the immediate and later market of each asset."""

import dagster as dg

from assets.partitions import HOURS, hours_of
from assets.refreshing import polled, refreshed
from clash_pipeline.services import Services


@polled(
    partitions_def=HOURS,
    deps=["hyperliquid_assets"],
    description="Open crypto events and markets, linked to assets; quotes as sampled. Past hours: the archive.",
)
def polymarket_discovery(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> dg.MaterializeResult:
    """Crawl and search in the running hour; hold the quotes of past hours."""
    from clash_pipeline.market import pictures

    return refreshed(context, services, "polymarket_quotes", hours_of(context), _discovery, pictures.polymarket)


@polled(
    partitions_def=HOURS,
    deps=[polymarket_discovery],
    description="For each linked asset the live market that ends soonest within a day. Past hours: the archive.",
)
def polymarket_immediate(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> dg.MaterializeResult:
    """Choose and sample now; hold what was chosen then."""
    from clash_pipeline.market import pictures

    return refreshed(
        context, services, "polymarket_immediate_markets", hours_of(context), _immediate, pictures.polymarket
    )


@polled(
    partitions_def=HOURS,
    deps=[polymarket_immediate],
    description="For each linked asset the most liquid market ending after its immediate one. Past hours: archive.",
)
def polymarket_later(context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]) -> dg.MaterializeResult:
    """Choose and sample now; hold what was chosen then."""
    from clash_pipeline.market import pictures

    return refreshed(context, services, "polymarket_later_markets", hours_of(context), _later, pictures.polymarket)


async def _discovery(services: Services) -> None:
    from clash_pipeline.market.polymarket.refresh import refresh_discovery

    async with services.polymarket() as client:
        await refresh_discovery(
            services.market, client, clock=services.clock, settings=services.settings, slugs=_slugs(services)
        )


async def _immediate(services: Services) -> None:
    from clash_pipeline.market.polymarket.refresh import refresh_immediate

    async with services.polymarket() as client:
        await refresh_immediate(
            services.market, client, clock=services.clock, settings=services.settings, slugs=_slugs(services)
        )


async def _later(services: Services) -> None:
    from clash_pipeline.market.polymarket.refresh import refresh_later

    async with services.polymarket() as client:
        await refresh_later(
            services.market, client, clock=services.clock, settings=services.settings, slugs=_slugs(services)
        )


def _slugs(services: Services) -> frozenset[str]:
    """The markets and events that strategies name."""
    return services.named_reads.at(services.clock.now_ms()).markets
