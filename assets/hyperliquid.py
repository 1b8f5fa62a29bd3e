"""Hyperliquid's part of the market memory: streamed by the ingester, refreshed, derived and repaired here."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import DAYS, HOURS, days_of, hours_of
from assets.refreshing import asking_again, past_of, polled, refreshed
from assets.reporting import KINDS, checked, reported
from clash_pipeline.market.spans import Span
from clash_pipeline.services import Services
from resources.beta import MARKET_DATA, ONE_RUN

if TYPE_CHECKING:
    from clash_pipeline.market.backfill import Outcome

hyperliquid_candles_1m = dg.AssetSpec(
    "hyperliquid_candles_1m",
    description="Closed one-minute candles of every asset, streamed by the ingester (`clash ingest`) outside Dagster.",
    kinds=KINDS,
    owners=MARKET_DATA,
    tags={"clash/origin": "websocket"},
    code_version="1",
    deps=["hyperliquid_assets"],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=5), warn_window=timedelta(minutes=3)),
)

hyperliquid_latest_prices = dg.AssetSpec(
    "hyperliquid_latest_prices",
    description="The newest mid of every asset with a live book, streamed by the ingester; no history.",
    kinds=KINDS,
    owners=MARKET_DATA,
    tags={"clash/origin": "websocket"},
    code_version="1",
    deps=["hyperliquid_assets"],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=5)),
)


@polled(
    partitions_def=HOURS,
    description="Every perp and spot asset: grid, leverage, margin tiers, channels, taxonomy. It keeps no past.",
)
def hyperliquid_assets(context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]) -> dg.MaterializeResult:
    """Refresh the registry; a past hour has no history."""
    from clash_pipeline.market import pictures

    return refreshed(context, services, "hyperliquid_assets", hours_of(context), _registry, pictures.registry)


@polled(
    partitions_def=HOURS,
    deps=[hyperliquid_assets],
    description="Marks, oracle, mids, impact prices, volumes and open interest. Past hours come from the archive.",
)
def hyperliquid_asset_ctxs(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> dg.MaterializeResult:
    """Sample the contexts of the running hour; hold those of past hours."""
    from clash_pipeline.market import pictures

    return refreshed(context, services, "hyperliquid_asset_ctxs", hours_of(context), _contexts, pictures.contexts)


@polled(
    partitions_def=HOURS,
    deps=[hyperliquid_assets],
    description="Running, predicted and paid funding of perps. Paid rates are backfilled, past estimates are not.",
)
def hyperliquid_funding_rates(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> dg.MaterializeResult:
    """Sample the running hour, or complete past hours with what was paid."""
    from clash_pipeline.market import pictures

    spans, now_ms = hours_of(context), services.clock.now_ms()
    if any(span.holds(now_ms) for span in spans):
        return refreshed(context, services, "hyperliquid_funding_rates", spans, _funding, pictures.funding)
    with asking_again():
        outcome = asyncio.run(_paid_funding(services, spans))
    return reported(context, outcome)


@polled(
    partitions_def=DAYS,
    deps=[hyperliquid_candles_1m],
    description="Missing minutes of an ended day, from the venue as far back as it keeps, else from the archive.",
)
def hyperliquid_candles_1m_repair(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> dg.MaterializeResult:
    """Complete the minutes of whole days, and what is derived from them."""
    from clash_pipeline.market import pictures

    with asking_again():
        outcome = asyncio.run(_repair(services, days_of(context)))
    return reported(context, outcome, show=lambda: pictures.day(services.market, outcome.filled[0].span))


@dg.asset(
    partitions_def=HOURS, backfill_policy=ONE_RUN, owners=MARKET_DATA, kinds={*KINDS, "polars"}, code_version="1",
    tags={"clash/origin": "derived"}, deps=[hyperliquid_candles_1m, hyperliquid_candles_1m_repair],
    description="One-hour candles, made of sixty closed minutes and equal to the venue's own.",
)  # fmt: skip
def hyperliquid_candles_1h(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> dg.MaterializeResult:
    """Make the hours again; the check beside it proves them equal to their minutes."""
    from clash_pipeline.market import pictures

    spans = hours_of(context)
    outcome = past_of(services).hours(spans)
    return reported(context, outcome, show=lambda: pictures.hour(services.market, spans[-1]))


@dg.asset(
    partitions_def=HOURS, backfill_policy=ONE_RUN, owners=MARKET_DATA, kinds={*KINDS, "numpy"}, code_version="1",
    tags={"clash/origin": "derived"}, deps=[hyperliquid_candles_1m, hyperliquid_candles_1m_repair],
    check_specs=[
        dg.AssetCheckSpec(
            "equals_what_was_written", asset="hyperliquid_technical_indicators",
            description="Rows written minute by minute are the same bits when the day is made again from its anchor.",
        )
    ],
    description="RSI, Bollinger, SMA, EMA and MACD of every closed minute, from a fixed anchor each UTC day.",
)  # fmt: skip
def hyperliquid_technical_indicators(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> dg.MaterializeResult:
    """Make the indicators again and compare them with what the ingester wrote."""
    from clash_pipeline.market import checks

    spans = hours_of(context)
    before = checks.indicator_rows(services.market, spans)
    outcome = past_of(services).indicators(spans)
    verdict = checks.equals_what_was_written(before, checks.indicator_rows(services.market, spans))
    return reported(context, outcome, check_results=[checked(verdict, "equals_what_was_written")])


# how the sources are asked


async def _registry(services: Services) -> None:
    from clash_pipeline.market.hyperliquid import registry

    now_ms = services.clock.now_ms()
    async with services.hyperliquid() as rest:
        await registry.refresh(services.market, rest, now_ms=now_ms, clock=services.clock, settings=services.settings)


async def _contexts(services: Services) -> None:
    from clash_pipeline.market.hyperliquid import contexts

    now_ms = services.clock.now_ms()
    async with services.hyperliquid() as rest:
        await contexts.refresh(services.market, rest, now_ms=now_ms, clock=services.clock, settings=services.settings)


async def _funding(services: Services) -> None:
    from clash_pipeline.market.hyperliquid import funding

    now_ms = services.clock.now_ms()
    async with services.hyperliquid() as rest:
        await funding.refresh(services.market, rest, now_ms=now_ms, clock=services.clock, settings=services.settings)


async def _paid_funding(services: Services, spans: list[Span]) -> "Outcome":
    from clash_pipeline.market.hyperliquid import registry

    with services.market.read() as connection:
        perps = [asset.symbol for asset in registry.followed(connection, services.settings) if asset.kind == "perp"]
    async with services.hyperliquid() as rest:
        return await past_of(services).funding(rest, spans, perps)


async def _repair(services: Services, days: list[Span]) -> "Outcome":
    from clash_pipeline.market.hyperliquid import registry

    with services.market.read() as connection:
        symbols = [asset.symbol for asset in registry.followed(connection, services.settings)]
    async with services.hyperliquid() as rest:
        return await past_of(services).minutes(rest, days, symbols)
