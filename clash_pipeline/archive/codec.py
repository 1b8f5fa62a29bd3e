"""Rows to compact parquet and back, to the exact text of every price.

A decimal text in the venue's own form (no leading zeros, no trailing zeros but one after the point) is kept as an
integer at a scale that the rows of one symbol share; near values are kept as their distance. All of it is local to a
row, so polars or DuckDB read an archived day in place. A row with any other text keeps its texts as they are.
"""

from typing import TYPE_CHECKING, Any

from clash_pipeline.archive.tables import ArchivedTable, Decimals, Kind

if TYPE_CHECKING:
    import polars as pl

FORM = r"^-?(?:0|[1-9][0-9]{0,14})\.(?:[0-9]{0,9}[1-9]|0)$"
MOST_DECIMALS = 10
"""The venue shows at most this many; a text with more keeps its own row as text, and must not widen the others."""
EXACT_BELOW = 2**50
"""A float64 of a decimal, times its power of ten, rounds to the right integer below this."""
AS_TEXT = "as_text"
"""Whether a row keeps its decimals as text, in the columns ending in `_text`."""


def schema(table: ArchivedTable) -> dict[str, Any]:
    """The polars types of a table's columns."""
    import polars as pl

    types = {Kind.TEXT: pl.String, Kind.INT: pl.Int64, Kind.REAL: pl.Float64}
    return {name: types[kind] for name, kind in table.columns.items()}


def pack(table: ArchivedTable, rows: "pl.DataFrame") -> "pl.DataFrame":
    """The stored form of rows; `unpack` gives back equal rows."""
    import polars as pl

    if not table.decimals:
        return rows
    scales = [_scale(group, table.key[0]) for group in table.decimals]
    numbers = rows.with_columns(scales).with_columns(
        _mantissa(column, group.scale).alias(f"{column}#") for group in table.decimals for column in group.columns
    )
    numbers = numbers.with_columns((~_fits(table)).alias(AS_TEXT))
    return numbers.select(
        *[pl.col(name) for name in table.columns if name not in decimal_columns(table)],
        *[pl.col(group.scale) for group in table.decimals],
        *[
            pl.when(~pl.col(AS_TEXT)).then(_stored(group, column)).alias(column)
            for group in table.decimals
            for column in group.columns
        ],
        AS_TEXT,
        *[pl.when(AS_TEXT).then(pl.col(name)).alias(f"{name}_text") for name in decimal_columns(table)],
    )


def unpack(table: ArchivedTable, stored: "pl.DataFrame") -> "pl.DataFrame":
    """The rows as SQLite held them, to the letter."""
    import polars as pl

    if not table.decimals:
        return stored.select(list(table.columns))
    restored = stored
    for group in table.decimals:  # one after another, as a distance may be to a column restored before it
        for column in group.columns:
            restored = restored.with_columns(_absolute(group, column).alias(column))
    texts = [_text(column, group.scale) for group in table.decimals for column in group.columns]
    return restored.select(
        *[pl.col(name) for name in table.columns if name not in decimal_columns(table)],
        *[
            pl.when(AS_TEXT).then(pl.col(f"{column}_text")).otherwise(text).alias(column)
            for column, text in zip(decimal_columns(table), texts, strict=True)
        ],
    ).select(list(table.columns))


def decimal_columns(table: ArchivedTable) -> list[str]:
    """The columns kept as integers, in stored order."""
    return [column for group in table.decimals for column in group.columns]


def stored_schema(table: ArchivedTable) -> dict[str, Any]:
    """The polars types of the stored form."""
    import polars as pl

    plain = schema(table)
    if not table.decimals:
        return plain
    packed = decimal_columns(table)
    return (
        {name: kind for name, kind in plain.items() if name not in packed}
        | {group.scale: pl.Int8 for group in table.decimals}
        | dict.fromkeys(packed, pl.Int64)
        | {AS_TEXT: pl.Boolean}
        | {f"{name}_text": pl.String for name in packed}
    )


def _scale(group: Decimals, symbol: str) -> "pl.Expr":
    """The most decimals that any of the group's texts of the same symbol shows."""
    import polars as pl

    def shown(name: str) -> pl.Expr:
        count = (pl.col(name).str.len_bytes() - 1 - pl.col(name).str.find(".", literal=True)).cast(pl.Int64)
        return pl.when(count <= MOST_DECIMALS).then(count)

    most = pl.max_horizontal([shown(name) for name in group.columns]).max().over(symbol)
    return most.fill_null(0).cast(pl.Int8).alias(group.scale)


def _mantissa(column: str, scale: str) -> "pl.Expr":
    import polars as pl

    power = pl.lit(10.0).pow(pl.col(scale))
    scaled = (pl.col(column).cast(pl.Float64, strict=False) * power).round()
    return pl.when(scaled.abs() < EXACT_BELOW).then(scaled).cast(pl.Int64)


def _fits(table: ArchivedTable) -> "pl.Expr":
    """Whether every text of a row is in the form, and so short that its integer is exact."""
    import polars as pl

    def one(column: str) -> pl.Expr:
        text, number = pl.col(column), pl.col(f"{column}#")
        is_exact = text.str.contains(FORM) & number.is_not_null() & ~((number == 0) & text.str.starts_with("-"))
        return text.is_null() | is_exact.fill_null(value=False)

    return pl.all_horizontal([one(column) for column in decimal_columns(table)])


def _stored(group: Decimals, column: str) -> "pl.Expr":
    import polars as pl

    rule = dict(group.relative).get(column)
    value = pl.col(f"{column}#")
    if rule is None:
        return value
    base, sign = _base(rule, "#")
    return (value - base) * sign


def _absolute(group: Decimals, column: str) -> "pl.Expr":
    import polars as pl

    rule = dict(group.relative).get(column)
    if rule is None:
        return pl.col(column)
    base, sign = _base(rule, "")
    return base + pl.col(column) * sign


def _base(rule: str, suffix: str) -> "tuple[pl.Expr, int]":
    """What a distance is measured from, and which way it counts; a wick is counted outwards from the body."""
    import polars as pl

    if rule.startswith("minus_"):
        return pl.col(rule.removeprefix("minus_") + suffix), 1
    body = (f"o{suffix}", f"c{suffix}")
    return (pl.max_horizontal(body), 1) if rule == "above_body" else (pl.min_horizontal(body), -1)


def _text(column: str, scale: str) -> "pl.Expr":
    """The decimal text of an integer at a scale, in the form."""
    import polars as pl

    power = pl.lit(10, pl.Int64).pow(pl.col(scale))
    size = pl.col(column).abs()
    # adding the power keeps the leading zeros of the fraction; its own digit is cut off again
    fraction = ((size % power) + power).cast(pl.String).str.slice(1).str.strip_chars_end("0")
    shown = pl.when(fraction == "").then(pl.lit("0")).otherwise(fraction)
    sign = pl.when(pl.col(column) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str(sign, (size // power).cast(pl.String), pl.lit("."), shown)
