"""How decision runs look on a terminal: a wave, one run whole, a replay, a dry run."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from clash_pipeline.cli.output import table

if TYPE_CHECKING:
    from clash_pipeline.decisions.dry_run import DryRun
    from clash_pipeline.decisions.replaying import Replay
    from clash_pipeline.prop.proposal import ActionResult

PARTS = ("own", "cross_asset", "polymarket", "defillama")


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


def show_run(view: Mapping[str, Any]) -> None:
    """One run: what it read, what it was told, what it answered, what the gates said, what happened."""
    from clash_pipeline.clock import iso

    run = view["run"]
    typer.echo(
        f"run {run['id']}: clone {run['clone_id']}, account {run['account_id']}, {run['branch']} × {run['symbol']}"
    )
    typer.echo(f"tick {iso(run['tick'])} ({run['kind']}), {run['state']}: {run['reason']}, effect {run['effective']}")
    times = [(name, run[f"{name}_at"]) for name in ("created", "prepared", "decided", "finished")]
    said = ", ".join(f"{name} {iso(at)}" for name, at in times if at is not None)
    typer.echo(f"{said}; attempt {run['attempts']} by {run['claimed_by']}")
    if run["fill_at"] is not None:
        typer.echo(f"filled at the common instant {iso(run['fill_at'])}")
    _show_packet(view["packet"])
    _show_prompt(view["prompt"])
    _show_answer(view["response"], view["trace"])
    _show_actions(view["actions"])
    stored = [(kind, item["key"], item["sha256"][:12]) for kind, item in view["artifacts"].items()]
    table("Artifacts", ("kind", "key", "sha256"), stored)


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
        _show_actions(run.actions)
    typer.echo(f"scratch account: {found.start_balance} → {found.balance} USD; no prop account was touched")


def _show_packet(packet: Any) -> None:
    if not packet:
        return
    if "unreadable" in packet:
        typer.echo(f"packet: {packet['unreadable']}")
        return
    rows = [
        (
            place, section["source"], section["channel"], section["of"], len(section["rows"]), section["found"],
            section["age_ms"], section.get("left_out") or section.get("problem"),
        )
        for place in PARTS
        for section in packet.get(place, ())
    ]  # fmt: skip
    table("Read", ("part", "source", "channel", "of", "rows>", "found>", "age ms>", "problem"), rows)


def _show_prompt(prompt: Any) -> None:
    if prompt and "estimated_tokens" in prompt:
        typer.echo(f"told: about {prompt['estimated_tokens']} tokens, {len(prompt['user'])} characters of context")


def _show_answer(response: Any, trace: Any) -> None:
    if response and "answer" in response:
        answer = response["answer"]
        terms = ", ".join(
            f"{name} {answer[name]}"
            for name in ("sizePct", "leverage", "stopLossPct", "takeProfitPct", "confidence")
            if answer.get(name) is not None
        )
        typer.echo(f"{response['engine']} answered {answer['action']} ({terms}): {answer.get('rationale', '')}")
    elif response:
        typer.echo(f"response: {response.get('unreadable', 'unreadable')}")
    if trace:
        typer.echo("the model's own text is in the trace artifact")


def _show_actions(actions: "Iterable[ActionResult]") -> None:
    for action in actions:
        figures = ", ".join(f"{name} {value}" for name, value in action.figures.items() if value is not None)
        verdict = "passed the gates" if action.reject_code is None else f"refused by {action.reject_code}"
        typer.echo(f"{action.action} {action.symbol} {verdict}: {figures}")
        for fill in action.fills:
            typer.echo(
                f"  {fill.side} {fill.size} at {fill.price} ({fill.price_source}, {fill.price_age_ms} ms old), "
                f"notional {fill.notional}, fee {fill.fee}, realized {fill.realized} USD"
            )


def _answer(response: Any) -> str | None:
    return response["answer"]["action"] if response and "answer" in response else None
