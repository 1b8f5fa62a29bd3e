"""Execute read plans against market memory at an `as_of`: one pass over SQLite for a whole branch, deterministic.

A row that became known after `as_of` is never seen; of a corrected row the version known then is read. What is missing,
late or stale is said with its age and with how many points there should be, never patched over (03).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market.read_plan import ReadEntry, ReadPlan
from clash_pipeline.market.reads import candles, funding, indicators, judging, macro, markets
from clash_pipeline.market.reads.windows import Key, Row, Rows, Value, earliest, newest_of_steps, since_of, step_of
from clash_pipeline.storage.sqlite import Connection

Read = Callable[[Connection, Mapping[Key, int], int], Mapping[Key, Any]]


class Section(msgspec.Struct, frozen=True):
    """What one read found: rows oldest first under their columns, the age of the newest, and what is wrong with it.

    `problem` is None, `missing` (no row in the window), `warming_up` (rows, but no value yet), `stale`, or `late` (not
    stale, yet a newer row should be here). `expected` is how many rows a window without a hole has.
    """

    entry: ReadEntry
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    newest_t: int | None
    age_ms: int | None
    problem: str | None
    expected: int = 0

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
    return retrieve_branches(connection, [plans], as_of)[0]


def retrieve_branches(
    connection: Connection, branches: Sequence[Sequence[ReadPlan]], as_of: int
) -> list[dict[str, Found]]:
    """Execute the plans of several branches at one `as_of`; what they have in common is read once."""
    memory = _Memory(connection, (entry for plans in branches for plan in plans for entry in plan.entries), as_of)
    return [
        {plan.symbol: Found(plan.symbol, as_of, tuple(map(memory.section, plan.entries))) for plan in plans}
        for plans in branches
    ]


class _Family(NamedTuple):
    """Entries that are read together: what tells their windows apart, and how those are read."""

    key: Callable[[ReadEntry], Key]
    read: Read


_INDICATORS = _Family(lambda entry: (entry.context_symbol, max(step_of(entry), MINUTE_MS)), indicators.read)
_FAMILIES: dict[str, _Family] = {
    "ohlcv": _Family(lambda entry: (entry.context_symbol, candles.interval_of(step_of(entry))), candles.read),
    **dict.fromkeys(indicators.CHANNELS, _INDICATORS),
    "funding": _Family(lambda entry: (entry.context_symbol, funding.step_of_samples(entry)), funding.read),
    "immediate": _Family(lambda entry: (entry.context_symbol,), markets.immediate),
    "later": _Family(lambda entry: (entry.context_symbol,), markets.later),
    "market": _Family(lambda entry: (entry.market,), markets.quotes),
    **{channel: _Family(lambda entry: (entry.scope, entry.subject), read) for channel, read in macro.READERS.items()},
}


class _Cut(NamedTuple):
    """A section without its entry, as entries of several assets share it."""

    columns: tuple[str, ...]
    rows: Rows
    newest_t: int | None
    age_ms: int | None
    problem: str | None
    expected: int


class _Memory:
    """The rows of all entries, fetched family by family, then cut to each entry."""

    def __init__(self, connection: Connection, entries: Iterable[ReadEntry], as_of: int) -> None:
        self._as_of = as_of
        self._cuts: dict[Key, _Cut] = {}
        wanted: dict[_Family, list[ReadEntry]] = {}
        for entry in entries:
            wanted.setdefault(_FAMILIES[entry.channel], []).append(entry)
        self._found = {
            family: family.read(connection, earliest(together, as_of, family.key), as_of)
            for family, together in wanted.items()
        }

    def section(self, entry: ReadEntry) -> Section:
        """The rows of one entry, newest `points` of its window."""
        name = (
            entry.channel, entry.context_symbol, entry.scope, entry.subject, entry.market, entry.lookback_sec,
            entry.granularity_sec, entry.points,
        )  # fmt: skip
        cut = self._cuts.get(name)
        if cut is None:
            cut = self._cuts[name] = self._cut(entry)
        return Section(entry, *cut)

    def _cut(self, entry: ReadEntry) -> _Cut:
        family = _FAMILIES[entry.channel]
        columns, rows, span_ms = _rows(entry, self._found[family].get(family.key(entry)), self._as_of)
        newest_t = rows[-1][0] if rows else None
        assert newest_t is None or isinstance(newest_t, int)
        age_ms = None if newest_t is None else self._as_of - newest_t - span_ms
        problem = judging.problem(entry, rows, age_ms)
        return _Cut(columns, rows, newest_t, age_ms, problem, judging.expected(entry, rows, self._as_of))


def _rows(entry: ReadEntry, found: Any, as_of: int) -> tuple[tuple[str, ...], Rows, int]:
    """Columns, rows and how long after its time a row ends."""
    channel, since, step = entry.channel, since_of(entry, as_of), step_of(entry)
    if channel == "ohlcv":
        span = max(step, candles.SPAN[candles.interval_of(step)])
        return candles.COLUMNS, candles.rows_of(found or candles.NONE, since, step, entry.points), span
    if channel in indicators.CHANNELS:
        names = ("t", *indicators.CHANNELS[channel])
        return names, indicators.rows_of(found, names, since, entry.points), MINUTE_MS
    inside: list[Row] = [row for row in found or () if row[0] >= since]
    if channel == "market":
        return markets.QUOTE_COLUMNS, tuple(markets.newest_of_each(inside, step, entry.points)), 0
    sampled = newest_of_steps(inside, step) if step else inside
    return _SAMPLED_COLUMNS[channel], tuple(sampled[-entry.points :]), 0


_SAMPLED_COLUMNS: dict[str, tuple[str, ...]] = {
    "funding": funding.COLUMNS,
    "immediate": markets.LINKED_COLUMNS,
    "later": markets.LINKED_COLUMNS,
    **macro.CHANNELS,
}
