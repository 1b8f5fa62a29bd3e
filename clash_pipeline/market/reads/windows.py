"""What reads have in common: the windows of entries, how they go into a statement, and plain tuples out of it."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.market.read_plan import ReadEntry
from clash_pipeline.storage.sqlite import Connection

Value = str | int | float | None
Row = tuple[Value, ...]
Rows = tuple[Row, ...]
Key = tuple[Any, ...]


def step_of(entry: ReadEntry) -> int:
    """The time between two points of an entry; 0 where rows are read as they were sampled."""
    return entry.granularity_sec * SECOND_MS


def since_of(entry: ReadEntry, as_of: int) -> int:
    """The start of an entry's window: on a whole step, so that no step is half read."""
    start = as_of - entry.lookback_sec * SECOND_MS
    return start - start % max(step_of(entry), MINUTE_MS)


def earliest(entries: Iterable[ReadEntry], as_of: int, key: Callable[[ReadEntry], Key]) -> dict[Key, int]:
    """One window for all entries of a key, from the earliest start that one of them has."""
    found: dict[Key, int] = {}
    for entry in entries:
        name = key(entry)
        found[name] = min(since_of(entry, as_of), found.get(name, as_of))
    return dict(sorted(found.items()))


def packed(windows: Mapping[Key, int]) -> str:
    """Windows as the one JSON parameter that a statement joins with: the key's parts, then the start, by number."""
    return json.dumps([[*key, since] for key, since in windows.items()])


def select(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Every row as a plain tuple, which is what a section keeps."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(statement, parameters).fetchall()


def grouped(rows: Iterable[tuple[Any, ...]], key_columns: int) -> dict[Key, list[Row]]:
    """Rows by their leading columns, which are cut off."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(row[:key_columns], []).append(row[key_columns:])
    return found


def newest_of_steps(rows: list[Row], step: int) -> list[Row]:
    """Of rows in order of their time, the newest within each step."""
    return list({int(row[0] or 0) // step: row for row in rows}.values())
