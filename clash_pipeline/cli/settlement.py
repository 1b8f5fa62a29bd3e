"""`clash settlement …`: what a race pays, computed from a file that anybody can write, or as it was settled."""

from pathlib import Path
from typing import Annotated

import typer

from clash_pipeline.cli.ids import id_argument
from clash_pipeline.cli.output import fail, one_line_errors, print_json, table

app = typer.Typer(help="Settlement: who is paid what, to the wei.", no_args_is_help=True)


@app.callback()
def settlement() -> None:
    """Settlement: who is paid what, to the wei."""


@app.command()
@one_line_errors
def compute(
    file: Annotated[Path, typer.Argument(help="Race as JSON: priceWei, starters in rank order, tickets; - reads it.")],
    json: Annotated[bool, typer.Option("--json", help="As JSON, amounts as decimal text.")] = False,
) -> None:
    """Compute the settlement of a race from its order of finish and its tickets; nothing else decides money."""
    from clash_pipeline.economy.settlement import SettlementInvalid
    from clash_pipeline.economy.settlement_file import computed

    try:
        content = typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
        found = computed(content)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except SettlementInvalid as error:
        fail(f"{file}: {error}")
    if json:
        print_json(found)
        return
    typer.echo(f"pool {found['poolWei']} wei, rake {found['rakeWei']} wei (dust {found['dustWei']})")
    for title, columns in (
        ("royalties", ("cloneId", "creator", "wei")),
        ("payouts", ("cloneId", "holder", "count", "perTicketWei", "wei")),
        ("refunds", ("cloneId", "holder", "count", "perTicketWei", "wei")),
    ):
        if found[title]:
            table(title.capitalize(), columns, [tuple(row[name] for name in columns) for row in found[title]])


@app.command()
@one_line_errors
def show(
    race_id: Annotated[int, id_argument("Number of the race.")],
    json: Annotated[
        bool, typer.Option("--json", help="The public report, enough to compute everything again.")
    ] = False,
) -> None:
    """Show how a race was settled, step by step, so that anybody can add it up again."""
    from clash_pipeline import services
    from clash_pipeline.cli import settlement_report
    from clash_pipeline.economy import settling

    built = services.build()
    try:
        with built.clash.read() as connection:
            settled = settling.settlement_of(connection, race_id)
    finally:
        built.close()
    if settled is None:
        fail(f"race {race_id} is not settled")
    if json:
        print_json(settling.report(settled))
        return
    settlement_report.show(settled)
