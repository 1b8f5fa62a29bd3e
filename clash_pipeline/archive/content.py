"""The identity of a set of rows, whatever file holds them.

The content hash of a day is SHA-256 over a header (format, table, columns with their types, row count) and, column by
column, over three digests: which cells are present (one byte a row), the fixed-width part (little-endian: int64, IEEE
double, or the byte length of a text as uint32; 0 where absent) and the UTF-8 bytes of the texts. Rows are taken in key
order. It depends neither on how a file is compressed nor on where row groups are cut.
"""

import hashlib
import json
from typing import TYPE_CHECKING

from clash_pipeline.archive.tables import ArchivedTable, Kind

if TYPE_CHECKING:
    import polars as pl

FORMAT = "clash-rows-1"


class ContentHash:
    """Fed with the rows of one table in key order, in pieces of any size."""

    def __init__(self, table: ArchivedTable) -> None:
        self.rows = 0
        self._table = table
        self._digests = {name: tuple(hashlib.sha256() for _ in range(3)) for name in table.columns}

    def update(self, rows: "pl.DataFrame") -> None:
        """Take in the next rows."""
        self.rows += rows.height
        for name, kind in self._table.columns.items():
            self._column(name, kind, rows[name])

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        columns = [[name, kind.value] for name, kind in self._table.columns.items()]
        header = {"format": FORMAT, "table": self._table.name, "columns": columns, "rows": self.rows}
        whole = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
        for digests in self._digests.values():
            for digest in digests:
                whole.update(digest.digest())
        return whole.hexdigest()

    def _column(self, name: str, kind: Kind, cells: "pl.Series") -> None:
        import polars as pl

        present, fixed, texts = self._digests[name]
        present.update(cells.is_not_null().cast(pl.UInt8).to_numpy().tobytes())
        if kind is not Kind.TEXT:
            little_endian = "<i8" if kind is Kind.INT else "<f8"
            fixed.update(cells.fill_null(0).to_numpy().astype(little_endian, copy=False).tobytes())
            return
        filled = cells.fill_null("")
        fixed.update(filled.str.len_bytes().to_numpy().astype("<u4", copy=False).tobytes())
        texts.update(filled.str.join("").item().encode() if filled.len() else b"")
