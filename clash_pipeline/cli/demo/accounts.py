"""What the demo tells of its traders: equity, newest fills, and what the model was told and answered."""

import textwrap
from typing import TYPE_CHECKING, Any

import typer

from clash_pipeline.cli.chart import chart
from clash_pipeline.cli.output import table
from clash_pipeline.clock import iso

if TYPE_CHECKING:
    from clash_pipeline.cli.demo.story import Story

FILLS = 4
TOLD_CHARACTERS = 98
TOLD_LINES = 6
CALLS = """
SELECT count(*) AS calls, sum(code IS NOT NULL) AS failed, sum(prompt_tokens) AS asked,
       sum(completion_tokens) AS answered, sum(cost) AS cost
FROM model_calls WHERE run_id IN (SELECT id FROM decision_runs WHERE clone_id = ?)
"""
TELLING_RUN = """
SELECT id FROM decision_runs WHERE engine = 'model' AND state = 'completed'
ORDER BY effective = 'hold', id DESC LIMIT 1
"""


def show(story: "Story") -> None:
    """Each account with its equity over time, and the newest run in which the model did something, whole."""
    from clash_pipeline.clones import clones
    from clash_pipeline.prop import accounts
    from clash_pipeline.prop.views import account_view

    with story.services.clash.read() as connection:
        views = [account_view(connection, account_id, tail=FILLS) for account_id in accounts.open_ids(connection)]
        owners = [clones.get(connection, view["clone_id"]) for view in views]
    for view, clone in zip(views, owners, strict=True):
        _account(view, f"{clone.name}, by {clone.engine}")
    _model(story)


def _account(view: dict[str, Any], owner: str) -> None:
    typer.secho(f"\nAccount {view['id']} of {owner}", bold=True, nl=False)
    typer.echo(
        f": equity {view['equity']} USD ({view['return_pct']} %), fees {view['fees']}, realized {view['realized']}\n"
        + chart([(point["t"], float(point["equity"])) for point in view["equity_series"]])
    )
    rows = [
        (iso(f["filled_at"])[11:19], f["symbol"], f["side"], f["size"], f["price"], f["fee"]) for f in view["fills"]
    ]
    if rows:
        table("newest fills", ("time", "symbol", "side", "size>", "price>", "fee USD>"), rows)


def _model(story: "Story") -> None:
    """The newest run in which a model did something: its prompt in short, then all of `clash decisions show`."""
    from clash_pipeline.cli.run_view import show_run
    from clash_pipeline.decisions import views

    with story.services.clash.read() as connection:
        row = connection.execute(TELLING_RUN).fetchone()
    if row is None:
        return
    view = views.run_view(story.services.clash, story.services.store, row["id"])
    typer.secho(f"\nWhat the model was told and answered: clash decisions show {row['id']}\n", bold=True)
    _told(view["prompt"]["system"], view["prompt"]["user"])
    show_run(view)
    _spent(story, view["run"]["clone_id"])


def _told(system: str, user: str) -> None:
    """The beginning of the prompt: what it was told to be, and the first lines of what it was shown."""
    lines = [*textwrap.wrap(system, TOLD_CHARACTERS)[:2], *user.splitlines()[:TOLD_LINES]]
    for line in lines:
        typer.echo(f"  {line if len(line) <= TOLD_CHARACTERS else f'{line[:TOLD_CHARACTERS]}…'}")
    typer.echo("")


def _spent(story: "Story", clone_id: int) -> None:
    from clash_pipeline.units import usd_text

    with story.services.clash.read() as connection:
        calls = connection.execute(CALLS, (clone_id,)).fetchone()
    typer.echo(
        f"\n{calls['calls']} model calls of clone {clone_id}, {calls['failed']} without an answer: "
        f"{calls['asked']:,} tokens in, {calls['answered']:,} out, {usd_text(calls['cost'])} USD"
    )
