"""A line over time for a terminal, drawn with Braille dots: two dots a column, four a row."""

from collections.abc import Iterator, Sequence

from clash_pipeline.clock import iso

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a cell, by row and column."""
LABEL_WIDTH = 11

Point = tuple[int, float]
"""A time in epoch ms and a value."""


def chart(points: Sequence[Point], *, width: int = 64, height: int = 6) -> str:
    """The points as one line with its scale at the left and its times (UTC) below, 13 columns wider than `width`.

    A value holds until the next one. Fewer than two points are no line: the text is empty.
    """
    if len(points) < 2:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    levels = [_level(value, low, high, height * 4) for value in _held(points, width * 2)]
    rows = _cells(levels, height)
    labels = {height // 2: f"{low:,.2f}"} if low == high else {0: f"{high:,.2f}", height - 1: f"{low:,.2f}"}
    drawn = [f"{labels.get(number, ''):>{LABEL_WIDTH}} ┤{row}" for number, row in enumerate(rows)]
    first, last = (iso(t)[11:16] for t in (points[0][0], points[-1][0]))
    return "\n".join([*drawn, " " * (LABEL_WIDTH + 2) + first + last.rjust(width - len(first))])


def field_chart(lines: Sequence[tuple[str, Sequence[Point]]], *, width: int = 64, height: int = 12) -> str:
    """Several named lines on one scale and one time axis; each name stands at the height where its line ends.

    Lines of fewer than two points are left out; without any other the text is empty.
    """
    drawn = [(name, points) for name, points in lines if len(points) > 1]
    if not drawn:
        return ""
    first, last = min(points[0][0] for _, points in drawn), max(points[-1][0] for _, points in drawn)
    values = [value for _, points in drawn for _, value in points]
    low, high = min(values), max(values)
    rows, ends = [[BLANK] * width for _ in range(height)], [[] for _ in range(height)]  # type: ignore[var-annotated]
    for name, points in drawn:
        levels = [_level(value, low, high, height * 4) for value in _held(points, width * 2, (first, last))]
        for number, row in enumerate(_cells(levels, height)):
            rows[number] = [before | ord(cell) for before, cell in zip(rows[number], row, strict=True)]
        ends[height - 1 - levels[-1] // 4].append(name)
    labels = {height // 2: f"{low:,.2f}"} if low == high else {0: f"{high:,.2f}", height - 1: f"{low:,.2f}"}
    text = [
        f"{labels.get(number, ''):>{LABEL_WIDTH}} ┤{''.join(map(chr, row))} {', '.join(ends[number])}".rstrip()
        for number, row in enumerate(rows)
    ]
    return "\n".join([*text, " " * (LABEL_WIDTH + 2) + iso(first)[11:16] + iso(last)[11:16].rjust(width - 5)])


def _held(points: Sequence[Point], dots: int, between: tuple[int, int] | None = None) -> Iterator[float]:
    """The value at each of so many moments from the first point to the last, or between two other times."""
    first, last = between or (points[0][0], points[-1][0])
    start, span, index = first, last - first, 0
    for dot in range(dots):
        moment = start + span * dot // (dots - 1)
        while index + 1 < len(points) and points[index + 1][0] <= moment:
            index += 1
        yield points[index][1]


def _level(value: float, low: float, high: float, levels: int) -> int:
    """Which dot row from below; a line without any change runs through the middle."""
    if high == low:
        return levels // 2 - 1
    return round((value - low) / (high - low) * (levels - 1))


def _cells(levels: Sequence[int], height: int) -> list[str]:
    """Set the dots of each column from the level before it up or down to its own, so that the line has no hole."""
    cells = [[0] * (len(levels) // 2) for _ in range(height)]
    before = levels[0]
    for column, level in enumerate(levels):
        for dot in range(min(before, level), max(before, level) + 1):
            from_top = height * 4 - 1 - dot
            cells[from_top // 4][column // 2] |= DOTS[from_top % 4][column % 2]
        before = level
    return ["".join(chr(BLANK + cell) for cell in row) for row in cells]
