"""Seals: every row that money rests on carries the digest of its other columns, so that a silent change shows (S8)."""

from collections.abc import Mapping
from typing import Any

from clash_pipeline import canonical

SEAL = "row_hash"


def seal(values: Mapping[str, Any]) -> str:
    """The digest of a row's columns, the seal itself left out."""
    return canonical.digest({name: value for name, value in values.items() if name != SEAL})


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its seal, ready to be stored."""
    return {**values, SEAL: seal(values)}


def resealed(row: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The row as it becomes, sealed again; a broken seal stays broken, else the next move would cover a change up."""
    after = {**row, **changes}
    return sealed(after) if row[SEAL] == seal(row) else after
