"""Every table that leaves SQLite by UTC day (01 Retention), written out."""

from clash_pipeline.archive.tables import ArchivedTable, Complete, Decimals, Hot, Kind


def columns(text: str) -> dict[str, Kind]:
    """Columns in table order: `symbol t:int tvl_usd:real`; a name without a type is text."""
    pairs = (word.partition(":") for word in text.split())
    return {name: Kind(kind or "text") for name, _, kind in pairs}


CANDLE = columns("symbol t:int o h l c v n:int origin final:int known_at:int")
CANDLE_VERSION = columns("symbol t:int known_at:int superseded_at:int o h l c v n:int origin")
CANDLE_DECIMALS = (
    Decimals("price_scale", ("c", "o", "h", "l"), (("o", "minus_c"), ("h", "above_body"), ("l", "below_body"))),
    Decimals("volume_scale", ("v",)),
)
INDICATOR_VALUES = (
    "rsi14:real bb_upper:real bb_middle:real bb_lower:real sma20:real ema20:real"
    " macd:real macd_signal:real macd_hist:real"
)
POLYMARKET_CHOICE = columns("symbol t:int market_id question outcomes prices end_at:int liquidity:real known_at:int")
CTX_PRICES = ("mark_px", "oracle_px", "mid_px", "impact_bid", "impact_ask", "prev_day_px")
CTX_DECIMALS = (  # volumes and open interest carry up to 21 digits, too many for an exact integer
    Decimals("price_scale", CTX_PRICES, tuple((name, "minus_mark_px") for name in CTX_PRICES[1:5])),
    Decimals("premium_scale", ("premium",)),
)


def _candles(interval: str, hot: Hot, complete: Complete) -> tuple[ArchivedTable, ArchivedTable]:
    name, versions = f"hyperliquid_candles_{interval}", f"hyperliquid_candle_versions_{interval}"
    return (
        ArchivedTable(
            name, "hyperliquid_candles", CANDLE, ("symbol", "t"), hot, complete, interval=interval,
            decimals=CANDLE_DECIMALS, companion=versions, is_asked_again=True,
        ),
        ArchivedTable(
            versions, "hyperliquid_candle_versions", CANDLE_VERSION, ("symbol", "t", "known_at"), hot, complete,
            interval=interval, decimals=CANDLE_DECIMALS, is_asked_again=True,
        ),
    )  # fmt: skip


def _indicators() -> tuple[ArchivedTable, ArchivedTable]:
    name, versions = "hyperliquid_technical_indicators", "hyperliquid_technical_indicator_versions"
    shown = columns(f"symbol t:int {INDICATOR_VALUES} known_at:int")
    shown_then = columns(f"symbol t:int known_at:int superseded_at:int {INDICATOR_VALUES}")
    return (
        ArchivedTable(
            name, name, shown, ("symbol", "t"), Hot.MINUTE, Complete.FINAL_MINUTES, companion=versions,
            is_asked_again=True,
        ),
        ArchivedTable(
            versions, versions, shown_then, ("symbol", "t", "known_at"), Hot.MINUTE, Complete.FINAL_MINUTES,
            is_asked_again=True,
        ),
    )  # fmt: skip


def _macro(name: str, values: str) -> tuple[ArchivedTable, ArchivedTable]:
    shown = columns(f"scope subject t:int {values} missing_reason known_at:int")
    key, versions = ("scope", "subject", "t"), f"{name}_versions"
    return (
        ArchivedTable(name, name, shown, key, Hot.CONTEXT, Complete.ENDED, companion=versions),
        ArchivedTable(
            versions, versions, shown | columns("superseded_at:int"), (*key, "known_at"), Hot.CONTEXT, Complete.ENDED
        ),
    )


def _context(name: str, shown: dict[str, Kind], *key: str, decimals: tuple[Decimals, ...] = ()) -> ArchivedTable:
    return ArchivedTable(name, name, shown, key, Hot.CONTEXT, Complete.ENDED, decimals=decimals)


TABLES: dict[str, ArchivedTable] = {
    table.name: table
    for table in (
        *_candles("1m", Hot.MINUTE, Complete.FINAL_MINUTES),
        *_candles("1h", Hot.HOUR, Complete.FINAL_HOURS),
        *_indicators(),
        _context(
            "hyperliquid_funding_rates",
            columns(
                "symbol kind venue t:int rate_e10:int interval_hours:int premium next_funding_at:int known_at:int"
            ),
            "symbol", "kind", "venue", "t",
        ),
        _context(
            "hyperliquid_asset_ctxs",
            columns(
                "symbol t:int oracle_px mark_px mid_px impact_bid impact_ask day_ntl_volume day_base_volume"
                " open_interest prev_day_px premium funding_e10:int known_at:int"
            ),
            "symbol", "t",
            decimals=CTX_DECIMALS,
        ),
        _context(
            "polymarket_quotes",
            columns(
                "market_id t:int prices best_bid best_ask last_price volume:real liquidity:real is_flagged:int book"
                " known_at:int"
            ),
            "market_id", "t",
        ),
        _context("polymarket_immediate_markets", POLYMARKET_CHOICE, "symbol", "t"),
        _context("polymarket_later_markets", POLYMARKET_CHOICE, "symbol", "t"),
        *_macro("defillama_capital_base", "tvl_usd:real mcap_usd:real circulating_usd:real"),
        *_macro(
            "defillama_capital_flows",
            "change_1h_pct:real change_1d_pct:real change_7d_pct:real flow_1d_usd:real flow_7d_usd:real",
        ),
        *_macro(
            "defillama_economic_throughput",
            "dex_volume_24h_usd:real dex_volume_change_1d_pct:real fees_24h_usd:real fees_change_1d_pct:real"
            " revenue_24h_usd:real revenue_change_1d_pct:real open_interest_usd:real open_interest_change_1d_pct:real",
        ),
    )
}  # fmt: skip
"""Every archived table by name, in the order in which retention takes them."""


SNAPSHOTS = ArchivedTable(
    "prop_snapshots", "prop_snapshots",
    columns(
        "account_id:int t:int equity:int balance:int unrealized:int gross:int margin:int maintenance:int drawdown:int"
        " high_water_mark:int positions:int carried:int oldest_mark_ms:int marks marked_at:int max_drawdown:int"
    ),
    ("account_id", "t"), Hot.MINUTE, Complete.ENDED, room="prop",
)  # fmt: skip
"""Minutes of what accounts were worth. They live in `clash.db`, and hours of them stay (`prop.snapshot_archive`)."""


def table_named(name: str) -> ArchivedTable:
    """An archived table by name, of the market memory or of accounts.

    Raises:
        ValueError: there is none; the message lists them.
    """
    found = {**TABLES, SNAPSHOTS.name: SNAPSHOTS}
    try:
        return found[name]
    except KeyError:
        raise ValueError(f"{name[:60]!r} is not an archived table: {', '.join(found)}") from None
