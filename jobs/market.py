"""Market memory as jobs: what is refreshed, derived, repaired, archived and checked together, in one run each."""

from typing import Any

import dagster as dg

from assets import archive, checks, hyperliquid, prop
from jobs.labels import Cadence, labels
from resources.beta import MARKET_DATA


def _job(
    name: str,
    cadence: Cadence,
    description: str,
    selection: dg.AssetSelection,
) -> Any:  # the type of an unresolved asset job is not public
    return dg.define_asset_job(
        name,
        selection=selection,
        description=description,
        tags=labels("market", cadence, alone=name),
        executor_def=dg.in_process_executor,
        owners=MARKET_DATA,
    )


refresh_hyperliquid = _job(
    "refresh_hyperliquid",
    "hour",
    "Registry, contexts and funding of the running hour.",
    dg.AssetSelection.assets("hyperliquid_assets", "hyperliquid_asset_ctxs", "hyperliquid_funding_rates"),
)
derive_hyperliquid = _job(
    "derive_hyperliquid",
    "hour",
    "One-hour candles and indicators of an ended hour, made again and compared with what the ingester wrote.",
    dg.AssetSelection.assets("hyperliquid_candles_1h", "hyperliquid_technical_indicators"),
)
refresh_polymarket = _job(
    "refresh_polymarket",
    "hour",
    "Discovery, immediate and later markets of the running hour.",
    dg.AssetSelection.assets("polymarket_discovery", "polymarket_immediate", "polymarket_later"),
)
refresh_defillama = _job(
    "refresh_defillama",
    "hour",
    "The three macro tables of the running day.",
    dg.AssetSelection.assets("defillama_capital_base", "defillama_capital_flows", "defillama_economic_throughput"),
)
repair_candles = _job(
    "repair_candles",
    "day",
    "Missing minutes of an ended day, within the weight budget.",
    dg.AssetSelection.assets(hyperliquid.hyperliquid_candles_1m_repair),
)
archive_market_memory = _job(
    "archive_market_memory",
    "day",
    "An ended day of every table, put into the store and verified; `retain_market_memory` does it by itself.",
    dg.AssetSelection.assets(*archive.ARCHIVES),
)
check_market_memory = _job(
    "check_market_memory",
    "hour",
    "Gaps, staleness, sanity, duplicates, coverage, rollups and freshness of the market memory, and the ledger audit.",
    dg.AssetSelection.checks(
        checks.gaps, checks.staleness, checks.ohlc_sanity, checks.duplicate_keys, checks.coverage,
        checks.rollup_equals_source, *checks.FRESHNESS, prop.ledger_audit,
    ),
)  # fmt: skip
