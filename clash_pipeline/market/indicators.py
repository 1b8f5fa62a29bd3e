"""Technical indicators of every closed minute: made from stored candles, kept as rows, read as they were known.

The values of a UTC day come from recursions that start at its anchor, 720 minutes before it (01 Rules), so that live,
backfilled, restarted and replayed rows are the same bits. A missing minute ends the run: the warm-up starts again.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, day_of
from clash_pipeline.market import candles, minutes
from clash_pipeline.storage.sqlite import Connection, Database, one

if TYPE_CHECKING:
    import polars as pl

    from clash_pipeline.market.indicator_math import Matrix

WARM_UP_ROWS = 720
"""Minutes before a day from which its recursions start; shorter is measurably wrong (01 Rules)."""
DAY_ROWS = DAY_MS // MINUTE_MS
WARM_UP_MS = WARM_UP_ROWS * MINUTE_MS
SYMBOLS_A_CHUNK = 16
"""Symbols that a backfill writes in one transaction."""
COLUMNS_AT_ONCE = 512
"""Symbols times days that are worked on together: some 70 MiB."""
LINES = ("rsi14", "bb_upper", "bb_middle", "bb_lower", "sma20", "ema20", "macd", "macd_signal", "macd_hist")
"""The indicators in the order of the table's columns."""


class Indicators(NamedTuple):
    """The indicators of one closed minute; None until the warm-up of an indicator is complete."""

    symbol: str
    t: int
    rsi14: float | None
    bb_upper: float | None
    bb_middle: float | None
    bb_lower: float | None
    sma20: float | None
    ema20: float | None
    macd: float | None
    macd_signal: float | None
    macd_hist: float | None
    known_at: int


def refresh_day(
    connection: Connection,
    *,
    day_t: int,
    known_at: int,
    symbols: Collection[str] | None = None,
    through_t: int | None = None,
) -> int:
    """Write the indicators of a UTC day, up to the minute `through_t`; returns how many rows are new or different.

    A row that says the same is left alone and keeps its `known_at`.

    Raises:
        ValueError: `day_t` is not the start of a day.
    """
    if day_t % DAY_MS:
        raise ValueError(f"a day starts at a multiple of {DAY_MS} ms, not at {day_t}")
    to_t = day_t + DAY_MS if through_t is None else min(day_t + DAY_MS, through_t + MINUTE_MS)
    return refresh_range(connection, from_t=day_t, to_t=to_t, known_at=known_at, symbols=symbols)


def refresh_range(
    connection: Connection, *, from_t: int, to_t: int, known_at: int, symbols: Collection[str] | None = None
) -> int:
    """Write the indicators of the minutes `[from_t, to_t)`; returns how many rows are new or different.

    Where the day after has rows already, and the range holds minutes that warm it up, that day is written again too:
    days may be filled in any order.
    """
    wanted = candles.followed(connection) if symbols is None else sorted(symbols)
    written = _write(connection, wanted, from_t, to_t, known_at)
    next_day_t = day_of(to_t - 1) + DAY_MS
    if written and to_t > next_day_t - WARM_UP_MS:
        warmed = [symbol for symbol in wanted if one(connection, _HAS_ROWS, (symbol, next_day_t, next_day_t + DAY_MS))]
        written += _write(connection, warmed, next_day_t, next_day_t + DAY_MS, known_at)
    return written


def backfill(market: Database, *, from_t: int, to_t: int, known_at: int, symbols: Collection[str] | None = None) -> int:
    """Write the indicators of a long range, a transaction for every few symbols; returns how many rows changed."""
    written = 0
    for chunk in minutes.chunks(market, symbols, SYMBOLS_A_CHUNK):
        with market.write() as connection:
            written += refresh_range(connection, from_t=from_t, to_t=to_t, known_at=known_at, symbols=chunk)
    return written


def anchor_of(t: int) -> int:
    """Where the recursions start that give a minute its values."""
    return day_of(t) - WARM_UP_MS


def days_with(t: int) -> list[int]:
    """The days whose values depend on the candle of a minute: its own, and the next one if it warms that up."""
    day = day_of(t)
    return [day, day + DAY_MS] if t >= day + DAY_MS - WARM_UP_MS else [day]


def upsert(connection: Connection, rows: Iterable[tuple[object, ...]]) -> int:
    """Write rows of (symbol, t, the nine indicators, known_at); returns how many are new or different.

    A NaN is stored as NULL.
    """
    return max(connection.executemany(_UPSERT, rows).rowcount, 0)


def read(
    connection: Connection, symbol: str, *, interval: str, from_t: int, to_t: int, as_of: int | None = None
) -> list[Indicators]:
    """Indicators of one symbol, oldest first; with `as_of`, as they were known then and none that was known later.

    At `1h`, `t` is the start of the hour, and the values are those of its last closed minute.

    Raises:
        ValueError: an interval other than 1m and 1h.
    """
    return [Indicators._make(row) for row in _select(connection, [symbol], interval, from_t, to_t, as_of)]


def frame(
    connection: Connection,
    *,
    interval: str,
    from_t: int,
    to_t: int,
    symbols: Collection[str] | None = None,
    as_of: int | None = None,
) -> "pl.DataFrame":
    """The same for all (or some) symbols, as a frame with the fields of `Indicators`, by symbol and time."""
    import polars as pl

    wanted = candles.followed(connection) if symbols is None else sorted(symbols)
    rows = _select(connection, wanted, interval, from_t, to_t, as_of)
    kinds = (pl.String, pl.Int64, *repeat(pl.Float64, len(LINES)), pl.Int64)
    return pl.DataFrame(rows, schema=dict(zip(Indicators._fields, kinds, strict=True)), orient="row")


# rows out of matrices, and the questions as SQL


def _write(connection: Connection, symbols: Sequence[str], from_t: int, to_t: int, known_at: int) -> int:
    """The rows of a range, as many symbols at a time as make a matrix of calm size."""
    if from_t >= to_t:
        return 0
    days = range(day_of(from_t), to_t, DAY_MS)
    size = max(COLUMNS_AT_ONCE // len(days), 1)
    written = 0
    for start in range(0, len(symbols), size):
        piece = symbols[start : start + size]
        is_new = not any(one(connection, _HAS_ROWS, (symbol, from_t, to_t)) for symbol in piece)
        rows = _rows(connection, piece, days, from_t, to_t, known_at)
        written += max(connection.executemany(_INSERT, rows).rowcount, 0) if is_new else upsert(connection, rows)
    return written


def _rows(
    connection: Connection, symbols: Sequence[str], days: range, from_t: int, to_t: int, known_at: int
) -> Iterator[tuple[object, ...]]:
    """The rows of every minute of a range that has a candle, in the order of the key."""
    import numpy as np

    from clash_pipeline.market.indicator_math import indicators

    origin = anchor_of(from_t)
    windows = _by_day(minutes.closes(connection, symbols, origin, to_t), len(days))
    lines, _ = indicators(windows, first_row=WARM_UP_ROWS)
    by_column = [np.ascontiguousarray(line[WARM_UP_ROWS:].T) for line in lines]
    there = ~np.isnan(windows[WARM_UP_ROWS:].T)
    minute = MINUTE_MS * np.arange(there.shape[1])
    for column, (symbol, day_t) in enumerate((symbol, day_t) for symbol in symbols for day_t in days):
        times = day_t + minute
        kept = there[column] & (times >= from_t)
        values = (line[column][kept].tolist() for line in by_column)
        yield from zip(repeat(symbol), times[kept].tolist(), *values, repeat(known_at))


def _by_day(closes: "Matrix", days: int) -> "Matrix":
    """Each day with its warm-up beside the others: a column for each symbol and day, row 0 the anchor of the day."""
    import numpy as np

    if days == 1:
        return closes
    windows = np.full((WARM_UP_ROWS + DAY_ROWS, closes.shape[1], days), np.nan)
    for day in range(days):
        part = closes[day * DAY_ROWS : (day + 1) * DAY_ROWS + WARM_UP_ROWS]
        windows[: len(part), :, day] = part
    return windows.reshape(len(windows), -1)


def _select(
    connection: Connection, symbols: Sequence[str], interval: str, from_t: int, to_t: int, as_of: int | None
) -> list[tuple[object, ...]]:
    if interval not in candles.INTERVAL_MS:
        raise ValueError(f"interval must be 1m or 1h, not {interval[:20]!r}")
    query = _MINUTES if as_of is None else _MINUTES_AS_OF
    parameters = {
        "symbols": msgspec.json.encode(symbols).decode(), "from_t": from_t, "to_t": to_t, "as_of": as_of
    }  # fmt: skip
    if interval == "1h":  # the hours that start in the range, whole
        parameters |= {"from_t": -(-from_t // HOUR_MS) * HOUR_MS, "to_t": -(-to_t // HOUR_MS) * HOUR_MS}
    cursor = connection.cursor()
    cursor.row_factory = None
    rows = cursor.execute(query, parameters).fetchall()
    return rows if interval == "1m" else list(_last_of_hours(rows))


def _last_of_hours(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    last: dict[tuple[object, int], tuple[object, ...]] = {}
    for row in rows:
        hour = row[1] - row[1] % HOUR_MS  # type: ignore[operator]  # the second column is the time
        last[row[0], hour] = row
    return ((symbol, hour, *row[2:]) for (symbol, hour), row in last.items())


_HAS_ROWS = """
SELECT 1 FROM hyperliquid_technical_indicators WHERE symbol = ? AND t >= ? AND t < ? LIMIT 1
"""

# An upsert of rows that are new takes half as long again.
_INSERT = """
INSERT INTO hyperliquid_technical_indicators VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_UPSERT = """
INSERT INTO hyperliquid_technical_indicators
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (symbol, t) DO UPDATE SET
  rsi14 = excluded.rsi14, bb_upper = excluded.bb_upper, bb_middle = excluded.bb_middle, bb_lower = excluded.bb_lower,
  sma20 = excluded.sma20, ema20 = excluded.ema20, macd = excluded.macd, macd_signal = excluded.macd_signal,
  macd_hist = excluded.macd_hist, known_at = excluded.known_at
WHERE (rsi14, bb_upper, bb_middle, bb_lower, sma20, ema20, macd, macd_signal, macd_hist) IS NOT
  (excluded.rsi14, excluded.bb_upper, excluded.bb_middle, excluded.bb_lower, excluded.sma20, excluded.ema20,
   excluded.macd, excluded.macd_signal, excluded.macd_hist)
"""

# CROSS JOIN keeps the list of symbols outermost, so that each symbol is one range of the key.
_MINUTES = """
SELECT k.symbol, k.t, k.rsi14, k.bb_upper, k.bb_middle, k.bb_lower, k.sma20, k.ema20, k.macd, k.macd_signal,
       k.macd_hist, k.known_at
FROM json_each(:symbols) AS wanted CROSS JOIN hyperliquid_technical_indicators AS k
  ON k.symbol = wanted.value AND k.t >= :from_t AND k.t < :to_t
ORDER BY wanted.key, k.t
"""
_MINUTES_AS_OF = """
SELECT k.symbol, k.t, k.rsi14, k.bb_upper, k.bb_middle, k.bb_lower, k.sma20, k.ema20, k.macd, k.macd_signal,
       k.macd_hist, k.known_at
FROM json_each(:symbols) AS wanted CROSS JOIN hyperliquid_technical_indicators AS k
  ON k.symbol = wanted.value AND k.t >= :from_t AND k.t < :to_t
WHERE k.known_at <= :as_of
UNION ALL
SELECT k.symbol, k.t, k.rsi14, k.bb_upper, k.bb_middle, k.bb_lower, k.sma20, k.ema20, k.macd, k.macd_signal,
       k.macd_hist, k.known_at
FROM json_each(:symbols) AS wanted CROSS JOIN hyperliquid_technical_indicator_versions AS k
  ON k.symbol = wanted.value AND k.t >= :from_t AND k.t < :to_t
WHERE k.known_at <= :as_of AND k.superseded_at > :as_of
ORDER BY 1, 2
"""
