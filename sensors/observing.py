"""Ingestion as Dagster sees it: what the ingester wrote becomes runless events on its assets."""

from collections.abc import Mapping

import dagster as dg

from clash_pipeline.clock import iso
from clash_pipeline.market.observations import ChannelReport, since
from clash_pipeline.services import Services
from resources.beta import MARKET_DATA
from sensors.cadenced import sensor

MATERIALIZED = frozenset({"hyperliquid_candles_1m", "hyperliquid_latest_prices"})
"""Kept by the ingester alone: its cycles are their materializations. The others are made here too, and observed."""

CHANNEL_ASSETS: Mapping[tuple[str, str], str] = {
    ("hyperliquid", "candles_1m"): "hyperliquid_candles_1m",
    ("hyperliquid", "mids"): "hyperliquid_latest_prices",
    ("hyperliquid", "repair"): "hyperliquid_candles_1m_repair",
    ("hyperliquid", "registry"): "hyperliquid_assets",
    ("hyperliquid", "candles_1h"): "hyperliquid_candles_1h",
    ("hyperliquid", "indicators"): "hyperliquid_technical_indicators",
    ("hyperliquid", "funding"): "hyperliquid_funding_rates",
    ("hyperliquid", "asset_ctxs"): "hyperliquid_asset_ctxs",
    ("polymarket", "discovery"): "polymarket_discovery",
    ("polymarket", "immediate"): "polymarket_immediate",
    ("polymarket", "later"): "polymarket_later",
    ("defillama", "capital_base"): "defillama_capital_base",
    ("defillama", "capital_flows"): "defillama_capital_flows",
    ("defillama", "economic_throughput"): "defillama_economic_throughput",
}


def report_ingestion(context: dg.SensorEvaluationContext, services: dg.ResourceParam[Services]) -> dg.SensorResult:
    """Report each channel that finished cycles since the last tick; the cursor is the newest cycle reported."""
    cursor = int(context.cursor or 0)
    with services.market.read() as connection:
        reports, reached = since(connection, cursor)
    if not reports and reached == cursor:
        return dg.SensorResult(skip_reason="no channel finished a cycle; is the ingester running? (clash workers)")
    return dg.SensorResult(asset_events=[event_of(report) for report in reports], cursor=str(reached))


def event_of(report: ChannelReport) -> dg.AssetMaterialization | dg.AssetObservation:
    """The runless event of a channel; a channel without rows of its own success is only observed."""
    name = CHANNEL_ASSETS.get((report.source, report.channel), f"{report.source}_{report.channel}")
    succeeded = report.cycles > report.failed
    kind = dg.AssetMaterialization if name in MATERIALIZED and succeeded else dg.AssetObservation
    return kind(asset_key=name, metadata=_metadata(report))


observe_ingestion = sensor(
    report_ingestion, "observe_ingestion", family="ingestion", owners=MARKET_DATA,
    description="Reads finished ingestion cycles and reports them on their assets: rows, lag, coverage, errors.",
)  # fmt: skip


def _metadata(report: ChannelReport) -> dict[str, int | float | str]:
    figures = {
        "rows": report.rows,
        "cycles": report.cycles,
        "failed_cycles": report.failed,
        "rejected": report.rejected,
        "lag_p50_ms": report.lag_p50_ms,
        "lag_p99_ms": report.lag_p99_ms,
        "coverage": report.coverage,
        "covered": report.covered,
        "expected": report.expected,
        "through": None if report.through_t is None else iso(report.through_t),
        "last_error": report.last_error,
    }
    return {name: value for name, value in figures.items() if value is not None}
