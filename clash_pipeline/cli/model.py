"""`clash model …`: the models of the tiers, what they cost so far, and a replayed endpoint for work without one."""

from typing import Annotated

import typer

from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json, table

app = typer.Typer(help="Models: tiers, budgets, and a replayed endpoint.", no_args_is_help=True)
DEFAULT_PORT = 8798


@app.command("tiers")
@one_line_errors
def tiers(json: AsJson = False) -> None:
    """Which model decides in each tier, how it is asked and what it costs. Exit 1 when no tier can decide."""
    from clash_pipeline.decisions.engines import tiers as models
    from clash_pipeline.settings import load
    from clash_pipeline.units import usd_text

    settings = load()
    found = models.tiers(settings)
    rows = []
    for number in settings.model_tiers:
        tier, why = found.get(number), models.refusal(settings, number)
        prices = (usd_text(tier.input_price), usd_text(tier.output_price)) if tier else ("", "")
        rows.append((number, tier.model if tier else "", tier.capability.name if tier else "", *prices, why or "ready"))
    columns = ("tier", "model", "asked as", "USD/M in>", "USD/M out>", "state")
    if json:
        print_json(
            [dict(zip(("tier", "model", "takes", "input", "output", "state"), row, strict=True)) for row in rows]
        )
    else:
        table(f"Models at {settings.model_url}", columns, rows)
    if all(row[-1] != "ready" for row in rows):
        raise typer.Exit(Exit.UNHEALTHY)


@app.command("spending")
@one_line_errors
def spending(json: AsJson = False) -> None:
    """What every scope has spent of each limit, in the last minute and today; costs in USD."""
    from clash_pipeline.decisions import spending as sums
    from clash_pipeline.services import build
    from clash_pipeline.units import usd_text

    services = build()
    try:
        with services.clash.read() as connection:
            found = sums.standing(connection, sums.limits_of(services.settings), services.wall.now_ms())
    finally:
        services.close()
    rows = []
    for limit, scope, spent in found:
        shown = [usd_text(amount) if limit.unit == "cost" else str(amount) for amount in (spent, limit.most)]
        rows.append((scope, limit.unit, limit.span, *shown))
    if json:
        print_json([dict(zip(("scope", "unit", "span", "spent", "most"), row, strict=True)) for row in rows])
    else:
        table("Spending on models", ("scope", "unit", "span", "spent>", "most>"), rows)


@app.command("serve")
@one_line_errors
def serve(
    persona: Annotated[str, typer.Option(help="Who answers: trader or obedient.")] = "trader",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")] = DEFAULT_PORT,
    delay: Annotated[float, typer.Option(min=0, max=600, help="Seconds before each answer.")] = 0.0,
) -> None:
    """Serve a replayed OpenAI-compatible endpoint until interrupted; prints the exports that lead to it."""
    import threading

    from clash_pipeline.replay.model_server import MODEL, ModelServer, served
    from clash_pipeline.replay.personas import PERSONAS

    if persona not in PERSONAS:
        fail(f"--persona {persona[:40]!r}: there are {', '.join(PERSONAS)}")
    try:
        with served(ModelServer(PERSONAS[persona], delay_sec=delay), port) as url:
            typer.echo(f"export CLASH_MODEL_URL={url}\nexport CLASH_MODEL_KEY=replayed")
            typer.echo(f"export CLASH_MODEL_1={MODEL}\nexport CLASH_MODEL_1_PRICES=0.15,0.60")
            typer.echo(f"# {persona} answers as {MODEL}")
            threading.Event().wait()
    except KeyboardInterrupt:
        return
    except OSError as error:
        fail(f"port {port} on 127.0.0.1 cannot be taken: {error.strerror}", Exit.UNAVAILABLE)
