"""How decision runs look on a terminal: a wave, a replay, a dry run; `run_view` shows one run whole."""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from clash_pipeline.cli.output import table

if TYPE_CHECKING:
    from clash_pipeline.decisions.dry_run import DryRun
    from clash_pipeline.decisions.replaying import Replay
    from clash_pipeline.prop.proposal import ActionResult


def show_wave(due: int, ended: Any) -> None:
    """What became of the runs of a wave."""
    if not due:
        typer.echo("nothing is due")
        return
    columns = ("run>", "account>", "clone>", "branch", "symbol", "state", "reason", "effect")
    rows = [
        (run.run_id, run.account_id, run.clone_id, run.branch, run.symbol, run.state, run.reason, run.effective)
        for run in ended
    ]
    table(f"{len(rows)} of {due} runs ended", columns, rows)


def show_replay(found: "Replay") -> None:
    """Whether the same came out."""
    if found.verdict == "same":
        typer.echo(f"run {found.run_id}: the same again ({found.rows} rows compared)")
        return
    what = "differs" if found.verdict == "differs" else "cannot be replayed"
    typer.echo(f"run {found.run_id} {what}:")
    for difference in found.differences:
        typer.echo(f"  {difference}")


def show_dry_run(found: "DryRun") -> None:
    """What a draft would have done."""
    typer.echo(f"dry run {found.id} of clone {found.clone_id}: engine {found.engine}, graph {found.compiled_hash[:12]}")
    columns = ("branch", "symbol", "state", "reason", "effect", "answer")
    rows = [(run.branch, run.symbol, run.state, run.reason, run.effective, _answer(run.response)) for run in found.runs]
    table(f"{len(rows)} runs", columns, rows)
    for run in found.runs:
        show_actions(run.actions)
    typer.echo(f"scratch account: {found.start_balance} → {found.balance} USD; no prop account was touched")


def show_actions(actions: "Iterable[ActionResult]") -> None:
    """What the gates said of each action, and its fills."""
    for action in actions:
        figures = ", ".join(f"{name} {value}" for name, value in action.figures.items() if value is not None)
        verdict = "passed the gates" if action.reject_code is None else f"refused by {action.reject_code}"
        for line in textwrap.wrap(f"{action.action} {action.symbol} {verdict}: {figures}", 100, subsequent_indent="  "):
            typer.echo(line)
        for fill in action.fills:
            typer.echo(
                f"  {fill.side} {fill.size} at {fill.price} ({fill.price_source}, {fill.price_age_ms} ms old)\n"
                f"    notional {fill.notional} USD, fee {fill.fee} USD, realized {fill.realized} USD"
            )


def _answer(response: Any) -> str | None:
    return response["answer"]["action"] if response and "answer" in response else None
