"""Checks of the market memory, beside the assets they judge. What is asked stands in `clash_pipeline.market.checks`.

Checks that a materialization makes of itself (archive equals source, indicators equal what was written) stand with it.
"""

import dagster as dg

from assets.reporting import checked
from clash_pipeline.clock import DAY_MS, MINUTE_MS, minute_of
from clash_pipeline.market.spans import Span
from clash_pipeline.services import Services

COVERAGE_MINUTES = 5
CHANNELS = {
    "hyperliquid_assets": ("hyperliquid", "registry"),
    "hyperliquid_funding_rates": ("hyperliquid", "funding"),
    "hyperliquid_asset_ctxs": ("hyperliquid", "asset_ctxs"),
    "hyperliquid_latest_prices": ("hyperliquid", "mids"),
    "polymarket_discovery": ("polymarket", "discovery"),
    "polymarket_immediate": ("polymarket", "immediate"),
    "polymarket_later": ("polymarket", "later"),
    "defillama_capital_base": ("defillama", "capital_base"),
    "defillama_capital_flows": ("defillama", "capital_flows"),
    "defillama_economic_throughput": ("defillama", "economic_throughput"),
}
"""Assets whose freshness is that of an ingestion channel."""


@dg.asset_check(asset="hyperliquid_candles_1m", description="No minute is missing that nobody repairs.")
def gaps(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    """The last day: unlisted holes are errors, open and lost gaps warnings."""
    from clash_pipeline.market import checks

    with services.market.read() as connection:
        return checked(checks.gaps(connection, _last_day(services)))


@dg.asset_check(asset="hyperliquid_candles_1m", description="The newest closed minute is recent.")
def staleness(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    """Warn above the limit of a stream, and call five times that an error."""
    from clash_pipeline.market import checks

    limit_ms = services.settings.stream_stale_after_sec * 1000
    with services.market.read() as connection:
        return checked(checks.staleness(connection, services.clock.now_ms(), limit_ms))


@dg.asset_check(asset="hyperliquid_candles_1m", description="Every candle is possible.")
def ohlc_sanity(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    """The last day: positive prices, nothing outside low and high."""
    from clash_pipeline.market import checks

    with services.market.read() as connection:
        return checked(checks.ohlc_sanity(connection, _last_day(services)))


@dg.asset_check(asset="hyperliquid_candles_1m", description="One candle an asset and minute, at its start.")
def duplicate_keys(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    """The last day."""
    from clash_pipeline.market import checks

    with services.market.read() as connection:
        return checked(checks.duplicate_keys(connection, _last_day(services)))


@dg.asset_check(asset="hyperliquid_candles_1m", description="Every followed asset has candles just now.")
def coverage(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    """The last five minutes, against the registry."""
    from clash_pipeline.market import checks
    from clash_pipeline.market.hyperliquid import registry

    end = minute_of(services.clock.now_ms())
    with services.market.read() as connection:
        expected = [asset.symbol for asset in registry.followed(connection, services.settings)]
        span = Span(end - COVERAGE_MINUTES * MINUTE_MS, end)
        return checked(checks.coverage(connection, span, expected))


@dg.asset_check(asset="hyperliquid_candles_1h", description="Every final hour equals what its sixty minutes make.")
def rollup_equals_source(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
    """The last two days, as far as the minutes are still in SQLite."""
    from clash_pipeline.market import checks

    end = services.clock.now_ms()
    with services.market.read() as connection:
        return checked(checks.rollup_equals_source(connection, Span(end - 2 * DAY_MS, end)))


def freshness_of(asset: str, source: str, channel: str) -> dg.AssetChecksDefinition:
    """The freshness check of one polled or streamed channel."""

    @dg.asset_check(asset=asset, name="is_fresh", description=f"The channel {source}.{channel} works and is not stale.")
    def is_fresh(services: dg.ResourceParam[Services]) -> dg.AssetCheckResult:
        """What the health page says of the channel."""
        from clash_pipeline.market import checks

        with services.market.read() as connection:
            now_ms = services.clock.now_ms()
            return checked(checks.channel_is_fresh(connection, services.settings, source, channel, now_ms))

    return is_fresh


FRESHNESS = [freshness_of(asset, *channel) for asset, channel in CHANNELS.items()]
"""A list, because Dagster's loader looks into lists only."""


def _last_day(services: Services) -> Span:
    end = minute_of(services.clock.now_ms())
    return Span(end - DAY_MS, end)
