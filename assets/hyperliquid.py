"""Hyperliquid's part of the market memory: what the ingester streams, and what Dagster refreshes, derives and repairs."""

from datetime import timedelta

import dagster as dg

from assets.reporting import OWNERS

hyperliquid_candles_1m = dg.AssetSpec(
    "hyperliquid_candles_1m",
    description="Closed one-minute candles of every asset, streamed by the ingester (`clash ingest`) outside Dagster.",
    kinds={"python", "sqlite"},
    owners=OWNERS,
    tags={"clash/origin": "websocket"},
    code_version="1",
    deps=["hyperliquid_assets"],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=5), warn_window=timedelta(minutes=3)),
)

hyperliquid_latest_prices = dg.AssetSpec(
    "hyperliquid_latest_prices",
    description="The newest mid of every asset with a live book, streamed by the ingester; one row an asset, no history.",
    kinds={"python", "sqlite"},
    owners=OWNERS,
    tags={"clash/origin": "websocket"},
    code_version="1",
    deps=["hyperliquid_assets"],
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=5)),
)
