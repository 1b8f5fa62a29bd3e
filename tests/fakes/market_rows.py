"""Hand-written rows of market memory, for tests that should not need an ingester."""

import json
from collections.abc import Sequence

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, minute_of
from clash_pipeline.storage.sqlite import Database

ALL_CHANNELS = ("ohlcv", "rsi", "bollinger", "sma_ema", "macd", "funding")


def list_asset(
    market: Database,
    symbol: str,
    *,
    kind: str = "perp",
    sz_decimals: int = 2,
    max_leverage: int = 20,
    tiers: Sequence[tuple[str, int]] = (),
    delisted: bool = False,
    category: str = "crypto_major",
    subcategory: str = "layer_1",
    channels: Sequence[str] | None = None,
) -> None:
    """One asset of the registry."""
    offered = ALL_CHANNELS if kind == "perp" else ALL_CHANNELS[:-1]
    margin = [{"lowerBound": bound, "maxLeverage": leverage} for bound, leverage in tiers or (("0.0", max_leverage),)]
    with market.write() as connection:
        connection.execute(
            """
            INSERT OR REPLACE INTO hyperliquid_assets
              (symbol, display_name, kind, venue_index, sz_decimals, max_leverage, margin_tiers, is_only_isolated,
               is_delisted, base_token, quote_token, channels, category, subcategory, search_terms, first_seen_at,
               known_at)
            VALUES (?, ?, ?, 0, ?, ?, ?, 0, ?, ?, 'USDC', ?, ?, ?, '[]', 0, 0)
            """,
            (
                symbol, symbol, kind, sz_decimals, max_leverage, json.dumps(margin), int(delisted), symbol,
                json.dumps(list(channels if channels is not None else offered)), category, subcategory,
            ),
        )  # fmt: skip


def candle(
    market: Database,
    symbol: str,
    t: int,
    close: str,
    *,
    volume: str = "10",
    final: bool = True,
    known_at: int | None = None,
    interval: str = "1m",
    open_: str | None = None,
    high: str | None = None,
    low: str | None = None,
) -> None:
    """One candle that opens at `t`; all four prices are the close unless given."""
    span = MINUTE_MS if interval == "1m" else HOUR_MS
    with market.write() as connection:
        connection.execute(
            """
            INSERT INTO hyperliquid_candles (symbol, interval, t, o, h, l, c, v, n, origin, final, known_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 'stream', ?, ?)
            ON CONFLICT DO UPDATE SET o = excluded.o, h = excluded.h, l = excluded.l, c = excluded.c, v = excluded.v,
              final = excluded.final, known_at = excluded.known_at
            """,
            (
                symbol, interval, t, open_ or close, high or close, low or close, close, volume, int(final),
                t + span if known_at is None else known_at,
            ),
        )  # fmt: skip


def closes(market: Database, symbol: str, until_ms: int, prices: Sequence[str], *, volume: str = "10") -> None:
    """Minutes with these closes; the last one closed at the minute of `until_ms`."""
    first = minute_of(until_ms) - len(prices) * MINUTE_MS
    for number, price in enumerate(prices):
        candle(market, symbol, first + number * MINUTE_MS, price, volume=volume)


def mid(market: Database, symbol: str, price: str, at: int) -> None:
    """The newest mid."""
    with market.write() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO hyperliquid_latest_prices (symbol, mid, source_at, known_at) VALUES (?, ?, ?, ?)",
            (symbol, price, at, at),
        )


def context(
    market: Database,
    symbol: str,
    at: int,
    *,
    mark: str,
    day_volume: str = "1000000000",
    mid_px: str | None = None,
    impact: tuple[str, str] | None = None,
) -> None:
    """One polled asset context."""
    bid, ask = impact or (None, None)
    with market.write() as connection:
        connection.execute(
            """
            INSERT OR REPLACE INTO hyperliquid_asset_ctxs
              (symbol, t, oracle_px, mark_px, mid_px, impact_bid, impact_ask, day_ntl_volume, known_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (symbol, minute_of(at), mark, mark, mid_px or mark, bid, ask, day_volume, at),
        )


def indicators(market: Database, symbol: str, t: int, *, known_at: int | None = None, **values: float | None) -> None:
    """One row of indicators; what is not given is NULL."""
    names = ("rsi14", "bb_upper", "bb_middle", "bb_lower", "sma20", "ema20", "macd", "macd_signal", "macd_hist")
    with market.write() as connection:
        connection.execute(
            """
            INSERT INTO hyperliquid_technical_indicators
              (symbol, t, rsi14, bb_upper, bb_middle, bb_lower, sma20, ema20, macd, macd_signal, macd_hist, known_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET rsi14 = excluded.rsi14, macd_hist = excluded.macd_hist,
              known_at = excluded.known_at
            """,
            (symbol, t, *(values.get(name) for name in names), t + MINUTE_MS if known_at is None else known_at),
        )


def funding_rate(market: Database, symbol: str, t: int, rate_e10: int, *, kind: str = "paid", known_at: int) -> None:
    """One funding rate: paid at the hour `t`, or an estimate sampled at the minute `t`."""
    with market.write() as connection:
        connection.execute(
            """
            INSERT OR REPLACE INTO hyperliquid_funding_rates
              (symbol, kind, venue, t, rate_e10, interval_hours, premium, next_funding_at, known_at)
            VALUES (?, ?, 'HlPerp', ?, ?, 1, NULL, NULL, ?)
            """,
            (symbol, kind, t, rate_e10, known_at),
        )


def oracle(market: Database, symbol: str, at: int, price: str | None, *, rate_e10: int | None = None) -> None:
    """The oracle price and the funding estimate of a polled context; the context itself as it is, or a plain one."""
    with market.write() as connection:
        connection.execute(
            """
            INSERT INTO hyperliquid_asset_ctxs
              (symbol, t, oracle_px, mark_px, mid_px, day_ntl_volume, funding_e10, known_at)
            VALUES (?, ?, ?, ?, ?, '1000000000', ?, ?)
            ON CONFLICT DO UPDATE SET oracle_px = excluded.oracle_px, funding_e10 = excluded.funding_e10
            """,
            (symbol, minute_of(at), price, price or "1", price or "1", rate_e10, at),
        )
