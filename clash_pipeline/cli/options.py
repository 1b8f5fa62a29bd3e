"""The options that commands of many families have: how much is shown, as what, and who acts and why."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Newest = Annotated[int, typer.Option(min=1, max=10_000, help="Show this many, newest first.")]
Actor = Annotated[str, typer.Option("--as", help="Who acts; kept with the act.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the act.")]
OPERATOR = "operator"
"""Who acts where nobody is named."""
ADMIN = "Acts of an admin"
"""The part of a family's help for what only an admin does."""
