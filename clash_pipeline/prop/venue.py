"""Execution goes through a port, `ExecutionVenue`, with one adapter: paper fills on the prices of market memory.

Quotes are read before the transaction of a submission, for no transaction spans both files; the fill stores its price.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import isqrt
from statistics import median_low
from typing import Protocol

from clash_pipeline.clock import DAY_MS, MINUTE_MS
from clash_pipeline.market import listing
from clash_pipeline.market.listing import Listed
from clash_pipeline.prop.pricing import Liquidity, Price, Quote, Reference
from clash_pipeline.storage.sqlite import Connection, Database, Row
from clash_pipeline.units import RATE, USD, Rounding, mul_div, parse_decimal

RECENT_MINUTES = 30
MARK_CLOSES = 5
VOLATILITY_DAYS = 7
MIN_HOURLY_RETURNS = 12
"""Fewer returns than this say nothing about a day's volatility *(ours)*."""
CONTEXT_MAX_AGE_MS = 10 * MINUTE_MS
"""An asset context older than this says nothing about liquidity any more *(ours)*."""
CLOSE_DECIMALS = 12
PRICE_JUMP_PCT = 20
"""A mid further than this from the last close is not traded on (09 §5.1.6)."""


class ExecutionVenue(Protocol):
    """Where orders are filled. The paper venue is the only adapter; a live one would stand behind the same port."""

    @property
    def name(self) -> str:
        """How the adapter is called in settings and rows."""
        ...

    def quotes(self, symbols: Iterable[str], now_ms: int) -> Mapping[str, Quote]:
        """What may be traded on and marked with, for every symbol asked for."""
        ...


class PaperVenue:
    """Fills at the newest trusted mid or closed candle of market memory."""

    name = "paper"

    def __init__(self, market: Database, *, price_jump_pct: int = PRICE_JUMP_PCT) -> None:
        self._market = market
        self._price_jump_pct = price_jump_pct

    def quotes(self, symbols: Iterable[str], now_ms: int) -> dict[str, Quote]:
        """One quote a symbol, all from one snapshot of memory; nothing known after `now_ms` is used."""
        wanted = sorted(set(symbols))
        with self._market.read() as connection:
            assets = listing.read(connection, wanted)
            contexts = _contexts(connection, wanted, now_ms)
            mids = _mids(connection, wanted, now_ms)
            return {
                symbol: self._quote(
                    connection, symbol, assets.get(symbol), contexts.get(symbol), mids.get(symbol), now_ms
                )
                for symbol in wanted
            }

    def _quote(
        self,
        connection: Connection,
        symbol: str,
        asset: Listed | None,
        context: Row | None,
        mid: Row | None,
        now_ms: int,
    ) -> Quote:
        minutes = _minutes(connection, symbol, now_ms)
        close = _last_traded(minutes)
        trusted = _trusted_mid(mid, context, close, self._price_jump_pct)
        fresh = context if context is not None and now_ms - context["known_at"] <= CONTEXT_MAX_AGE_MS else None
        return Quote(
            symbol=symbol,
            asset=asset,
            references=tuple(reference for reference in (trusted, close) if reference),
            liquidity=_liquidity(connection, symbol, fresh, now_ms),
            venue_mark=_venue_mark(context),
            closes_mark=_closes_mark(minutes),
        )


def _contexts(connection: Connection, symbols: Sequence[str], now_ms: int) -> dict[str, Row]:
    rows = connection.execute(
        """
        SELECT s.value AS symbol, c.known_at, c.mark_px, c.mid_px, c.impact_bid, c.impact_ask, c.day_ntl_volume
        FROM json_each(:symbols) s JOIN hyperliquid_asset_ctxs c ON c.symbol = s.value
         AND c.t = (SELECT max(t) FROM hyperliquid_asset_ctxs WHERE symbol = s.value AND t <= :now AND known_at <= :now)
        """,
        {"symbols": json.dumps(symbols), "now": now_ms},
    )
    return {row["symbol"]: row for row in rows}


def _mids(connection: Connection, symbols: Sequence[str], now_ms: int) -> dict[str, Row]:
    rows = connection.execute(
        """
        SELECT symbol, mid, source_at, known_at FROM hyperliquid_latest_prices
        WHERE symbol IN (SELECT value FROM json_each(:symbols)) AND source_at <= :now AND known_at <= :now
        """,
        {"symbols": json.dumps(symbols), "now": now_ms},
    )
    return {row["symbol"]: row for row in rows}


def _minutes(connection: Connection, symbol: str, now_ms: int) -> list[Row]:
    """The newest closed minutes, newest first."""
    return connection.execute(
        """
        SELECT t, c, v, final, known_at FROM hyperliquid_candles
        WHERE symbol = ? AND interval = '1m' AND t <= ? AND known_at <= ? ORDER BY t DESC LIMIT ?
        """,
        (symbol, now_ms - MINUTE_MS, now_ms, RECENT_MINUTES),
    ).fetchall()


def _last_traded(minutes: Sequence[Row]) -> Reference | None:
    """The close of the newest minute that had a trade: a flat minute repeats an old price and has none of its own."""
    row = next((row for row in minutes if row["v"].strip("0.")), None)
    return None if row is None else Reference(row["c"], "candle", row["t"] + MINUTE_MS, row["known_at"])


def _trusted_mid(mid: Row | None, context: Row | None, close: Reference | None, jump_pct: int) -> Reference | None:
    """The mid, unless the venue has no book for it or it stands further from the last close than a price may jump."""
    if mid is None:
        return None
    if context is not None and context["mid_px"] is None and context["known_at"] >= mid["known_at"]:
        return None
    price = Price.parse(mid["mid"])
    last = close.price if close else None
    if price is None or (last is not None and _apart(price, last, jump_pct)):
        return None
    return Reference(mid["mid"], "mid", mid["source_at"], mid["known_at"])


def _apart(price: Price, last: Price, jump_pct: int) -> bool:
    one, other = price.scaled(CLOSE_DECIMALS, Rounding.FLOOR), last.scaled(CLOSE_DECIMALS, Rounding.FLOOR)
    return abs(one - other) * 100 > other * jump_pct


def _venue_mark(context: Row | None) -> Reference | None:
    if context is None or Price.parse(context["mark_px"]) is None:
        return None
    return Reference(context["mark_px"], "venue", context["known_at"], context["known_at"])


def _closes_mark(minutes: Sequence[Row]) -> Reference | None:
    """The median of the last five final closes; fewer than five are no mark (11, 6)."""
    finals = [row for row in minutes if row["final"]][:MARK_CLOSES]
    if len(finals) < MARK_CLOSES:
        return None
    prices = {_close(row): row["c"] for row in finals}
    middle = median_low([_close(row) for row in finals])
    return Reference(prices[middle], "closes", finals[0]["t"] + MINUTE_MS, finals[0]["known_at"])


def _liquidity(connection: Connection, symbol: str, context: Row | None, now_ms: int) -> Liquidity:
    volatility, closes = _day_volatility(connection, symbol, now_ms)
    volume, source = _day_volume(connection, symbol, context, now_ms)
    return Liquidity(_half_spread(context), volatility, volume, closes, source)


def _half_spread(context: Row | None) -> int | None:
    """Half of the impact spread, relative to its middle, rounded up."""
    if context is None or context["impact_bid"] is None or context["impact_ask"] is None:
        return None
    bid, ask = Price.parse(context["impact_bid"]), Price.parse(context["impact_ask"])
    if bid is None or ask is None:
        return None
    low, high = bid.scaled(CLOSE_DECIMALS, Rounding.FLOOR), ask.scaled(CLOSE_DECIMALS, Rounding.CEIL)
    return mul_div(high - low, RATE, high + low, Rounding.CEIL) if high >= low else None


def _day_volatility(connection: Connection, symbol: str, now_ms: int) -> tuple[int | None, int]:
    """Root mean square of the hourly returns of seven days, scaled to a day; and how many closes it rests on."""
    rows = connection.execute(
        """
        SELECT c FROM hyperliquid_candles
        WHERE symbol = ? AND interval = '1h' AND final = 1 AND t >= ? AND t < ? AND known_at <= ? ORDER BY t
        """,
        (symbol, now_ms - VOLATILITY_DAYS * DAY_MS, now_ms, now_ms),
    ).fetchall()
    closes = [_close(row) for row in rows]
    returns = [mul_div(after - before, RATE, before, Rounding.FLOOR) for before, after in pairwise(closes)]
    if len(returns) < MIN_HOURLY_RETURNS:
        return None, len(closes)
    mean_square = mul_div(sum(step * step for step in returns), 1, len(returns), Rounding.CEIL)
    return isqrt(24 * mean_square) + 1, len(closes)


def _day_volume(connection: Connection, symbol: str, context: Row | None, now_ms: int) -> tuple[int | None, str | None]:
    """The venue's own 24 h volume, else what the stored minutes of a day add up to, in 1e-8 USD.

    Minutes that are missing only make the volume smaller, and the slippage larger.
    """
    if context is not None:
        return _usd(context["day_ntl_volume"]), "context"
    rows = connection.execute(
        """
        SELECT c, v FROM hyperliquid_candles
        WHERE symbol = ? AND interval = '1m' AND t >= ? AND t <= ? AND known_at <= ?
        """,
        (symbol, now_ms - DAY_MS, now_ms - MINUTE_MS, now_ms),
    ).fetchall()
    volume = sum(mul_div(_usd(row["v"]), _close(row), 10**CLOSE_DECIMALS, Rounding.FLOOR) for row in rows)
    return (volume, "minutes") if volume else (None, None)


def _close(row: Row) -> int:
    price = Price.parse(row["c"])
    return price.scaled(CLOSE_DECIMALS, Rounding.FLOOR) if price else 0


def _usd(text: str) -> int:
    digits, places = parse_decimal(text, max_int_digits=18, max_frac_digits=20, name="volume")
    return mul_div(digits, USD, 10**places, Rounding.FLOOR)
