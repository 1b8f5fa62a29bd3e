"""What one read found, as a packet shows it: compact rows under their columns, texts by id, ages and what was wrong.

Rows count time in whole minutes before the newest row, and computed floats keep seven significant digits of their
column's largest value: what a reader can use, at a third of the tokens. Prices stay the venue's own decimal text.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from types import NoneType
from typing import Any

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions.texts import Texts
from clash_pipeline.market import retrieval

Cell = str | int | float | None | tuple[str | None, ...]
SIGNIFICANT_DIGITS = 7
MOST_DECIMALS = 18
TEXT_COLUMNS = frozenset({"question", "title", "description"})
TEXT_LISTS = frozenset({"outcomes"})
NUMBER_LISTS = frozenset({"prices"})
REFERENCES = TEXT_COLUMNS | TEXT_LISTS
"""Columns whose cells are ids of the `untrusted` list."""


class Section(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """One read: rows oldest first; `found` is how many there were before any thinning, `expected` without a hole.

    `of` is whose memory was read, `subject` and `market` are ids of untrusted texts (but for the global subject).
    `problem` is None, `missing`, `warming_up`, `late` or `stale`; `left_out` says why rows are not shown.
    """

    source: str
    channel: str
    of: str
    granularity_sec: int
    lookback_sec: int
    inclusion: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    found: int
    expected: int
    newest_t: int | None
    age_ms: int | None
    scope: str = ""
    subject: str | None = None
    market: str | None = None
    problem: str | None = None
    left_out: str | None = None

    def column(self, name: str) -> list[Any]:
        """The values of a column, oldest first."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    @cached_property
    def body(self) -> bytes:
        """Its canonical JSON, encoded once: packet, prompt and estimate use these same bytes."""
        return canonical.encode(self)

    @property
    def references(self) -> set[str]:
        """The ids of the texts that its rows and its heading refer to."""
        found = {self.subject, self.market}
        for place, name in enumerate(self.columns):
            if name in TEXT_COLUMNS:
                found |= {row[place] for row in self.rows}  # type: ignore[misc]
            elif name in TEXT_LISTS:
                found |= {cell for row in self.rows for cell in row[place] or ()}  # type: ignore[union-attr]
        return {cell for cell in found if cell is not None}


class Memo:
    """Reads without texts that were shown before: packets of one group that read the same rows share them, encoded."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[object, Section]] = {}
        self.once: dict[int, tuple[object, Any]] = {}
        """What else packets of one branch share, by the identity of what it is made from."""

    def shown(self, section: retrieval.Section, texts: Texts) -> Section:
        """A read as the packet shows it, made once for the same rows."""
        entry = section.entry
        if entry.market or entry.source == "polymarket" or entry.scope not in ("", "global"):
            return shown(section, texts)
        key = (
            id(section.rows), entry.source, entry.channel, entry.context_symbol, entry.granularity_sec,
            entry.lookback_sec, entry.inclusion, entry.scope, entry.subject,
        )  # fmt: skip
        if key not in self._kept:
            self._kept[key] = (section.rows, shown(section, texts))  # the rows stay, so that no other has their id
        return self._kept[key][1]


def shown(section: retrieval.Section, texts: Texts) -> Section:
    """A read as the packet shows it; its texts go into the collection."""
    entry = section.entry
    is_global = entry.scope == "global"
    subject = entry.subject if is_global else texts.refer(f"{entry.source}.subject", entry.subject)
    return Section(
        source=entry.source,
        channel=entry.channel,
        of=entry.context_symbol,
        granularity_sec=entry.granularity_sec,
        lookback_sec=entry.lookback_sec,
        inclusion=entry.inclusion,
        columns=("ago_min", *section.columns[1:]),
        rows=_rows(section, texts),
        found=len(section.rows),
        expected=section.expected,
        newest_t=section.newest_t,
        age_ms=section.age_ms,
        scope=entry.scope,
        subject=subject or None,
        market=texts.refer(f"{entry.source}.slug", entry.market),
        problem=section.problem,
    )


def _rows(section: retrieval.Section, texts: Texts) -> tuple[tuple[Cell, ...], ...]:
    if not section.rows:
        return ()
    times, *columns = zip(*section.rows, strict=True)
    newest = section.newest_t or 0
    ago = [(newest - t) // MINUTE_MS for t in times]
    names = section.columns[1:]
    if all(set(map(type, column)) <= {float, NoneType} for column in columns):
        made: Iterable[Iterable[Cell]] = rounded(columns)
    else:
        made = [_cells(section, name, column, texts) for name, column in zip(names, columns, strict=True)]
    return tuple(zip(ago, *made, strict=True))


def _cells(section: retrieval.Section, name: str, column: Sequence[Any], texts: Texts) -> Iterable[Cell]:
    source = f"{section.entry.source}.{name.removesuffix('s')}"
    if name in TEXT_COLUMNS:
        return [texts.refer(source, cell) for cell in column]
    if name in TEXT_LISTS:
        lists = {cell: tuple(texts.refer(source, item) for item in _listed(cell)) for cell in dict.fromkeys(column)}
        return [lists[cell] for cell in column]
    if name in NUMBER_LISTS:
        return [tuple(_listed(cell)) for cell in column]
    return rounded([column])[0] if float in set(map(type, column)) else column


def rounded(columns: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Columns of floats to seven significant digits of the largest of each; what is not finite is unknown.

    Scaled and rounded to the nearest even integer, so that every machine gives the same digits.
    """
    import numpy

    values = numpy.array(columns, dtype=float)
    known = numpy.isfinite(values)
    tops = numpy.abs(numpy.where(known, values, 0.0)).max(axis=1).tolist()
    scales = numpy.array([[10.0 ** _decimals(top)] for top in tops])
    short: list[list[Any]] = (numpy.rint(values * scales) / scales + 0.0).tolist()  # and no negative zero
    if known.all():
        return short
    return [
        [cell if is_known else None for cell, is_known in zip(column, finite, strict=True)]
        for column, finite in zip(short, known.tolist(), strict=True)
    ]


def _decimals(top: float) -> int:
    exponent = int(f"{top:e}".partition("e")[2])
    return min(max(SIGNIFICANT_DIGITS - 1 - exponent, 0), MOST_DECIMALS)


def _listed(cell: Any) -> list[Any]:
    """The items of a stored JSON list; nothing where there is none."""
    items = json.loads(cell) if isinstance(cell, str) else cell
    return list(items) if isinstance(items, list | tuple) else []
