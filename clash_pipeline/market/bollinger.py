"""Bollinger bands: mean and two population deviations of the last twenty closes, of many columns at once.

Rows are taken in groups of twenty. Twenty rows that end j rows into a group are a prefix of this group and a suffix of
the one before, so that two running sums a group give every window. They run over the distance to the group's first
close, which is always one of the twenty: nothing is lost to large numbers, a flat window has exactly no width, and no
error is carried from one window to the next.
"""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

PERIOD = 20
DEVIATIONS = 2


def bands(closes: Matrix, start: int, stop: int, upper: Matrix, middle: Matrix, lower: Matrix) -> None:
    """Write the bands of the rows `start` to `stop`; NaN where one of the twenty closes is missing.

    `start` is a multiple of twenty. All groups are worked on at once, one row of each at a time.
    """
    grouped = _by_group(_whole_groups(closes, start, stop))
    origin = grouped[0, 1:]
    total, squares = _moments(grouped[:, 1:], origin)
    total_before, squares_before = _moments(grouped[1:, :-1], origin)
    for j in range(1, PERIOD):
        np.add(total[j], total[j - 1], out=total[j])
        np.add(squares[j], squares[j - 1], out=squares[j])
    for j in range(PERIOD - 3, -1, -1):
        np.add(total_before[j], total_before[j + 1], out=total_before[j])
        np.add(squares_before[j], squares_before[j + 1], out=squares_before[j])
    total[:-1] += total_before
    squares[:-1] += squares_before
    if (stop - start) % PERIOD:
        mean, width = _mean_and_width(total, squares, origin, np.empty(total.shape))
        mean, width = _by_row(mean)[: stop - start], _by_row(width)[: stop - start]
        middle[:] = mean
    else:
        upper, lower = _by_group(upper), _by_group(lower)
        mean, width = _mean_and_width(total, squares, origin, _by_group(middle))
    np.add(mean, width, out=upper)
    np.subtract(mean, width, out=lower)


def last_band(window: Matrix, row: int) -> tuple[Matrix, Matrix]:
    """Middle and width of one row, from its twenty closes: the same sums in the same order as `bands`."""
    first = PERIOD - 1 - row % PERIOD
    origin = window[first]
    moments = np.stack(_moments(window, origin), axis=1)
    sums = moments[first]
    for each in moments[first + 1 :]:
        sums = sums + each
    if first:
        before = moments[first - 1]
        for each in moments[: first - 1][::-1]:
            before = before + each
        sums = sums + before
    total, squares = sums.copy()
    return _mean_and_width(total, squares, origin, np.empty_like(total))


def _moments(closes: Matrix, origin: Matrix) -> tuple[Matrix, Matrix]:
    distance = np.empty(closes.shape)
    np.subtract(closes, origin, out=distance)
    return distance, distance * distance


def _mean_and_width(total: Matrix, squares: Matrix, origin: Matrix, mean: Matrix) -> tuple[Matrix, Matrix]:
    """From the sums of distances to `origin` and of their squares, which are used up; the mean is put into `mean`.

    No difference of the two can turn negative: the origin is one of the twenty, so the squared deviations are at least
    a fortieth of the squared distances.
    """
    distance = total * (1 / PERIOD)
    np.add(distance, origin, out=mean)
    total *= distance
    squares -= total
    squares *= DEVIATIONS**2 / PERIOD
    np.sqrt(squares, out=squares)
    return mean, squares


def _whole_groups(closes: Matrix, start: int, stop: int) -> Matrix:
    """The rows of the groups from the one before `start` on, made whole by unknown rows at the ends."""
    if start and not (stop - start) % PERIOD:
        return closes[start - PERIOD : stop]
    groups = -(-(stop - start) // PERIOD) + 1
    whole = np.full((groups * PERIOD, closes.shape[1]), np.nan)
    there = closes[max(start - PERIOD, 0) : stop]
    first = 0 if start else PERIOD
    whole[first : first + len(there)] = there
    return whole


def _by_group(rows: Matrix) -> Matrix:
    """Whole groups seen as (20, groups, columns)."""
    return rows.reshape(-1, PERIOD, rows.shape[1]).swapaxes(0, 1)


def _by_row(groups: Matrix) -> Matrix:
    """The inverse of `_by_group`."""
    return groups.swapaxes(0, 1).reshape(-1, groups.shape[2])
