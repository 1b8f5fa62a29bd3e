"""Rows to compact parquet and back, to the exact text of every price.

A decimal text in the venue's own form (no leading zeros, no trailing zeros but one after the point) is kept as an
integer at a scale that the rows of one symbol share; near values are kept as their distance. All of it is local to a
row, so polars or DuckDB read an archived day in place. Any other text keeps its row's texts as they are (prices and
volumes apart, as the venue's volumes may carry float artefacts).
"""

from typing import TYPE_CHECKING, Any

from clash_pipeline.archive.tables import ArchivedTable, Decimals, Kind

if TYPE_CHECKING:
    import polars as pl

FORM = r"^-?(?:0|[1-9][0-9]{0,14})\.(?:[0-9]{0,9}[1-9]|0)$"
MOST_DECIMALS = 10
LONGEST = 16
"""A float artefact such as `3495670.8399999999` is longer; it keeps its own text, and must not widen the others."""
EXACT_BELOW = 2**50
"""A float64 of a decimal, times its power of ten, rounds to the right integer below this."""


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
    scaled = rows.with_columns(_scale(group, table.key[0]) for group in table.decimals)
    numbers = scaled.with_columns(
        _mantissa(column, group.scale).alias(f"{column}#") for group in table.decimals for column in group.columns
    ).with_columns((~_fits(group)).alias(as_text(group)) for group in table.decimals)
    return numbers.select(
        *[pl.col(name) for name in table.columns if name not in decimal_columns(table)],
        *[part for group in table.decimals for part in _packed(group)],
    )


def unpack(table: ArchivedTable, stored: "pl.DataFrame") -> "pl.DataFrame":
    """The rows as SQLite held them, to the letter."""
    import polars as pl

    restored = stored
    for group in table.decimals:  # one column after another, as a distance may be to one restored before it
        for column in group.columns:
            restored = restored.with_columns(_absolute(group, column).alias(column))
        restored = restored.with_columns(
            pl.when(as_text(group)).then(pl.col(f"{column}_text")).otherwise(_text(column, group.scale)).alias(column)
            for column in group.columns
        )
    return restored.select(list(table.columns))


def as_text(group: Decimals) -> str:
    """The column that says whether a row keeps this group's texts as they are, in the columns ending in `_text`."""
    return f"{group.scale.removesuffix('_scale')}_as_text"


def decimal_columns(table: ArchivedTable) -> list[str]:
    """The columns kept as integers, in stored order."""
    return [column for group in table.decimals for column in group.columns]


def stored_schema(table: ArchivedTable) -> dict[str, Any]:
    """The polars types of the stored form."""
    import polars as pl

    packed = decimal_columns(table)
    types = {name: kind for name, kind in schema(table).items() if name not in packed}
    for group in table.decimals:
        types |= {group.scale: pl.Int8} | dict.fromkeys(group.columns, pl.Int64) | {as_text(group): pl.Boolean}
        types |= {f"{name}_text": pl.String for name in group.columns}
    return types


def _packed(group: Decimals) -> "list[pl.Expr]":
    import polars as pl

    is_text = pl.col(as_text(group))
    return [
        pl.col(group.scale),
        *[pl.when(~is_text).then(_stored(group, column)).alias(column) for column in group.columns],
        is_text,
        *[pl.when(is_text).then(pl.col(column)).alias(f"{column}_text") for column in group.columns],
    ]


def _scale(group: Decimals, symbol: str) -> "pl.Expr":
    """The most decimals that any of the group's texts of the same symbol shows."""
    import polars as pl

    def shown(name: str) -> pl.Expr:
        length = pl.col(name).str.len_bytes()
        count = (length - 1 - pl.col(name).str.find(".", literal=True)).cast(pl.Int64)
        return pl.when((count <= MOST_DECIMALS) & (length <= LONGEST)).then(count)

    most = pl.max_horizontal([shown(name) for name in group.columns]).max().over(symbol)
    return most.fill_null(0).cast(pl.Int8).alias(group.scale)


def _mantissa(column: str, scale: str) -> "pl.Expr":
    import polars as pl

    power = pl.lit(10.0).pow(pl.col(scale))
    scaled = (pl.col(column).cast(pl.Float64, strict=False) * power).round()
    return pl.when(scaled.abs() < EXACT_BELOW).then(scaled).cast(pl.Int64)


def _fits(group: Decimals) -> "pl.Expr":
    """Whether each text of a row's group is in the form, and so short that its integer is exact."""
    import polars as pl

    def one(column: str) -> pl.Expr:
        text, number = pl.col(column), pl.col(f"{column}#")
        is_counted = (text.str.len_bytes() <= LONGEST) & text.str.contains(FORM)  # its decimals are within the scale
        is_exact = is_counted & number.is_not_null() & ~((number == 0) & text.str.starts_with("-"))
        return text.is_null() | is_exact.fill_null(value=False)

    return pl.all_horizontal([one(column) for column in group.columns])


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
