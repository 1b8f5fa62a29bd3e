"""What an audit finds: a broken invariant, the row that breaks it, and what is wrong with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from clash_pipeline.prop.accounts import Account
from clash_pipeline.storage.sqlite import Connection


@dataclass(frozen=True)
class Difference:
    """One broken invariant: its name, the row, and what was expected and found."""

    invariant: str
    row: str
    message: str


Check = Callable[[Connection, Account], Iterator[Difference]]
"""One rule on one account, read from one snapshot of the file."""
