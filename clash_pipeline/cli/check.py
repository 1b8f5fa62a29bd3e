"""`clash check`: the self-check, one line a guard; also what `clash up` and `clash serve` ask before they start."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json

if TYPE_CHECKING:
    from clash_pipeline.services import Services


@one_line_errors
def check(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check what must hold before anything starts; exit 3 when a hard guard fails, 1 when another does."""
    from clash_pipeline import services
    from clash_pipeline.alerts import guards

    built = services.build()
    try:
        found = guards.check(built)
    finally:
        built.close()
    if as_json:
        print_json([asdict(guard) for guard in found])
    else:
        for guard in found:
            typer.echo(guard.line)
    if any(not guard.is_ok and guard.is_hard for guard in found):
        raise typer.Exit(Exit.CONFIGURATION)
    if any(not guard.is_ok for guard in found):
        raise typer.Exit(Exit.UNHEALTHY)


def require(built: "Services") -> None:
    """Print every guard and go on, or stop at the first hard one that fails."""
    from clash_pipeline.alerts import guards

    found = guards.check(built)
    for guard in found:
        typer.echo(guard.line)
    failed = next((guard for guard in found if not guard.is_ok and guard.is_hard), None)
    if failed is not None:
        fail(f"{failed.name}: {failed.said}", Exit.CONFIGURATION)
