"""SQL over archived days, in place: DuckDB sees the rows and nothing else of this machine."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

RELATION = "archive"
"""The name under which a statement finds the rows."""
CLOSED = {"enable_external_access": "false", "lock_configuration": "true", "python_enable_replacements": "false"}
"""A statement that could open files could open the live databases, and drop every writer's locks (09 F1)."""


class QueryError(ValueError):
    """The statement cannot be run; one line."""


def query(rows: "pl.DataFrame", statement: str) -> "pl.DataFrame":
    """The result of one SQL statement over the relation `archive`.

    Raises:
        QueryError: it is not valid, or asks for something outside.
    """
    import duckdb
    import polars as pl

    with duckdb.connect(":memory:", config=dict(CLOSED)) as connection:
        connection.register(RELATION, rows.to_arrow())
        try:
            return pl.DataFrame(pl.from_arrow(connection.sql(statement).to_arrow_table()))
        except duckdb.Error as error:
            raise QueryError(" ".join(str(error).split())[:300]) from error
