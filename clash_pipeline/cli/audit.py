"""`clash audit`: every invariant of accounts, ledgers, runs, money and the Arena. Exit 0 clean, 1 with the rows."""

from typing import TYPE_CHECKING, Annotated

import typer

from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import Exit, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.prop.audit import Report


@one_line_errors
def audit(
    artifacts: Annotated[bool, typer.Option("--artifacts", help="Also read every artifact; takes its time.")] = False,
    json: AsJson = False,
) -> None:
    """Check every invariant of accounts, ledgers, runs, money and the Arena; exit 1 names each row that breaks one."""
    from clash_pipeline import services
    from clash_pipeline.alerts import books

    built = services.build()
    try:
        whole, money = books.everything(built.clash, built.store if artifacts else None)
        also = f", {money.purchases} purchases, {money.groups} groups of wei" if money.purchases or money.groups else ""
        show(whole, json=json, also=also)
    finally:
        built.close()


def show(report: "Report", *, json: bool, also: str = "") -> None:
    """Print a report, with what else was looked at; exit 1 when something is wrong."""
    if json:
        print_json(report)
    else:
        seen = f"{report.accounts} accounts, {report.fills} fills, {report.groups} ledger groups{also}"
        if report.is_clean:
            typer.echo(f"clean: {seen}")
        else:
            rows = [(item.invariant, item.row, item.message) for item in report.differences]
            table(f"{len(rows)} differences in {seen}", ("invariant", "row", "what is wrong"), rows)
    if not report.is_clean:
        raise typer.Exit(Exit.UNHEALTHY)
