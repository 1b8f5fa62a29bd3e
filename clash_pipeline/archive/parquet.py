"""One UTC day of a table as one parquet object: written and read a row group at a time, verified by content."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from clash_pipeline.archive import codec
from clash_pipeline.archive.content import FORMAT, ContentHash
from clash_pipeline.archive.stores import StoreCorrupt
from clash_pipeline.archive.tables import ArchivedTable, Kind
from clash_pipeline.clock import iso

if TYPE_CHECKING:
    import polars as pl

GROUP_ROWS = 131_072
"""Rows of a row group: what one reader or writer holds in memory at a time."""
ZSTD_LEVEL = 3


class Encoded(NamedTuple):
    """A finished object and what it holds."""

    body: bytes
    row_count: int
    content_hash: str


class DayWriter:
    """Takes the rows of a day in key order, in pieces of any size, and makes the object.

    The bytes are those of one pyarrow release; the identity of a day is its content hash.
    """

    def __init__(self, table: ArchivedTable, day: int) -> None:
        import polars as pl

        self._table, self._day = table, day
        self._content = ContentHash(table)
        self._waiting: list[pl.DataFrame] = []
        self._waiting_rows = 0
        self._file = io.BytesIO()
        self._parquet = _parquet_writer(self._file, table)

    def write(self, rows: "pl.DataFrame") -> None:
        """Add the next rows."""
        self._content.update(rows)
        self._waiting.append(rows)
        self._waiting_rows += rows.height
        while self._waiting_rows >= GROUP_ROWS:
            self._write_group(GROUP_ROWS)

    def finish(self) -> Encoded:
        """Write what is left and close the object."""
        if self._waiting_rows:
            self._write_group(self._waiting_rows)
        content_hash = self._content.hexdigest()
        self._parquet.add_key_value_metadata(_notes(self._table, self._day, self._content.rows, content_hash))
        self._parquet.close()
        return Encoded(self._file.getvalue(), self._content.rows, content_hash)

    def _write_group(self, count: int) -> None:
        import polars as pl

        waiting = pl.concat(self._waiting)
        group, rest = waiting[:count], waiting[count:]
        self._waiting, self._waiting_rows = [rest], rest.height
        stored = codec.pack(self._table, group)
        self._parquet.write_table(stored.to_arrow(compat_level=pl.CompatLevel.oldest()), row_group_size=count)


def groups(table: ArchivedTable, body: bytes, key: str) -> "Iterator[pl.DataFrame]":
    """The rows of an object, a row group at a time, as SQLite held them.

    Raises:
        StoreCorrupt: it cannot be read as this table.
    """
    import polars as pl
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    wanted = codec.stored_schema(table)
    try:
        file = pq.ParquetFile(io.BytesIO(body), page_checksum_verification=True)
        for number in range(file.num_row_groups):
            stored = pl.DataFrame(pl.from_arrow(file.read_row_group(number)))
            yield codec.unpack(table, stored.select(pl.col(name).cast(kind) for name, kind in wanted.items()))
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
        raise StoreCorrupt(f"{key} cannot be read as {table.name}: {' '.join(str(error).split())[:160]}") from error


def content_of(table: ArchivedTable, body: bytes, key: str) -> tuple[int, str]:
    """Row count and content hash of an object, from its rows.

    Raises:
        StoreCorrupt: it cannot be read as this table.
    """
    content = ContentHash(table)
    for rows in groups(table, body, key):
        content.update(rows)
    return content.rows, content.hexdigest()


def _parquet_writer(file: io.BytesIO, table: ArchivedTable) -> Any:
    import polars as pl
    import pyarrow.parquet as pq

    empty = pl.DataFrame(schema=codec.stored_schema(table)).to_arrow(compat_level=pl.CompatLevel.oldest())
    in_dictionary, encodings = _encodings(table)
    return pq.ParquetWriter(
        file, empty.schema, version="2.6", compression="zstd", compression_level=ZSTD_LEVEL, store_schema=False,
        use_dictionary=in_dictionary, column_encoding=encodings, write_page_checksum=True,
    )  # fmt: skip


def _encodings(table: ArchivedTable) -> tuple[list[str], dict[str, str]]:
    """Columns kept in a dictionary, and the encoding of the others (measured on recorded days)."""
    packed = codec.decimal_columns(table)
    texts = [name for name in table.text_columns if name not in packed]
    scales = [group.scale for group in table.decimals]
    in_dictionary = [*texts, *scales, *[f"{name}_text" for name in packed if table.decimals], *_few_values(table)]
    others = [name for name in (*table.columns, *packed) if name not in in_dictionary]
    return in_dictionary, {name: _encoding(table, name) for name in others}


def _few_values(table: ArchivedTable) -> list[str]:
    bodies = [column for group in table.decimals for column, rule in group.relative if rule == "minus_c"]
    return bodies + [name for name in table.columns if name in {"final", "interval_hours", "is_flagged"}]


def _encoding(table: ArchivedTable, name: str) -> str:
    is_steady = name == "t" or any(name == group.columns[0] and group.relative for group in table.decimals)
    return "DELTA_BINARY_PACKED" if is_steady and table.columns[name] is not Kind.REAL else "BYTE_STREAM_SPLIT"


def _notes(table: ArchivedTable, day: int, rows: int, content_hash: str) -> dict[str, str]:
    """What a reader who has only the file needs to know."""
    notes = {
        "clash.table": table.name,
        "clash.day": iso(day)[:10],
        "clash.rows": str(rows),
        "clash.content": f"{FORMAT}:{content_hash}",
    }
    for group in table.decimals:
        relative = "; ".join(f"{column}: {rule}" for column, rule in group.relative)
        notes[f"clash.decimals.{group.scale}"] = f"{', '.join(group.columns)}: integers of 10^-{group.scale}" + (
            f", distances: {relative}" if relative else ""
        )
    return notes
