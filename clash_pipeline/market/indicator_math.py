"""RSI, Bollinger bands, averages and MACD of many symbols at once, in numpy.

Matrices are time-major: a row is a minute, counted from the anchor of the day, a column a symbol; NaN is a minute
without a candle, and ends a *run*. What looks back is a recursion carried from row to row within a run, or a sum over
the last twenty rows taken in a fixed order. Every element meets the same sequence of IEEE operations whether its row
comes alone (`advance`) or among thousands (`indicators`), so equal closes give equal bits (01 Rules).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clash_pipeline.market.bollinger import PERIOD as BAND_PERIOD
from clash_pipeline.market.bollinger import bands, last_band

Matrix = NDArray[np.float64]
Index = NDArray[np.intp]

RSI_PERIOD = 14
EMA_PERIOD = 20
MACD_FAST, MACD_SLOW, MACD_SIGNAL = 12, 26, 9
NO_MOVEMENT = 1e-14
"""TA-Lib's zero: average gain and loss that together stay below it are no movement at all, and the RSI is 0."""
BLOCK_CELLS = 150_000
"""Cells worked on at a time, so that a block and what is made of it stay in the processor's cache."""

GAIN, LOSS, EMA, FAST, SLOW = range(5)
WEIGHTS = np.array([1 / RSI_PERIOD, 1 / RSI_PERIOD, 2 / (EMA_PERIOD + 1), 2 / (MACD_FAST + 1), 2 / (MACD_SLOW + 1)])
"""What a new row counts in each recursion: `level += (new - level) * weight`, rounded as TA-Lib rounds its averages."""
SIGNAL_WEIGHT = 2 / (MACD_SIGNAL + 1)

SEED_AGE = (RSI_PERIOD, RSI_PERIOD, EMA_PERIOD - 1, MACD_SLOW - 1, MACD_SLOW - 1)
"""Rows after the start of a run where each recursion gets its first value; TA-Lib starts both of the MACD together."""
SEED_ROWS = (RSI_PERIOD + 1, RSI_PERIOD + 1, EMA_PERIOD, MACD_FAST, MACD_SLOW)
"""Closes that each first value is made of."""
MACD_AGE = MACD_SLOW - 1
SIGNAL_AGE = MACD_AGE + MACD_SIGNAL - 1
"""The signal line starts here (33); MACD and histogram are given from here on too, as TA-Lib does."""


class Lines(NamedTuple):
    """One matrix for each indicator; NaN where its warm-up is not complete."""

    rsi14: Matrix
    bb_upper: Matrix
    bb_middle: Matrix
    bb_lower: Matrix
    sma20: Matrix
    ema20: Matrix
    macd: Matrix
    macd_signal: Matrix
    macd_hist: Matrix

    @classmethod
    def empty(cls, rows: int, columns: int) -> "Lines":
        """Room for results. The middle band is the SMA: they share one matrix."""
        rsi, upper, middle, lower, ema, macd, signal, hist = (np.empty((rows, columns)) for _ in range(8))
        return cls(rsi, upper, middle, lower, middle, ema, macd, signal, hist)

    def rows(self, start: int, stop: int) -> "Lines":
        """A view of some rows."""
        return Lines(*(line[start:stop] for line in self))


class Averages(NamedTuple):
    """The recursions of each column after its last candle: `levels` (5, columns) and the `signal` line (columns,)."""

    levels: Matrix
    signal: Matrix

    @classmethod
    def unknown(cls, columns: int) -> "Averages":
        """Before any candle."""
        return cls(np.full((len(WEIGHTS), columns), np.nan), np.full(columns, np.nan))


class Runs(NamedTuple):
    """Unbroken runs of minutes, ordered by row: the row each starts at, and its column."""

    start: Index
    column: Index

    @classmethod
    def of(cls, closes: Matrix) -> "Runs":
        """All runs of a matrix."""
        missing = np.isnan(closes)
        if not missing.any():
            return cls(np.zeros(closes.shape[1], np.intp), np.arange(closes.shape[1]))
        begins = ~missing
        begins[1:] &= missing[:-1]
        return cls(*np.nonzero(begins))

    def reaching(self, age: int, rows: int) -> "Runs":
        """The runs whose row `age` lies within the matrix."""
        inside = self.start + age < rows
        return Runs(self.start[inside], self.column[inside])

    def last_rows(self, matrix: Matrix, age: int, count: int) -> Matrix:
        """The `count` rows of each run that end at its row `age`: (count, runs)."""
        rows: Matrix = matrix[self.start + np.arange(age + 1 - count, age + 1)[:, None], self.column]
        return rows


class _Seeds(NamedTuple):
    """First values of recursions, ordered by row: `place` counts through a flattened row."""

    row: Index
    place: Index
    value: Matrix

    def between(self, start: int, stop: int) -> "_Seeds":
        """Those of some rows, counted from `start`."""
        first, last = np.searchsorted(self.row, (start, stop))
        return _Seeds(self.row[first:last] - start, self.place[first:last], self.value[first:last])


def indicators(closes: Matrix, first_row: int = 0, last: Index | None = None) -> tuple[Lines, Averages]:
    """All indicators of a matrix whose row 0 is the anchor, and the recursions after row `last` of each column.

    RSI and bands of the rows before `first_row` are not worked out; they are NaN. Without `last` the recursions are
    unknown.
    """
    rows, columns = closes.shape
    lines, averages = Lines.empty(rows, columns), Averages.unknown(columns)
    runs = Runs.of(closes)
    with np.errstate(invalid="ignore", divide="ignore"):
        _averages(closes, first_row, runs, lines, averages, last)
        first_group = first_row - first_row % BAND_PERIOD
        for line in lines[1:4]:
            line[:first_group] = np.nan
        for start, stop in _blocks(first_group, rows, columns):
            part = lines.rows(start, stop)
            bands(closes, start, stop, part.bb_upper, part.bb_middle, part.bb_lower)
    return lines, averages


def advance(window: Matrix, row: int, averages: Averages) -> tuple[Lines, Averages]:
    """One more row of columns that have all of their warm-up: its indicators, and the recursions after it.

    `window` holds the last twenty closes, that of `row` included; the results have a value for each column.
    """
    levels = _inputs(window[-2:], np.empty((1, len(WEIGHTS), window.shape[1])))[0]
    _follow(levels[None], levels[None], averages.levels, WEIGHTS[:, None])
    macd = levels[FAST] - levels[SLOW]
    signal = np.empty_like(macd)
    _follow(macd[None], signal[None], averages.signal, np.full_like(signal, SIGNAL_WEIGHT))
    strength = np.empty_like(macd)
    with np.errstate(invalid="ignore", divide="ignore"):
        _rsi(levels[GAIN], levels[LOSS], strength)
    middle, width = last_band(window, row)
    lines = Lines(
        strength, middle + width, middle, middle - width, middle, levels[EMA], macd, signal, macd - signal
    )  # fmt: skip
    return lines, Averages(levels, signal)


def last_candles(closes: Matrix) -> Index:
    """The last row of each column that holds a close; -1 where there is none."""
    there = ~np.isnan(closes)
    rows = len(closes) - 1 - np.argmax(there[::-1], axis=0)
    return np.where(there.any(axis=0), rows, -1)


def _first_level(level: int, closes: Matrix) -> Matrix:
    """The first value of a recursion, from the closes that it is the simple average of."""
    if level >= EMA:
        return _average(closes)
    return _average(_inputs(closes, np.empty((len(closes) - 1, len(WEIGHTS), closes.shape[1])))[:, level])


def _rsi(gain: Matrix, loss: Matrix, out: Matrix) -> None:
    """Wilder's RSI from the average gains and losses; 0 without any movement, as TA-Lib has it."""
    total = gain + loss
    np.divide(gain, total, out=out)
    np.multiply(out, 100.0, out=out)
    if not total.min() >= NO_MOVEMENT:
        out[total < NO_MOVEMENT] = 0.0


def _average(rows: Matrix) -> Matrix:
    """The mean of the rows, added one by one: `sum(axis=0)` has another order for one column than for two."""
    total: Matrix = rows[0].copy()
    for row in rows[1:]:
        total += row
    total /= len(rows)
    return total


def _blocks(start: int, stop: int, cells_a_row: int) -> Iterator[tuple[int, int]]:
    """Ranges of whole groups of twenty rows, of about `BLOCK_CELLS`; the last may be ragged."""
    step = max(BLOCK_CELLS // max(cells_a_row, 1) // BAND_PERIOD, 1) * BAND_PERIOD
    for first in range(start, stop, step):
        yield first, min(first + step, stop)


def _averages(closes: Matrix, first_row: int, runs: Runs, lines: Lines, averages: Averages, last: Index | None) -> None:
    """Follow the recursions through all rows: RSI, EMA and MACD."""
    rows, columns = closes.shape
    seeds, signal_runs = _level_seeds(closes, runs), runs.reaching(SIGNAL_AGE, rows)
    before, signal = averages.levels.ravel(), averages.signal
    weights, signal_weights = np.repeat(WEIGHTS, columns), np.full(columns, SIGNAL_WEIGHT)
    blocks = list(_blocks(0, rows, columns * len(WEIGHTS)))
    room = np.empty((max(stop - start for start, stop in blocks), len(WEIGHTS), columns))
    for start, stop in blocks:
        levels, part = _inputs(closes[max(start - 1, 0) : stop], room, start == 0), lines.rows(start, stop)
        flat = levels.reshape(stop - start, -1)
        _follow_runs(flat, flat, before, weights, seeds.between(start, stop))
        np.subtract(levels[:, FAST], levels[:, SLOW], out=part.macd)
        starts = _signal_seeds(lines.macd, signal_runs, start, stop)
        _follow_runs(part.macd, part.macd_signal, signal, signal_weights, starts)
        np.subtract(part.macd, part.macd_signal, out=part.macd_hist)
        part.ema20[:] = levels[:, EMA]
        if stop > first_row:
            _rsi(levels[:, GAIN], levels[:, LOSS], part.rsi14)
        else:
            part.rsi14[:] = np.nan
        if last is not None:
            here = np.flatnonzero((last >= start) & (last < stop))
            averages.levels[:, here] = levels[last[here] - start, :, here].T
            averages.signal[here] = lines.macd_signal[last[here], here]
        before, signal = flat[-1].copy(), part.macd_signal[-1]
    _hide_early_macd(lines, runs)


def _level_seeds(closes: Matrix, runs: Runs) -> _Seeds:
    rows, columns = closes.shape
    parts = []
    for level, (age, count) in enumerate(zip(SEED_AGE, SEED_ROWS, strict=True)):
        reaching = runs.reaching(age, rows)
        value = _first_level(level, reaching.last_rows(closes, age, count))
        parts.append((reaching.start + age, reaching.column + level * columns, value))
    row, place, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(row, kind="stable")
    return _Seeds(row[order], place[order], value[order])


def _signal_seeds(macd: Matrix, runs: Runs, start: int, stop: int) -> _Seeds:
    first, last = np.searchsorted(runs.start, (start - SIGNAL_AGE, stop - SIGNAL_AGE))
    here = Runs(runs.start[first:last], runs.column[first:last])
    value = _average(here.last_rows(macd, SIGNAL_AGE, MACD_SIGNAL)) if first < last else np.empty(0)
    return _Seeds(here.start + SIGNAL_AGE - start, here.column, value)


def _inputs(closes: Matrix, out: Matrix, from_anchor: bool = False) -> Matrix:
    """What the five recursions take in with each row after the first: (rows, 5, columns), at the start of `out`.

    The anchor itself has no row before it, and its change is unknown.
    """
    new = closes if from_anchor else closes[1:]
    inputs = out[: len(new)]
    gain, loss = inputs[:, GAIN], inputs[:, LOSS]
    np.subtract(closes[1:], closes[:-1], out=loss[from_anchor:])
    loss[: int(from_anchor)] = np.nan
    np.maximum(loss, 0.0, out=gain)
    np.subtract(gain, loss, out=loss)
    inputs[:, EMA:] = new[:, None]
    return inputs


def _follow_runs(rows: Matrix, out: Matrix, before: Matrix, weights: Matrix, seeds: _Seeds) -> None:
    """Follow recursions through some rows; where one starts, put its first value instead."""
    done = 0
    for row in np.unique(seeds.row).tolist() if seeds.row.size else ():
        _follow(rows[done : row + 1], out[done : row + 1], before, weights)
        here = seeds.between(row, row + 1)
        out[row, here.place] = here.value
        before, done = out[row], row + 1
    _follow(rows[done:], out[done:], before, weights)


def _follow(rows: Matrix, out: Matrix, before: Matrix, weights: Matrix) -> None:
    """The only loop over minutes: three calls a row, which is why nothing is looked up and no result allocated."""
    subtract, multiply, add = np.subtract, np.multiply, np.add
    step = np.empty_like(before)
    for row, after in zip(rows, out, strict=True):
        subtract(row, before, step)
        multiply(step, weights, step)
        add(step, before, after)
        before = after


def _hide_early_macd(lines: Lines, runs: Runs) -> None:
    """Eight rows of the MACD are there only to start the signal line."""
    for age in range(MACD_AGE, SIGNAL_AGE):
        early = runs.reaching(age, len(lines.macd))
        lines.macd[early.start + age, early.column] = np.nan
