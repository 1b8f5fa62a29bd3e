"""Liquidity from market memory: spread, volatility and volume of many assets, one query a table.

Everything is exact integers of the stored decimal text; what cannot be known is None, never zero.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isqrt

from clash_pipeline.clock import DAY_MS, MINUTE_MS
from clash_pipeline.prop.pricing import Liquidity, Price
from clash_pipeline.storage.sqlite import Connection, Row
from clash_pipeline.units import RATE, USD, Rounding, mul_div, parse_decimal

VOLATILITY_DAYS = 7
MIN_HOURLY_RETURNS = 12
"""Fewer returns than this say nothing about a day's volatility *(ours)*."""
CONTEXT_MAX_AGE_MS = 10 * MINUTE_MS
"""An asset context older than this says nothing about liquidity any more *(ours)*."""
CLOSE_DECIMALS = 12
"""Prices are compared as integers of 1e-12."""
REMEMBERED = 4_096


def read(
    connection: Connection, symbols: Sequence[str], contexts: Mapping[str, Row], now_ms: int
) -> dict[str, Liquidity]:
    """The liquidity of every symbol, from its newest context and the candles that memory holds."""
    fresh = {symbol: row for symbol, row in contexts.items() if now_ms - row["known_at"] <= CONTEXT_MAX_AGE_MS}
    spreads = {symbol: _half_spread(row["impact_bid"], row["impact_ask"]) for symbol, row in fresh.items()}
    volumes = {symbol: _usd(row["day_ntl_volume"]) for symbol, row in fresh.items()}
    closes = _hourly_closes(connection, symbols, now_ms)
    traded = _minute_volumes(connection, [symbol for symbol in symbols if symbol not in fresh], now_ms)
    unranked = [volumes[symbol] for symbol in fresh if spreads[symbol] is None]
    ladder = _perp_volumes(connection, now_ms) if unranked else []
    return {
        symbol: _liquidity(spreads.get(symbol), closes.get(symbol, ""), volumes.get(symbol), traded.get(symbol), ladder)
        for symbol in symbols
    }


def _liquidity(
    spread: int | None, closes: str, volume: int | None, traded: int | None, ladder: Sequence[int]
) -> Liquidity:
    volatility, count = day_volatility(closes)
    source = "context" if volume is not None else "minutes" if traded else None
    rank = _rank(volume, ladder) if spread is None and volume is not None else None
    return Liquidity(spread, volatility, traded or None if volume is None else volume, count, source, rank)


def _rank(volume: int, ladder: Sequence[int]) -> int:
    """1 for the largest; `ladder` is ascending."""
    return len(ladder) - bisect_right(ladder, volume) + 1


@lru_cache(maxsize=REMEMBERED)
def _half_spread(impact_bid: str | None, impact_ask: str | None) -> int | None:
    """Half of the impact spread, relative to its middle, rounded up."""
    bid = Price.parse(impact_bid) if impact_bid is not None else None
    ask = Price.parse(impact_ask) if impact_ask is not None else None
    if bid is None or ask is None:
        return None
    low, high = bid.scaled(CLOSE_DECIMALS, Rounding.FLOOR), ask.scaled(CLOSE_DECIMALS, Rounding.CEIL)
    return mul_div(high - low, RATE, high + low, Rounding.CEIL) if high >= low else None


def _hourly_closes(connection: Connection, symbols: Sequence[str], now_ms: int) -> dict[str, str]:
    """The final hourly closes of seven days, oldest first, as one comma-separated text a symbol."""
    rows = connection.execute(
        """
        SELECT s.value AS symbol,
               (SELECT group_concat(c.c, ',' ORDER BY c.t) FROM hyperliquid_candles c
                WHERE c.symbol = s.value AND c.interval = '1h' AND c.t >= :since AND c.t < :now
                  AND c.final = 1 AND c.known_at <= :now) AS closes
        FROM json_each(:symbols) s
        """,
        {"symbols": json.dumps(symbols), "since": now_ms - VOLATILITY_DAYS * DAY_MS, "now": now_ms},
    )
    return {row["symbol"]: row["closes"] or "" for row in rows}


@lru_cache(maxsize=REMEMBERED)
def day_volatility(closes: str) -> tuple[int | None, int]:
    """Root mean square of the returns between hourly closes, scaled to a day; and how many closes it rests on.

    The text changes once an hour, so the answer of the last one is remembered.
    """
    prices = [price for text in closes.split(",") if text and (price := close(text))]
    returns = [mul_div(after - before, RATE, before, Rounding.FLOOR) for before, after in pairwise(prices)]
    if len(returns) < MIN_HOURLY_RETURNS:
        return None, len(prices)
    mean_square = mul_div(sum(step * step for step in returns), 1, len(returns), Rounding.CEIL)
    return isqrt(24 * mean_square) + 1, len(prices)


def _minute_volumes(connection: Connection, symbols: Sequence[str], now_ms: int) -> dict[str, int]:
    """What the stored minutes of a day add up to, where the venue's own figure is not known.

    Minutes that are missing only make the volume smaller, and the slippage larger.
    """
    if not symbols:
        return {}
    rows = connection.execute(
        """
        SELECT c.symbol, c.c, c.v FROM json_each(:symbols) s JOIN hyperliquid_candles c ON c.symbol = s.value
        WHERE c.interval = '1m' AND c.t >= :since AND c.t <= :until AND c.known_at <= :now
        """,
        {
            "symbols": json.dumps(symbols), "since": now_ms - DAY_MS, "until": now_ms - MINUTE_MS, "now": now_ms,
        },
    )  # fmt: skip
    found: dict[str, int] = {}
    for row in rows:
        worth = mul_div(_usd(row["v"]), close(row["c"]), 10**CLOSE_DECIMALS, Rounding.FLOOR)
        found[row["symbol"]] = found.get(row["symbol"], 0) + worth
    return found


def _perp_volumes(connection: Connection, now_ms: int) -> list[int]:
    """The 24 h volumes of all listed perps, ascending."""
    rows = connection.execute(
        """
        SELECT c.day_ntl_volume FROM hyperliquid_assets a JOIN hyperliquid_asset_ctxs c ON c.symbol = a.symbol
         AND c.t = (SELECT max(t) FROM hyperliquid_asset_ctxs
                    WHERE symbol = a.symbol AND t <= :now AND known_at <= :now)
        WHERE a.kind = 'perp' AND a.is_delisted = 0 AND c.known_at >= :since
        """,
        {"now": now_ms, "since": now_ms - CONTEXT_MAX_AGE_MS},
    )
    return sorted(_usd(row["day_ntl_volume"]) for row in rows)


@lru_cache(maxsize=REMEMBERED)
def close(text: str) -> int:
    """A stored price as an integer of 1e-12; 0 when it is not positive."""
    price = Price.parse(text)
    return price.scaled(CLOSE_DECIMALS, Rounding.FLOOR) if price else 0


def _usd(text: str) -> int:
    digits, places = parse_decimal(text, max_int_digits=18, max_frac_digits=20, name="volume")
    return mul_div(digits, USD, 10**places, Rounding.FLOOR)
