"""The `clash` command: mounts one Typer application for each family, each in a file of its own."""

import sys

import typer

from clash_pipeline.cli import (
    alerts,
    archive,
    arena,
    audit,
    auditions,
    chain,
    check,
    clones,
    dagster,
    decisions,
    economy,
    economy_chain,  # noqa: F401  # its commands stand in the family of the economy
    environment,
    ingest,
    ingestion,
    market,
    model,
    pipeline,
    profiles,
    prop,
    races,
    serve,
    settlement,
    tokens,
    up,
    venue,
    worker,
)
from clash_pipeline.cli.demo.command import demo
from clash_pipeline.cli.output import one_line_errors

app = typer.Typer(
    name="clash",
    help="Clash of Clones: market memory, trading clones, paper accounts and their ledger.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SYSTEM = "The system"
DATA = "Market data"
TRADING = "Clones and accounts"

app.command("demo", rich_help_panel=SYSTEM)(demo)
app.command("up", rich_help_panel=SYSTEM)(up.up)
app.command("env", rich_help_panel=SYSTEM)(environment.env)
app.command("migrate", rich_help_panel=SYSTEM)(environment.migrate)
app.command("workers", rich_help_panel=SYSTEM)(environment.workers)
app.add_typer(worker.app, name="worker", rich_help_panel=SYSTEM)
app.command(
    "dagster",
    rich_help_panel=SYSTEM,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)(dagster.dagster)
app.command("ui", rich_help_panel=SYSTEM)(dagster.ui)
app.command("serve", rich_help_panel=SYSTEM)(serve.serve)
app.add_typer(tokens.app, name="tokens", rich_help_panel=SYSTEM)
app.command("check", rich_help_panel=SYSTEM)(check.check)
app.command("audit", rich_help_panel=SYSTEM)(audit.audit)
app.add_typer(alerts.app, name="alerts", rich_help_panel=SYSTEM)
app.command("ingest", rich_help_panel=DATA)(ingest.ingest)
app.add_typer(ingestion.app, name="ingestion", rich_help_panel=DATA)
app.add_typer(market.app, name="market", rich_help_panel=DATA)
app.add_typer(archive.app, name="archive", rich_help_panel=DATA)
app.command("venue", rich_help_panel=DATA)(venue.venue)
app.add_typer(chain.app, name="chain", rich_help_panel=DATA)
app.add_typer(clones.app, name="clones", rich_help_panel=TRADING)
app.add_typer(profiles.app, name="profiles", rich_help_panel=TRADING)
app.add_typer(pipeline.app, name="pipeline", rich_help_panel=TRADING)
app.add_typer(decisions.app, name="decisions", rich_help_panel=TRADING)
app.add_typer(model.app, name="model", rich_help_panel=TRADING)
app.add_typer(prop.app, name="prop", rich_help_panel=TRADING)
app.add_typer(auditions.app, name="auditions", rich_help_panel=TRADING)
app.add_typer(arena.app, name="arena", rich_help_panel=TRADING)
app.add_typer(races.app, name="race", rich_help_panel=TRADING)
app.add_typer(economy.app, name="economy", rich_help_panel=TRADING)
app.add_typer(settlement.app, name="settlement", rich_help_panel=TRADING)


def main() -> None:
    """Run the command; errors a person can act on become one line and an exit code."""
    try:
        one_line_errors(app)()
    except typer.Exit as stop:
        sys.exit(stop.exit_code)


if __name__ == "__main__":
    main()
