"""Indicators as minutes close: the recursions of every symbol kept warm, one vectorised step for all of them.

The rows are the same bits as those of `indicators.refresh_day`: a step repeats its operations, and whatever is not a
plain next minute (a correction, a late minute, a run that has just begun, a new day) is worked out again by the same
code, from the closes in memory.
"""

from collections.abc import Collection, Iterable
from itertools import groupby, repeat
from operator import itemgetter
from typing import NamedTuple

import msgspec
import numpy as np

from clash_pipeline.clock import DAY_MS, MINUTE_MS, day_of
from clash_pipeline.market import candles, minutes
from clash_pipeline.market.bollinger import PERIOD
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.indicator_math import (
    SIGNAL_AGE,
    Averages,
    Index,
    Lines,
    Matrix,
    advance,
    indicators,
    last_candles,
)
from clash_pipeline.market.indicators import DAY_ROWS, WARM_UP_ROWS, anchor_of, days_with, refresh_day, upsert
from clash_pipeline.storage.sqlite import Connection

ROWS = WARM_UP_ROWS + DAY_ROWS


class LiveIndicators:
    """Warm state of all symbols in the running UTC day; loads itself from the stored candles when first asked.

    Belongs to one writer. Call `forget` after a transaction that was rolled back: it would be ahead of the file.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop the state; the next call loads it again, and writes whatever rows are missing."""
        self._day_t: int | None = None
        self._columns: dict[str, int] = {}
        self._names: list[str] = []
        self._hold(np.full((ROWS, 0), np.nan))

    def close_minute(self, connection: Connection, t: int, known_at: int) -> int:
        """Write the indicators of a minute of every symbol that has a candle of it; returns how many rows changed."""
        return self._follow(connection, [(symbol, t) for symbol in candles.followed(connection)], known_at)

    def apply(self, connection: Connection, closed: Iterable[Candle], known_at: int) -> int:
        """Write what follows from candles just stored by this connection; returns how many rows are new or different.

        They may be of any minutes, in any order: new ones, late ones and corrections alike. Their closes are taken from
        the table, so that a candle which `candles.store` refused does no harm. A correction changes rows to the end of
        its day, and those of the next day if it is among the minutes that warm that day up.
        """
        return self._follow(connection, [(candle.symbol, candle.t) for candle in closed], known_at)

    def _follow(self, connection: Connection, closed: list[tuple[str, int]], known_at: int) -> int:
        stored = connection.execute(_STORED, {"minutes": msgspec.json.encode(closed).decode()}).fetchall()
        if not stored:
            return 0
        try:
            written = self._turn_to(connection, day_of(stored[-1]["t"]), {row["symbol"] for row in stored}, known_at)
            late = _Late({}, set())
            for t, group in groupby(stored, key=itemgetter("t")):
                written += self._take(connection, t, {row["symbol"]: row["c"] for row in group}, late, known_at)
            written += self._work_out_again(connection, late.rows, known_at)
            return written + self._refresh_earlier_days(connection, late.minutes, known_at)
        except BaseException:
            self.forget()
            raise

    # the days and the symbols that are held

    def _turn_to(self, connection: Connection, day_t: int, symbols: Collection[str], known_at: int) -> int:
        """Hold the day of the newest candle; load it, or begin it with the second half of the day before."""
        if self._day_t is None or day_t > self._day_t + DAY_MS:
            return self._load(connection, day_t, known_at)
        if day_t == self._day_t + DAY_MS:
            self._day_t = day_t
            self._hold(np.concatenate([self._closes[DAY_ROWS:], np.full((DAY_ROWS, len(self._columns)), np.nan)]))
        if unknown := sorted(set(symbols) - self._columns.keys()):
            return self._add(connection, unknown, known_at)
        return 0

    def _load(self, connection: Connection, day_t: int, known_at: int) -> int:
        self.forget()
        self._day_t = day_t
        return self._add(connection, candles.followed(connection), known_at)

    def _add(self, connection: Connection, symbols: list[str], known_at: int) -> int:
        """Hold more symbols; rows that a crash, or a writer before us, left unwritten are written now."""
        assert self._day_t is not None
        anchor = anchor_of(self._day_t)
        self._columns |= {symbol: column for column, symbol in enumerate(symbols, len(self._columns))}
        self._names += symbols
        more = minutes.closes(connection, symbols, anchor, anchor + ROWS * MINUTE_MS)
        self._hold(np.concatenate([self._closes, more], axis=1))
        parameters = {"symbols": msgspec.json.encode(symbols).decode(), "from_t": self._day_t - DAY_MS}
        behind = [row[0] for row in connection.execute(_BEHIND, parameters)]
        days = (self._day_t - DAY_MS, self._day_t)
        return sum(refresh_day(connection, day_t=day, known_at=known_at, symbols=behind) for day in days)

    def _hold(self, closes: Matrix) -> None:
        """Take over a matrix of closes, with the recursions after each column's last one."""
        self._closes = closes
        self._last = np.full(closes.shape[1], -1)
        self._start = np.full(closes.shape[1], -1)
        self._averages = Averages.unknown(closes.shape[1])
        if closes.shape[1]:
            self._warm(np.arange(closes.shape[1]), 0, int(last_candles(closes).max()) + 1)

    def _row(self, t: int) -> int:
        assert self._day_t is not None
        return (t - anchor_of(self._day_t)) // MINUTE_MS

    # one minute

    def _take(self, connection: Connection, t: int, closes: dict[str, str], late: "_Late", known_at: int) -> int:
        """Take the closes of one minute: step on where it is the next one, note the rest as late."""
        row = self._row(t)
        if row < 0:
            late.minutes.update((symbol, t) for symbol in closes)
            return 0
        columns = np.array([self._columns[symbol] for symbol in closes])
        new = np.array([float(close) for close in closes.values()])
        differs = self._closes[row, columns] != new
        is_next = differs & (self._last[columns] < row) & ~np.isin(columns, list(late.rows))
        if row < WARM_UP_ROWS:
            is_next[:] = False
            late.minutes.update((self._names[column], t) for column in columns[differs].tolist())
        for column in columns[differs & ~is_next].tolist():
            late.rows.setdefault(column, row)
        self._closes[row, columns] = new
        columns = columns[is_next]
        self._start[columns] = np.where(self._last[columns] == row - 1, self._start[columns], row)
        self._last[columns] = row
        is_mature = (row - self._start[columns]) > SIGNAL_AGE
        written = 0
        for part, next_row in ((columns[is_mature], self._step), (columns[~is_mature], self._begin)):
            if part.size:
                written += self._write(connection, part, row, next_row(part, row), known_at)
        return written

    def _step(self, columns: Index, row: int) -> Lines:
        """One more row of symbols whose recursions are all under way."""
        before = Averages(self._averages.levels[:, columns], self._averages.signal[columns])
        lines, after = advance(self._closes[row + 1 - PERIOD : row + 1, columns], row, before)
        self._averages.levels[:, columns], self._averages.signal[columns] = after
        return lines

    def _begin(self, columns: Index, row: int) -> Lines:
        """One more row of symbols that are still warming up: the few rows of their run, once more."""
        start = int(self._start[columns].min(initial=row))
        lines = self._warm(columns, start - start % PERIOD, row + 1)
        return Lines(*(line[-1] for line in lines))

    def _warm(self, columns: Index, start: int, stop: int, first_row: int = 0) -> Lines:
        """The lines of some rows, and with them the recursions after each column's last candle."""
        closes = self._closes[start:stop, columns]
        last = last_candles(closes)
        lines, after = indicators(closes, first_row, last)
        self._averages.levels[:, columns], self._averages.signal[columns] = after
        self._last[columns] = last + start
        self._start[columns] = _run_starts(closes, last) + start
        return lines

    # what is not a plain next minute

    def _work_out_again(self, connection: Connection, late: dict[int, int], known_at: int) -> int:
        """Rows of the running day from the corrected minute on, of the symbols that had one."""
        if not late:
            return 0
        columns = np.array(sorted(late))
        stop = int(last_candles(self._closes[:, columns]).max()) + 1
        lines = self._warm(columns, 0, stop, WARM_UP_ROWS)
        written = 0
        for place, column in enumerate(columns.tolist()):
            first = max(late[column], WARM_UP_ROWS)
            rows = np.arange(first, stop)
            rows = rows[~np.isnan(self._closes[first:stop, column])]
            written += self._upsert(connection, repeat(column), rows, Lines(*(x[rows, place] for x in lines)), known_at)
        return written

    def _refresh_earlier_days(self, connection: Connection, late: set[tuple[str, int]], known_at: int) -> int:
        """Days that are no longer held, from the stored candles."""
        wanted: dict[int, set[str]] = {}
        for symbol, t in late:
            for day_t in days_with(t):
                if day_t != self._day_t:
                    wanted.setdefault(day_t, set()).add(symbol)
        return sum(
            refresh_day(connection, day_t=day_t, known_at=known_at, symbols=symbols)
            for day_t, symbols in sorted(wanted.items())
        )

    def _write(self, connection: Connection, columns: Index, row: int, lines: Lines, known_at: int) -> int:
        return self._upsert(connection, columns.tolist(), np.full(len(columns), row), lines, known_at)

    def _upsert(
        self, connection: Connection, columns: Iterable[int], rows: Index, lines: Lines, known_at: int
    ) -> int:  # fmt: skip
        times = (anchor_of(self._day_t or 0) + rows * MINUTE_MS).tolist()
        symbols = (self._names[column] for column in columns)
        values = (line.tolist() for line in lines)
        return upsert(connection, zip(symbols, times, *values, repeat(known_at)))


class _Late(NamedTuple):
    """What is not a plain next minute: the first such row of each held column, and minutes of days before."""

    rows: dict[int, int]
    minutes: set[tuple[str, int]]


def _run_starts(closes: Matrix, last: Index) -> Index:
    """The first row of the unbroken run that ends at row `last` of each column."""
    rows = np.arange(len(closes))[:, None]
    holes = np.where(np.isnan(closes) & (rows < last), rows, -1)
    return np.asarray(holes.max(axis=0, initial=-1) + 1)


_STORED = """
SELECT k.symbol, k.t, k.c
FROM json_each(:minutes) AS wanted CROSS JOIN hyperliquid_candles AS k
  ON k.symbol = wanted.value ->> 0 AND k.interval = '1m' AND k.t = wanted.value ->> 1
ORDER BY k.t
"""

# Symbols with a candle whose indicators are missing, or were worked out before the candle was known.
_BEHIND = """
SELECT wanted.value FROM json_each(:symbols) AS wanted
WHERE EXISTS (
  SELECT 1 FROM hyperliquid_candles AS k
  LEFT JOIN hyperliquid_technical_indicators AS i ON i.symbol = k.symbol AND i.t = k.t
  WHERE k.symbol = wanted.value AND k.interval = '1m' AND k.t >= :from_t AND (i.t IS NULL OR i.known_at < k.known_at)
)
"""
