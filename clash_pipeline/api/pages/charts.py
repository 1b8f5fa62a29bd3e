"""Charts as data: what a script draws, and the same figures as a table for everybody whom a picture does not serve."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from clash_pipeline.clock import SECOND_MS

Unit = Literal["usd", "price", "ms", "percent", "count"]
Point = tuple[int, float]
TABLE_ROWS = 120
"""A table of a chart has its newest rows; whoever needs all of them asks the API."""


class Line(NamedTuple):
    """One named line of `(t in ms, value)`, oldest first, each time once.

    Points further apart than `gap_ms` are not joined: nobody knows what was between them.
    """

    name: str
    points: Sequence[Point]
    gap_ms: int | None = None


class Bar(NamedTuple):
    """One candle; `t` in ms."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741  # as candles have it everywhere
    c: float


class Mark(NamedTuple):
    """Something that happened at a time on a candle chart."""

    t: int
    side: Literal["buy", "sell"]
    text: str


class Chart(NamedTuple):
    """One chart. `id` is unique on its page; `says` is its message in a sentence, in place of the picture."""

    id: str
    title: str
    says: str
    unit: Unit
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    marks: Sequence[Mark] = ()
    filled: bool = False
    baseline: float | None = None
    logarithmic: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.bars and not any(line.points for line in self.lines)

    @property
    def drawing(self) -> dict[str, Any]:
        """What the script draws; times in seconds."""
        return {
            "unit": self.unit,
            "filled": self.filled,
            "baseline": self.baseline,
            "logarithmic": self.logarithmic,
            "lines": [
                {
                    "name": line.name,
                    "points": [[t // SECOND_MS, value] for t, value in line.points],
                    "gap": None if line.gap_ms is None else line.gap_ms // SECOND_MS,
                }
                for line in self.lines
            ],
            "bars": [[bar.t // SECOND_MS, *bar[1:]] for bar in self.bars],
            "marks": [[mark.t // SECOND_MS, mark.side, mark.text] for mark in self.marks],
        }

    @property
    def columns(self) -> list[str]:
        """The columns of its table, after the time."""
        return ["Open", "High", "Low", "Close", "Trades"] if self.bars else [line.name for line in self.lines]

    @property
    def rows(self) -> list[tuple[int, list[float | str | None]]]:
        """The newest rows of its table, newest first; None where a line has no point."""
        return self._bar_rows() if self.bars else self._line_rows()

    def _line_rows(self) -> list[tuple[int, list[float | str | None]]]:
        values = [dict(line.points) for line in self.lines]
        times = sorted({t for known in values for t in known}, reverse=True)[:TABLE_ROWS]
        return [(t, [known.get(t) for known in values]) for t in times]

    def _bar_rows(self) -> list[tuple[int, list[float | str | None]]]:
        traded: dict[int, list[str]] = {}
        for mark in self.marks:
            traded.setdefault(mark.t, []).append(mark.text)
        newest = list(reversed(self.bars))[:TABLE_ROWS]
        return [(bar.t, [*bar[1:], "; ".join(traded.get(bar.t, [])) or None]) for bar in newest]
