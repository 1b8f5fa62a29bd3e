"""Cold storage: one asset a table that leaves SQLite, by UTC day; put into the store, read back, verified."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import DAYS, day_key, days_of
from assets.refreshing import asking_again, past_of
from assets.reporting import checked
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.tables import ArchivedTable
from clash_pipeline.services import Services
from resources.beta import MARKET_DATA, ONE_RUN

if TYPE_CHECKING:
    from clash_pipeline.archive.bookkeeping import Partition

OBJECT_COLUMNS = ("day", "rows", "bytes", "object")
SOURCES = {
    "hyperliquid_candles_1m": ["hyperliquid_candles_1m", "hyperliquid_candles_1m_repair"],
    "polymarket_quotes": ["polymarket_discovery"],
    "polymarket_immediate_markets": ["polymarket_immediate"],
    "polymarket_later_markets": ["polymarket_later"],
}
"""Tables whose assets have other names."""


def archived_tables() -> list[ArchivedTable]:
    """The tables with an asset of their own: superseded versions travel with the table they belong to."""
    companions = {table.companion for table in TABLES.values()}
    return [table for table in TABLES.values() if table.name not in companions]


def archive_of(table: ArchivedTable) -> dg.AssetsDefinition:
    """The archive of one table."""
    name = f"{table.name}_archive"

    @dg.asset(
        name=name, partitions_def=DAYS, backfill_policy=ONE_RUN, owners=MARKET_DATA,
        kinds={"python", "parquet", "s3"}, code_version="1", tags={"clash/origin": "archive"},
        deps=SOURCES.get(table.name, [table.name]),
        check_specs=[
            dg.AssetCheckSpec(
                "archive_equals_source", asset=name,
                description="Each archived day reads back whole and equals what SQLite still holds of it.",
            )
        ],
        description=f"Days of {table.table} as parquet in the object store; archived when {table.complete}.",
    )  # fmt: skip
    def archive(context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]) -> dg.MaterializeResult:
        """Archive and verify the days of the partition."""
        from clash_pipeline.market import checks, plots

        days, now_ms = [span.from_t for span in days_of(context)], services.clock.now_ms()
        archived = _archived(services, table, days)
        verdict = checks.archive_equals_source(services.market, services.store, table.name, days, now_ms)
        return dg.MaterializeResult(
            metadata={
                "rows": sum(one.row_count for one in archived),
                "bytes": sum(one.size_bytes for one in archived),
                "objects": dg.MetadataValue.md(plots.table(OBJECT_COLUMNS, [_shown(one) for one in archived])),
            },
            check_results=[checked(verdict, "archive_equals_source")],
        )

    return archive


ARCHIVES = [archive_of(table) for table in archived_tables()]
"""A list, because Dagster's loader looks into lists only."""


def _archived(services: Services, table: ArchivedTable, days: list[int]) -> "list[Partition]":
    """The partitions of some days.

    Raises:
        dg.Failure: a day is not over, not complete or empty; it says which and why, and trying again alone is no help.
    """
    from clash_pipeline.archive.readiness import PartitionRefused

    try:
        with asking_again():
            return past_of(services).archive(table.name, days)
    except PartitionRefused as refused:
        raise dg.Failure(str(refused), allow_retries=False) from refused


def _shown(partition: "Partition") -> tuple[object, ...]:
    return (day_key(partition.day), partition.row_count, partition.size_bytes, partition.object_key)
