"""DefiLlama's part of the market memory: three macro tables, made of the same payloads in one go."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import RUNNING_DAYS, days_of
from assets.refreshing import refresh_tables
from assets.reporting import KINDS, reported
from clash_pipeline.services import Services
from resources.beta import MARKET_DATA, ONE_RUN

if TYPE_CHECKING:
    from clash_pipeline.market.defillama.rows import Table

DESCRIPTIONS = {
    "capital_base": "TVL, market capitalisation and circulation of global, chain, protocol and stablecoin subjects.",
    "capital_flows": "How the capital base changed over an hour, a day and a week.",
    "economic_throughput": "DEX volume, fees, revenue and open interest of the last 24 h, with the day's change.",
}


@dg.multi_asset(
    name="defillama",
    specs=[
        dg.AssetSpec(
            f"defillama_{table}",
            description=f"{text} Past days come from the archive.",
            owners=MARKET_DATA,
            kinds=KINDS,
            code_version="1",
            tags={"clash/origin": "rest"},
        )
        for table, text in DESCRIPTIONS.items()
    ],
    partitions_def=RUNNING_DAYS,
    backfill_policy=ONE_RUN,
    can_subset=True,
    description="Asks DefiLlama once for all chosen tables of the running day; holds those of past days.",
)
def defillama_tables(
    context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
) -> Iterator[dg.MaterializeResult]:
    """Fill the chosen tables of the running day, or hold past ones."""
    from clash_pipeline.market import pictures
    from clash_pipeline.market.defillama import store

    chosen = sorted(key.to_user_string() for key in context.selected_asset_keys)
    channels = [table for table in store.TABLES if f"defillama_{table}" in chosen]
    ask = partial(_ask, channels=channels)
    for name, outcome in refresh_tables(services, chosen, days_of(context), ask).items():
        yield reported(context, outcome, asset_key=name, show=lambda: pictures.defillama(services.market))


async def _ask(services: Services, channels: "Sequence[Table]") -> None:
    from clash_pipeline.market.defillama.refresh import refresh_all

    wanted = services.named_reads.at(services.clock.now_ms()).subjects
    async with services.defillama() as client:
        await refresh_all(services.market, client, services.clock, services.settings, wanted=wanted, channels=channels)
