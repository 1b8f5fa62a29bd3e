"""Execution goes through a port, `ExecutionVenue`, with one adapter: paper fills on the prices of market memory.

Quotes are read before the transaction of a submission, for no transaction spans both files; the fill stores its price.
A pass reads each table once, however many symbols are asked for, so that a whole wave can share one.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import Protocol

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market import listing
from clash_pipeline.prop import liquidity, rates
from clash_pipeline.prop.liquidity import CLOSE_DECIMALS, close
from clash_pipeline.prop.pricing import NO_CANDLE, NO_TRADE, NOT_FINAL, CommonClose, Price, Quote, Reference
from clash_pipeline.prop.rates import HourKey, Oracle, Sources
from clash_pipeline.storage.sqlite import Connection, Database, Row
from clash_pipeline.units import Rounding

FEW_MINUTES = 7
RECENT_MINUTES = 30
"""Looked through for a minute with a trade, and for five final ones."""
MARK_CLOSES = 5
PRICE_JUMP_PCT = 20
"""A mid further than this from the last close is not traded on (09 §5.1.6)."""


class ExecutionVenue(Protocol):
    """Where orders are filled. The paper venue is the only adapter; a live one would stand behind the same port."""

    @property
    def name(self) -> str:
        """How the adapter is called in settings and rows."""
        ...

    def quotes(self, symbols: Iterable[str], now_ms: int, *, fill_minute: int | None = None) -> Mapping[str, Quote]:
        """What may be traded on and marked with, for every symbol asked for; `fill_minute` adds its common close."""
        ...

    def funding(self, hours: Iterable[HourKey], now_ms: int) -> Sources:
        """Rate and oracle price of funding hours, where both are known."""
        ...

    def oracles(self, symbols: Iterable[str], at_ms: int, now_ms: int) -> Mapping[str, Oracle]:
        """The oracle price nearest to a moment, of every symbol that has one."""
        ...


class PaperVenue:
    """Fills at the newest trusted mid or closed candle of market memory, or at the close of a common minute."""

    name = "paper"

    def __init__(self, market: Database, *, price_jump_pct: int = PRICE_JUMP_PCT) -> None:
        self._market = market
        self._price_jump_pct = price_jump_pct

    def quotes(self, symbols: Iterable[str], now_ms: int, *, fill_minute: int | None = None) -> dict[str, Quote]:
        """One quote a symbol, all from one snapshot of memory; nothing known after `now_ms` is used."""
        wanted = sorted(set(symbols))
        with self._market.read() as connection:
            assets = listing.read(connection, wanted)
            contexts = _contexts(connection, wanted, now_ms)
            mids = _mids(connection, wanted, now_ms)
            minutes = _minutes(connection, wanted, now_ms)
            known = liquidity.read(connection, wanted, contexts, now_ms)
            commons = {} if fill_minute is None else _common_closes(connection, wanted, fill_minute, now_ms)
        found = {}
        for symbol in wanted:
            context, recent = contexts.get(symbol), minutes.get(symbol, ())
            last = _last_traded(recent)
            trusted = _trusted_mid(mids.get(symbol), context, last, self._price_jump_pct)
            found[symbol] = Quote(
                symbol=symbol,
                asset=assets.get(symbol),
                references=tuple(reference for reference in (trusted, last) if reference),
                liquidity=known[symbol],
                venue_mark=_venue_mark(context),
                closes_mark=_closes_mark(recent),
                common=commons.get(symbol),
            )
        return found

    def funding(self, hours: Iterable[HourKey], now_ms: int) -> Sources:
        """Rate and oracle price of funding hours, where both are known."""
        with self._market.read() as connection:
            return rates.sources(connection, hours, now_ms)

    def oracles(self, symbols: Iterable[str], at_ms: int, now_ms: int) -> Mapping[str, Oracle]:
        """The oracle price nearest to a moment, of every symbol that has one."""
        with self._market.read() as connection:
            return rates.oracle_at(connection, symbols, at_ms, now_ms)


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


def _minutes(connection: Connection, symbols: Sequence[str], now_ms: int) -> dict[str, list[Row]]:
    """The newest closed minutes of each symbol, newest first: a few, and more only where those do not say enough."""
    found = _newest_minutes(connection, symbols, now_ms, FEW_MINUTES)
    thin = [symbol for symbol, rows in found.items() if len(rows) == FEW_MINUTES and not _says_enough(rows)]
    return found | _newest_minutes(connection, thin, now_ms, RECENT_MINUTES)


def _says_enough(minutes: Sequence[Row]) -> bool:
    return sum(row["final"] for row in minutes) >= MARK_CLOSES and _last_traded(minutes) is not None


def _newest_minutes(connection: Connection, symbols: Sequence[str], now_ms: int, many: int) -> dict[str, list[Row]]:
    rows = connection.execute(
        """
        SELECT c.symbol, c.t, c.c, c.v, c.final, c.known_at
        FROM json_each(:symbols) s JOIN hyperliquid_candles c ON c.symbol = s.value AND c.interval = '1m'
         AND c.t IN (SELECT t FROM hyperliquid_candles WHERE symbol = s.value AND interval = '1m'
                      AND t <= :until AND known_at <= :now ORDER BY t DESC LIMIT :many)
        ORDER BY c.symbol, c.t DESC
        """,
        {"symbols": json.dumps(symbols), "until": now_ms - MINUTE_MS, "now": now_ms, "many": many},
    )
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["symbol"], []).append(row)
    return found


def _common_closes(connection: Connection, symbols: Sequence[str], minute: int, now_ms: int) -> dict[str, CommonClose]:
    """The close of one minute for each symbol, or why it may not be traded on."""
    rows = connection.execute(
        """
        SELECT s.value AS symbol, c.c, c.v, c.final, c.known_at
        FROM json_each(:symbols) s LEFT JOIN hyperliquid_candles c
          ON c.symbol = s.value AND c.interval = '1m' AND c.t = :minute AND c.known_at <= :now
        """,
        {"symbols": json.dumps(symbols), "minute": minute, "now": now_ms},
    )
    return {row["symbol"]: _common_close(row, minute) for row in rows}


def _common_close(row: Row, minute: int) -> CommonClose:
    if row["c"] is None:
        return CommonClose(minute, None, NO_CANDLE)
    if not row["final"]:
        return CommonClose(minute, None, NOT_FINAL)
    if not _has_trade(row):
        return CommonClose(minute, None, NO_TRADE)
    return CommonClose(minute, Reference(row["c"], "candle", minute + MINUTE_MS, row["known_at"]))


def _has_trade(row: Row) -> bool:
    """A flat minute repeats an old price and has none of its own."""
    return bool(row["v"].strip("0."))


def _last_traded(minutes: Sequence[Row]) -> Reference | None:
    """The close of the newest minute that had a trade."""
    row = next((row for row in minutes if _has_trade(row)), None)
    return None if row is None else Reference(row["c"], "candle", row["t"] + MINUTE_MS, row["known_at"])


def _trusted_mid(mid: Row | None, context: Row | None, last: Reference | None, jump_pct: int) -> Reference | None:
    """The mid, unless the venue has no book for it or it stands further from the last close than a price may jump."""
    if mid is None:
        return None
    if context is not None and context["mid_px"] is None and context["known_at"] >= mid["known_at"]:
        return None
    price = Price.parse(mid["mid"])
    if price is None or (last is not None and _apart(price, close(last.text), jump_pct)):
        return None
    return Reference(mid["mid"], "mid", mid["source_at"], mid["known_at"])


def _apart(price: Price, last: int, jump_pct: int) -> bool:
    return last > 0 and abs(price.scaled(CLOSE_DECIMALS, Rounding.FLOOR) - last) * 100 > last * jump_pct


def _venue_mark(context: Row | None) -> Reference | None:
    if context is None or Price.parse(context["mark_px"]) is None:
        return None
    return Reference(context["mark_px"], "venue", context["known_at"], context["known_at"])


def _closes_mark(minutes: Sequence[Row]) -> Reference | None:
    """The median of the last five final closes; fewer than five are no mark (11, 6)."""
    finals = [row for row in minutes if row["final"]][:MARK_CLOSES]
    if len(finals) < MARK_CLOSES:
        return None
    prices = {close(row["c"]): row["c"] for row in finals}
    middle = median_low(list(map(close, (row["c"] for row in finals))))
    return Reference(prices[middle], "closes", finals[0]["t"] + MINUTE_MS, finals[0]["known_at"])
