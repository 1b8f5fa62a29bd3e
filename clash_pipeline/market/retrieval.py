"""Execute read plans against market memory at an `as_of`: one pass over SQLite for a whole branch, deterministic.

A row that became known after `as_of` is never seen; of a corrected row the version known then is read. What is missing
or stale is said with its reason, never patched over (03).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.market.read_plan import ReadEntry, ReadPlan
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import as_decimal

Value = str | int | float | None
Rows = list[tuple[Value, ...]]
CANDLE_COLUMNS = ("t", "o", "h", "l", "c", "v")
FUNDING_COLUMNS = ("t", "rate_e10", "interval_hours", "premium")
LINKED_COLUMNS = ("t", "market_id", "question", "outcomes", "prices", "end_at", "liquidity")
MARKET_COLUMNS = ("t", "market_id", "question", "outcomes", "prices", "best_bid", "best_ask", "end_at")
INDICATORS: dict[str, tuple[str, ...]] = {
    "rsi": ("rsi14",),
    "bollinger": ("bb_upper", "bb_middle", "bb_lower"),
    "sma_ema": ("sma20", "ema20"),
    "macd": ("macd", "macd_signal", "macd_hist"),
}
MACRO: dict[str, tuple[str, ...]] = {
    "capital_base": ("t", "tvl_usd", "mcap_usd", "circulating_usd", "missing_reason"),
    "capital_flows": (
        "t", "change_1h_pct", "change_1d_pct", "change_7d_pct", "flow_1d_usd", "flow_7d_usd", "missing_reason",
    ),
    "economic_throughput": (
        "t", "dex_volume_24h_usd", "dex_volume_change_1d_pct", "fees_24h_usd", "fees_change_1d_pct", "revenue_24h_usd",
        "revenue_change_1d_pct", "open_interest_usd", "open_interest_change_1d_pct", "missing_reason",
    ),
}  # fmt: skip
STALE_AFTER_MS = {
    "ohlcv": 3 * MINUTE_MS,
    "funding": 2 * HOUR_MS,
    "immediate": 15 * MINUTE_MS,
    "later": 2 * HOUR_MS,
    "market": 15 * MINUTE_MS,
    "capital_base": 3 * HOUR_MS,
    "capital_flows": 3 * HOUR_MS,
    "economic_throughput": 3 * HOUR_MS,
}
"""Older than this the newest row of a channel is called stale; indicators follow the candles *(ours)*."""


class Section(msgspec.Struct, frozen=True):
    """What one read found: rows oldest first under their columns, the age of the newest, and what is wrong with it.

    `problem` is None, `missing` (no row in the window), `warming_up` (rows, but no value yet) or `stale`.
    """

    entry: ReadEntry
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    newest_t: int | None
    age_ms: int | None
    problem: str | None

    def column(self, name: str) -> list[Any]:
        """The values of a column, oldest first."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


class Found(msgspec.Struct, frozen=True):
    """Everything one plan found, in the order of its entries."""

    symbol: str
    as_of: int
    sections: tuple[Section, ...]


def retrieve(connection: Connection, plans: Sequence[ReadPlan], as_of: int) -> dict[str, Found]:
    """Execute the plans of a branch; by traded symbol."""
    entries = sorted({entry for plan in plans for entry in plan.entries})
    memory = _Memory(connection, entries, as_of)
    return {
        plan.symbol: Found(plan.symbol, as_of, tuple(memory.section(entry) for entry in plan.entries)) for plan in plans
    }


class _Memory:
    """The rows of all entries of one branch, fetched family by family, then cut to each entry."""

    def __init__(self, connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> None:
        self.as_of = as_of
        self._candles = _candles(connection, _of(entries, "ohlcv"), as_of)
        self._indicators = _indicators(connection, _of(entries, *INDICATORS), as_of)
        self._funding = _funding(connection, _of(entries, "funding"), as_of)
        self._immediate = _immediate(connection, _of(entries, "immediate"), as_of)
        self._later = _later(connection, _of(entries, "later"), as_of)
        self._markets = _markets(connection, _of(entries, "market"), as_of)
        self._macro = {
            channel: read(connection, _of(entries, channel), as_of) for channel, read in _MACRO_READERS.items()
        }

    def section(self, entry: ReadEntry) -> Section:
        """The rows of one entry, newest `points` of its window."""
        columns, rows, span_ms = self._rows(entry)
        kept = tuple(rows[-entry.points :])
        newest = kept[-1][0] if kept else None
        newest_t = newest if isinstance(newest, int) else None
        age_ms = None if newest_t is None else self.as_of - newest_t - span_ms
        return Section(entry, columns, kept, newest_t, age_ms, _problem(entry, kept, age_ms))

    def _rows(self, entry: ReadEntry) -> tuple[tuple[str, ...], Rows, int]:
        """Columns, rows and how long after its time a row ends."""
        context, channel, since = entry.context_symbol, entry.channel, _since(entry, self.as_of)
        if channel == "ohlcv":
            interval, interval_ms = _interval(entry)
            step = entry.granularity_sec * SECOND_MS
            bars = [row for row in self._candles.get((context, interval), []) if row[0] >= since]
            return CANDLE_COLUMNS, _bars(bars, step, interval_ms), max(step, interval_ms)
        if channel in INDICATORS:
            names = INDICATORS[channel]
            rows = self._indicators.get((context, _step(entry)), [])
            return ("t", *names), _values(rows, names, since), MINUTE_MS
        if channel == "funding":
            return FUNDING_COLUMNS, _last_of_hour(self._funding.get(context, []), since), 0
        if channel in ("immediate", "later"):
            linked = self._immediate if channel == "immediate" else self._later
            return LINKED_COLUMNS, [row for row in linked.get(context, []) if _at(row) >= since], 0
        if channel == "market":
            return MARKET_COLUMNS, [row for row in self._markets.get(entry.market, []) if _at(row) >= since], 0
        subject = (entry.scope, entry.subject)
        return MACRO[channel], [row for row in self._macro[channel].get(subject, []) if _at(row) >= since], 0


def _problem(entry: ReadEntry, rows: Sequence[tuple[Value, ...]], age_ms: int | None) -> str | None:
    if not rows or age_ms is None:
        return "missing"
    if all(value is None for value in rows[-1][1:]):
        return "warming_up"
    limit = STALE_AFTER_MS[entry.channel if entry.channel in STALE_AFTER_MS else "ohlcv"]
    step = entry.granularity_sec * SECOND_MS
    return "stale" if age_ms > max(limit, 2 * step) else None


def _of(entries: Iterable[ReadEntry], *channels: str) -> list[ReadEntry]:
    return [entry for entry in entries if entry.channel in channels]


def _since(entry: ReadEntry, as_of: int) -> int:
    """The window starts on a whole step, so that a bucket is never half read."""
    start = as_of - entry.lookback_sec * SECOND_MS
    step = max(entry.granularity_sec * SECOND_MS, 1)
    return start - start % step


def _interval(entry: ReadEntry) -> tuple[str, int]:
    return ("1h", HOUR_MS) if entry.granularity_sec >= HOUR_MS // SECOND_MS else ("1m", MINUTE_MS)


def _step(entry: ReadEntry) -> int:
    return max(entry.granularity_sec * SECOND_MS, MINUTE_MS)


def _at(row: Sequence[Value]) -> int:
    return row[0] if isinstance(row[0], int) else 0


def _windows(windows: dict[tuple[Any, ...], int]) -> str:
    """Windows as the JSON that a query joins with; one window a key, from its earliest start."""
    return json.dumps([[*key, since] for key, since in sorted(windows.items())])


def _earliest(
    entries: Iterable[ReadEntry], as_of: int, key: Callable[[ReadEntry], tuple[Any, ...]]
) -> dict[tuple[Any, ...], int]:
    found: dict[tuple[Any, ...], int] = {}
    for entry in entries:
        found[key(entry)] = min(_since(entry, as_of), found.get(key(entry), as_of))
    return found


def _candles(
    connection: Connection, entries: Sequence[ReadEntry], as_of: int
) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """Closed minutes and ended hours; an hour counts once it was known after its end."""
    windows = _earliest(entries, as_of, lambda entry: (entry.context_symbol, *_interval(entry)))
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS symbol, value ->> 1 AS interval, value ->> 2 AS span, value ->> 3 AS since
                   FROM json_each(:windows))
        SELECT c.symbol, c.interval, c.t, c.o, c.h, c.l, c.c, c.v
        FROM w CROSS JOIN hyperliquid_candles c ON c.symbol = w.symbol AND c.interval = w.interval
        WHERE c.t >= w.since AND c.t <= :as_of - w.span AND c.known_at <= :as_of
          AND (c.interval = '1m' OR c.known_at >= c.t + w.span)
        UNION ALL
        SELECT c.symbol, c.interval, c.t, c.o, c.h, c.l, c.c, c.v
        FROM w CROSS JOIN hyperliquid_candle_versions c ON c.symbol = w.symbol AND c.interval = w.interval
        WHERE c.t >= w.since AND c.t <= :as_of - w.span AND c.known_at <= :as_of AND c.superseded_at > :as_of
          AND (c.interval = '1m' OR c.known_at >= c.t + w.span)
        ORDER BY 1, 2, 3
        """,
        {"windows": _windows(windows), "as_of": as_of},
    )
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for symbol, interval, *row in rows:
        found.setdefault((symbol, interval), []).append(tuple(row))
    return found


def _bars(rows: Sequence[tuple[Any, ...]], step: int, interval_ms: int) -> Rows:
    """Rows as they are, or gathered into whole longer bars."""
    if step <= interval_ms:
        return list(rows)
    buckets: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        buckets.setdefault(row[0] - row[0] % step, []).append(row)
    if buckets and max(buckets) + step > rows[-1][0] + interval_ms:
        buckets.pop(max(buckets))  # still forming
    return [_bar(t, bucket) for t, bucket in sorted(buckets.items())]


def _bar(t: int, rows: Sequence[tuple[Any, ...]]) -> tuple[Value, ...]:
    high = max(rows, key=lambda row: as_decimal(row[2]))[2]
    low = min(rows, key=lambda row: as_decimal(row[3]))[3]
    volume = sum((as_decimal(row[5]) for row in rows), Decimal(0))
    return (t, rows[0][1], high, low, rows[-1][4], f"{volume:f}")


def _indicators(
    connection: Connection, entries: Sequence[ReadEntry], as_of: int
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Indicator rows at the last minute of each step, so that coarse reads are thinned by the query itself."""
    windows = _earliest(entries, as_of, lambda entry: (entry.context_symbol, _step(entry)))
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS symbol, value ->> 1 AS step, value ->> 2 AS since FROM json_each(:windows))
        SELECT w.step, i.symbol, i.t, i.rsi14, i.bb_upper, i.bb_middle, i.bb_lower, i.sma20, i.ema20, i.macd,
               i.macd_signal, i.macd_hist
        FROM w CROSS JOIN hyperliquid_technical_indicators i ON i.symbol = w.symbol
        WHERE i.t >= w.since AND i.t <= :as_of - 60000 AND (i.t + 60000) % w.step = 0 AND i.known_at <= :as_of
        UNION ALL
        SELECT w.step, i.symbol, i.t, i.rsi14, i.bb_upper, i.bb_middle, i.bb_lower, i.sma20, i.ema20, i.macd,
               i.macd_signal, i.macd_hist
        FROM w CROSS JOIN hyperliquid_technical_indicator_versions i ON i.symbol = w.symbol
        WHERE i.t >= w.since AND i.t <= :as_of - 60000 AND (i.t + 60000) % w.step = 0 AND i.known_at <= :as_of
          AND i.superseded_at > :as_of
        ORDER BY 1, 2, 3
        """,
        {"windows": _windows(windows), "as_of": as_of},
    )
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["symbol"], row["step"]), []).append(dict(row))
    return found


def _values(rows: Sequence[dict[str, Any]], names: tuple[str, ...], since: int) -> Rows:
    return [(row["t"], *(row[name] for name in names)) for row in rows if row["t"] >= since]


def _funding(connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> dict[str, Rows]:
    windows = _earliest(entries, as_of, lambda entry: (entry.context_symbol,))
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS symbol, value ->> 1 AS since FROM json_each(:windows))
        SELECT f.symbol, f.t, f.rate_e10, f.interval_hours, f.premium
        FROM w CROSS JOIN hyperliquid_funding_rates f ON f.symbol = w.symbol AND f.kind = 'current'
        WHERE f.t >= w.since AND f.t <= :as_of AND f.known_at <= :as_of
        ORDER BY f.symbol, f.t, f.venue
        """,
        {"windows": _windows(windows), "as_of": as_of},
    )
    return _grouped(rows, 1)


def _last_of_hour(rows: Rows, since: int) -> Rows:
    """The newest sample of each hour."""
    newest = {_at(row) // HOUR_MS: row for row in rows if _at(row) >= since}
    return [newest[hour] for hour in sorted(newest)]


def _immediate(connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> dict[str, Rows]:
    windows = _earliest(entries, as_of, lambda entry: (entry.context_symbol,))
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS symbol, value ->> 1 AS since FROM json_each(:windows))
        SELECT p.symbol, p.t, p.market_id, p.question, p.outcomes, p.prices, p.end_at, p.liquidity
        FROM w CROSS JOIN polymarket_immediate_markets p ON p.symbol = w.symbol
        WHERE p.t >= w.since AND p.t <= :as_of AND p.known_at <= :as_of ORDER BY p.symbol, p.t
        """,
        {"windows": _windows(windows), "as_of": as_of},
    )
    return _grouped(rows, 1)


def _later(connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> dict[str, Rows]:
    windows = _earliest(entries, as_of, lambda entry: (entry.context_symbol,))
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS symbol, value ->> 1 AS since FROM json_each(:windows))
        SELECT p.symbol, p.t, p.market_id, p.question, p.outcomes, p.prices, p.end_at, p.liquidity
        FROM w CROSS JOIN polymarket_later_markets p ON p.symbol = w.symbol
        WHERE p.t >= w.since AND p.t <= :as_of AND p.known_at <= :as_of ORDER BY p.symbol, p.t
        """,
        {"windows": _windows(windows), "as_of": as_of},
    )
    return _grouped(rows, 1)


def _markets(connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> dict[str, Rows]:
    """Quotes of a market by its slug, or of all markets of an event by the event's slug."""
    windows = _earliest(entries, as_of, lambda entry: (entry.market,))
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS slug, value ->> 1 AS since FROM json_each(:windows)),
        m AS (
          SELECT market_id, question, outcomes, end_at FROM polymarket_markets WHERE known_at <= :as_of
          UNION ALL
          SELECT market_id, question, outcomes, end_at FROM polymarket_market_versions
          WHERE known_at <= :as_of AND superseded_at > :as_of
        ),
        named AS (
          SELECT w.slug, w.since, p.market_id FROM w JOIN polymarket_markets p ON p.slug = w.slug
          UNION
          SELECT w.slug, w.since, p.market_id FROM w JOIN polymarket_events e ON e.slug = w.slug
          JOIN polymarket_markets p ON p.event_id = e.event_id
        )
        SELECT named.slug, q.t, m.market_id, m.question, m.outcomes, q.prices, q.best_bid, q.best_ask, m.end_at
        FROM named JOIN m ON m.market_id = named.market_id
        CROSS JOIN polymarket_quotes q ON q.market_id = named.market_id
        WHERE q.t >= named.since AND q.t <= :as_of AND q.known_at <= :as_of ORDER BY named.slug, q.t, m.market_id
        """,
        {"windows": _windows(windows), "as_of": as_of},
    )
    return _grouped(rows, 1)


def _subjects(entries: Sequence[ReadEntry], as_of: int) -> str:
    return _windows(_earliest(entries, as_of, lambda entry: (entry.scope, entry.subject)))


def _capital_base(connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> dict[Any, Rows]:
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS scope, value ->> 1 AS subject, value ->> 2 AS since FROM json_each(:windows))
        SELECT d.scope, d.subject, d.t, d.tvl_usd, d.mcap_usd, d.circulating_usd, d.missing_reason
        FROM w CROSS JOIN defillama_capital_base d ON d.scope = w.scope AND d.subject = w.subject
        WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of
        UNION ALL
        SELECT d.scope, d.subject, d.t, d.tvl_usd, d.mcap_usd, d.circulating_usd, d.missing_reason
        FROM w CROSS JOIN defillama_capital_base_versions d ON d.scope = w.scope AND d.subject = w.subject
        WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of AND d.superseded_at > :as_of
        ORDER BY 1, 2, 3
        """,
        {"windows": _subjects(entries, as_of), "as_of": as_of},
    )
    return _grouped(rows, 2)


def _capital_flows(connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> dict[Any, Rows]:
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS scope, value ->> 1 AS subject, value ->> 2 AS since FROM json_each(:windows))
        SELECT d.scope, d.subject, d.t, d.change_1h_pct, d.change_1d_pct, d.change_7d_pct, d.flow_1d_usd, d.flow_7d_usd,
               d.missing_reason
        FROM w CROSS JOIN defillama_capital_flows d ON d.scope = w.scope AND d.subject = w.subject
        WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of
        UNION ALL
        SELECT d.scope, d.subject, d.t, d.change_1h_pct, d.change_1d_pct, d.change_7d_pct, d.flow_1d_usd, d.flow_7d_usd,
               d.missing_reason
        FROM w CROSS JOIN defillama_capital_flows_versions d ON d.scope = w.scope AND d.subject = w.subject
        WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of AND d.superseded_at > :as_of
        ORDER BY 1, 2, 3
        """,
        {"windows": _subjects(entries, as_of), "as_of": as_of},
    )
    return _grouped(rows, 2)


def _economic_throughput(connection: Connection, entries: Sequence[ReadEntry], as_of: int) -> dict[Any, Rows]:
    rows = connection.execute(
        """
        WITH w AS (SELECT value ->> 0 AS scope, value ->> 1 AS subject, value ->> 2 AS since FROM json_each(:windows))
        SELECT d.scope, d.subject, d.t, d.dex_volume_24h_usd, d.dex_volume_change_1d_pct, d.fees_24h_usd,
               d.fees_change_1d_pct, d.revenue_24h_usd, d.revenue_change_1d_pct, d.open_interest_usd,
               d.open_interest_change_1d_pct, d.missing_reason
        FROM w CROSS JOIN defillama_economic_throughput d ON d.scope = w.scope AND d.subject = w.subject
        WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of
        UNION ALL
        SELECT d.scope, d.subject, d.t, d.dex_volume_24h_usd, d.dex_volume_change_1d_pct, d.fees_24h_usd,
               d.fees_change_1d_pct, d.revenue_24h_usd, d.revenue_change_1d_pct, d.open_interest_usd,
               d.open_interest_change_1d_pct, d.missing_reason
        FROM w CROSS JOIN defillama_economic_throughput_versions d ON d.scope = w.scope AND d.subject = w.subject
        WHERE d.t >= w.since AND d.t <= :as_of AND d.known_at <= :as_of AND d.superseded_at > :as_of
        ORDER BY 1, 2, 3
        """,
        {"windows": _subjects(entries, as_of), "as_of": as_of},
    )
    return _grouped(rows, 2)


_MACRO_READERS = {
    "capital_base": _capital_base,
    "capital_flows": _capital_flows,
    "economic_throughput": _economic_throughput,
}


def _grouped(rows: Iterable[Any], key_columns: int) -> dict[Any, Rows]:
    """Rows by their leading key columns, which are cut off."""
    found: dict[Any, Rows] = {}
    for row in rows:
        values = tuple(row)
        key = values[0] if key_columns == 1 else values[:key_columns]
        found.setdefault(key, []).append(values[key_columns:])
    return found
