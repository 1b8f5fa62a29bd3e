"""The ids a person may type: whole numbers that a row can have, so that a typing error is answered and not raised."""

from typing import Annotated, Any

import typer

LARGEST = 2**63 - 1
"""SQLite's largest rowid."""


def id_argument(help_text: str) -> Any:
    """An id as a positional argument."""
    return typer.Argument(min=1, max=LARGEST, help=help_text)


def id_option(name: str, help_text: str) -> Any:
    """An id as an option."""
    return typer.Option(name, min=1, max=LARGEST, help=help_text)


CloneId = Annotated[int, id_argument("Id of the clone.")]
AccountId = Annotated[int, id_argument("Id of the prop account.")]
RunId = Annotated[int, id_argument("Id of the run.")]
OneClone = Annotated[int | None, id_option("--clone-id", "Only this clone; without it, all of them.")]
OneAccount = Annotated[int | None, id_option("--account-id", "Only this account; without it, all of them.")]
MarkedAccount = Annotated[int | None, id_argument("One account; all open ones without it.")]
