"""Rows between SQLite and frames, always through our own connection's plain cursor (09 F1), a piece at a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clash_pipeline.archive import codec
from clash_pipeline.archive.tables import ArchivedTable, Value
from clash_pipeline.clock import DAY_MS
from clash_pipeline.storage.sqlite import Connection, one

if TYPE_CHECKING:
    import polars as pl

READ_ROWS = 32_768
"""Rows taken from the cursor at a time."""
WRITE_ROWS = 4_096
"""Rows deleted or inserted in one transaction, so that the ingester waits for milliseconds only."""

Row = tuple[Value, ...]


def of_day(connection: Connection, table: ArchivedTable, day: int) -> "Iterator[pl.DataFrame]":
    """The rows of a day in key order."""
    cursor = connection.cursor()
    cursor.row_factory = None  # plain tuples: a third quicker than named rows
    cursor.execute(table.select_day, {"from_t": day, "to_t": day + DAY_MS})
    while fetched := cursor.fetchmany(READ_ROWS):
        yield frame(table, fetched)


def between(connection: Connection, table: ArchivedTable, day: int, first: Row, last: Row) -> list[Row]:
    """The rows of a day between the keys of two rows, both included."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(table.select_range, _span(table, day, first, last)).fetchall()


def delete_between(connection: Connection, table: ArchivedTable, day: int, first: Row, last: Row) -> int:
    """Remove the rows of a day between the keys of two rows, both included; returns how many."""
    return connection.execute(table.delete_range, _span(table, day, first, last)).rowcount


def insert(connection: Connection, table: ArchivedTable, rows: list[Row]) -> int:
    """Add rows whose keys are free; returns how many."""
    return connection.executemany(table.insert, rows).rowcount


def count(connection: Connection, table: ArchivedTable, day: int) -> int:
    """How many rows a day has."""
    return int(one(connection, table.count_day, {"from_t": day, "to_t": day + DAY_MS}))  # type: ignore[arg-type]


def frame(table: ArchivedTable, fetched: list[Row]) -> "pl.DataFrame":
    """Tuples as a frame of the table's types."""
    import polars as pl

    columns = zip(*fetched, strict=True)
    return pl.DataFrame(
        [
            pl.Series(name, cells, dtype=kind, strict=True)
            for (name, kind), cells in zip(codec.schema(table).items(), columns, strict=True)
        ]
    )


def pieces(rows: "pl.DataFrame") -> Iterator[list[Row]]:
    """A frame as lists of tuples, each small enough for one transaction."""
    for part in rows.iter_slices(WRITE_ROWS):
        yield part.rows()


def _span(table: ArchivedTable, day: int, first: Row, last: Row) -> dict[str, Value]:
    span: dict[str, Value] = {"from_t": day, "to_t": day + DAY_MS}
    return span | table.range_of(table.key_of(first), table.key_of(last))
