"""What every definition carries, and how the domain's answers become metadata that a person looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

OWNERS = ["team:market-data"]
TRADING_OWNERS = ["team:trading"]


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """A Markdown table for the UI."""
    from clash_pipeline.market.plots import table

    return dg.MetadataValue.md(table(columns, rows))


def metadata(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as metadata; unknown ones are left out, pictures and tables are Markdown."""
    return {name: _value(value) for name, value in figures.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, str) and (value.startswith("| ") or value.startswith("![")):
        return dg.MetadataValue.md(value)
    return value
