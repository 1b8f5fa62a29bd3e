"""`clash alerts`: what a person must hear of, and whether the channels take it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.alerts.store import Raised

app = typer.Typer(help="Alerts: what stands, what was told, and a trial of the channels.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]
COLUMNS = ("alert", "subject", "severity", "raised", "cleared", "told", "what")


@app.command("list")
@one_line_errors
def show(
    history: Annotated[bool, typer.Option("--history", help="The newest hundred, cleared ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the alerts that stand, as of the last look; exit 1 when one is critical."""
    from clash_pipeline import services
    from clash_pipeline.alerts import store

    built = services.build()
    try:
        with built.clash.read() as connection:
            standing = store.open_alerts(connection)
            shown = store.newest(connection) if history else standing
    finally:
        built.close()
    _show(shown, as_json=as_json)
    if any(raised.severity == "critical" for raised in standing):
        raise typer.Exit(Exit.UNHEALTHY)


@app.command()
@one_line_errors
def look(as_json: JsonOption = False) -> None:
    """Ask every rule now, raise and clear, and tell the channels; exit 1 when anything critical stands."""
    from clash_pipeline import services
    from clash_pipeline.alerts import watching
    from clash_pipeline.alerts.telling import teller_from

    built = services.build()
    try:
        looked = watching.look(built, teller_from(built.settings))
    finally:
        built.close()
    if as_json:
        print_json(asdict(looked))
    else:
        rows = [(alert.rule, alert.finding.subject, alert.finding.severity, alert.finding.message)
                for alert in looked.found]  # fmt: skip
        table(looked.sentence, ("alert", "subject", "severity", "what"), rows)
    if any(alert.finding.severity == "critical" for alert in looked.found):
        raise typer.Exit(Exit.UNHEALTHY)


@app.command()
@one_line_errors
def test() -> None:
    """Send one message to every channel of CLASH_ALERT_URLS; exit 4 when one does not take it."""
    from clash_pipeline.alerts.telling import Channels
    from clash_pipeline.settings import load

    urls = load().alert_channels
    if not urls:
        fail("CLASH_ALERT_URLS names no channel; alerts are written to the log")
    channels = Channels(urls)
    if channels.refused:
        fail(f"URL {channels.refused[0]} of CLASH_ALERT_URLS is not one that Apprise understands", Exit.CONFIGURATION)
    if not channels.tell("clash: a trial", "Alerts of Clash of Clones arrive here.", severity="warning"):
        fail(f"one of {len(urls)} channels did not take the message", Exit.UNAVAILABLE)
    typer.echo(f"{len(urls)} channels took the message")


def _show(shown: "list[Raised]", *, as_json: bool) -> None:
    from clash_pipeline.clock import iso

    if as_json:
        print_json([asdict(raised) for raised in shown])
        return
    rows = [
        (raised.rule, raised.subject, raised.severity, iso(raised.raised_at),
         raised.cleared_at and iso(raised.cleared_at), "yes" if raised.is_told else "no", raised.message)
        for raised in shown
    ]  # fmt: skip
    table(f"{len(rows)} alerts" if rows else "nothing stands", COLUMNS, rows)
