"""The content hash is of the rows: no file, no cut, no library has a say in it."""

import hashlib
import json
import struct

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.archive import codec
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.content import ContentHash
from clash_pipeline.archive.tables import Kind

TABLE = TABLES["polymarket_quotes"]
CELLS = {
    Kind.TEXT: st.one_of(st.none(), st.text(max_size=8)),
    Kind.INT: st.integers(-(2**63), 2**63 - 1),
    Kind.REAL: st.one_of(st.none(), st.floats(allow_nan=False)),
}
Rows = list[tuple[object, ...]]
any_rows = st.lists(st.tuples(*[CELLS[kind] for kind in TABLE.columns.values()]), max_size=12)


def frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=codec.schema(TABLE), orient="row")


def content(rows: Rows, cuts: tuple[int, ...] = ()) -> str:
    made = ContentHash(TABLE)
    for start, end in zip((0, *cuts), (*cuts, len(rows)), strict=True):
        made.update(frame(rows[start:end]))
    return made.hexdigest()


def by_hand(rows: Rows) -> str:
    """The rule of the module's docstring, cell by cell."""
    columns = [[name, kind.value] for name, kind in TABLE.columns.items()]
    header = {"format": "clash-rows-1", "table": TABLE.name, "columns": columns, "rows": len(rows)}
    whole = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    for place, kind in enumerate(TABLE.columns.values()):
        cells = [row[place] for row in rows]
        texts = [cell.encode() if isinstance(cell, str) else b"" for cell in cells]
        if kind is Kind.TEXT:
            fixed = b"".join(struct.pack("<I", len(text)) for text in texts)
        else:
            form = "<q" if kind is Kind.INT else "<d"
            fixed = b"".join(struct.pack(form, 0 if cell is None else cell) for cell in cells)
        for part in (bytes(cell is not None for cell in cells), fixed, b"".join(texts) if kind is Kind.TEXT else b""):
            whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


@given(any_rows)
def test_it_is_what_the_rule_says(rows: Rows) -> None:
    assert content(rows) == by_hand(rows)


@given(any_rows, st.data())
def test_it_does_not_depend_on_where_the_rows_are_cut(rows: Rows, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(rows)))
    assert content(rows, (cut,)) == content(rows)


@given(st.lists(st.tuples(*[CELLS[kind] for kind in TABLE.columns.values()]), min_size=1, max_size=6), st.data())
def test_any_single_cell_changes_it(rows: Rows, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    place = data.draw(st.integers(0, len(TABLE.columns) - 1))
    other = data.draw(
        CELLS[list(TABLE.columns.values())[place]].filter(lambda cell: repr(cell) != repr(rows[at][place]))
    )
    changed = [*rows]
    changed[at] = (*rows[at][:place], other, *rows[at][place + 1 :])
    assert content(changed) != content(rows)


def test_text_cannot_move_from_one_cell_to_the_next() -> None:
    row = ("m", 1, "ab", "c", None, None, None, None, 0, "gamma", 1)
    moved = ("m", 1, "a", "bc", None, None, None, None, 0, "gamma", 1)
    assert content([row]) != content([moved])
    assert content([(*row[:4], "", *row[5:])]) != content([row])  # an empty text is not an absent one


def test_rows_in_another_order_are_other_rows() -> None:
    one = ("m", 1, "a", None, None, None, None, None, 0, "gamma", 1)
    two = ("m", 2, "a", None, None, None, None, None, 0, "gamma", 1)
    assert content([one, two]) != content([two, one])
