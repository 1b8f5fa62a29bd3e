"""`clash decisions …`: run what is due once, list runs, show one run whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clash_pipeline.cli.ids import OneAccount, OneClone, RunId
from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.services import Services

app = typer.Typer(help="Decision runs: prepare, decide, apply.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command("run-once")
@one_line_errors
def run_once(
    clone_id: OneClone = None,
    account_id: OneAccount = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ignore the cadence; never entitlement or account state.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Run one wave: everything that is due, through packet, engine, gates, fill and ledger. Exit 1 if a run failed."""
    from clash_pipeline.decisions import waves

    if force and clone_id is None and account_id is None:
        fail("--force needs --clone-id or --account-id")
    with _services() as built:
        report = waves.run_once(built, clone_id=clone_id, account_id=account_id, force=force)
    if json:
        print_json({"due": report.due, "interrupted": report.interrupted, "runs": report.ended})
    else:
        _show_wave(report.due, report.ended)
    if report.count("failed"):
        raise typer.Exit(Exit.UNHEALTHY)


@app.command("list")
@one_line_errors
def list_runs(
    clone_id: OneClone = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, newest first.")] = 20,
    json: AsJson = False,
) -> None:
    """The newest runs."""
    from clash_pipeline.clock import iso
    from clash_pipeline.decisions import views

    with _services() as built, built.clash.read() as connection:
        found = views.latest_runs(connection, clone_id=clone_id, limit=limit)
    if json:
        print_json(found)
    else:
        columns = ("run>", "account>", "branch", "symbol", "tick", "engine", "state", "reason", "effect")
        rows = [
            (
                run["id"], run["account_id"], run["branch"], run["symbol"], iso(run["tick"]), run["engine"],
                run["state"], run["reason"], run["effective"],
            )
            for run in found
        ]  # fmt: skip
        table("Decision runs", columns, rows)


@app.command()
@one_line_errors
def show(run_id: RunId, json: AsJson = False) -> None:
    """One run: what it read, what it answered, what the gates said, what happened."""
    from clash_pipeline.decisions import views
    from clash_pipeline.decisions.views import RunUnknown

    with _services() as built:
        try:
            view = views.run_view(built.clash, built.store, run_id)
        except RunUnknown as error:
            fail(str(error))
    print_json(view) if json else _show_run(view)


def _show_wave(due: int, ended: Any) -> None:
    if not due:
        typer.echo("nothing is due")
        return
    columns = ("run>", "account>", "clone>", "branch", "symbol", "state", "reason", "effect")
    rows = [
        (run.run_id, run.account_id, run.clone_id, run.branch, run.symbol, run.state, run.reason, run.effective)
        for run in ended
    ]
    table(f"{len(rows)} of {due} runs ended", columns, rows)


def _show_run(view: dict[str, Any]) -> None:
    from clash_pipeline.clock import iso

    run, packet, response = view["run"], view["packet"], view["response"]
    typer.echo(
        f"run {run['id']}: clone {run['clone_id']}, account {run['account_id']}, {run['branch']} × {run['symbol']}"
    )
    typer.echo(f"tick {iso(run['tick'])} ({run['kind']}), {run['state']}: {run['reason']}, effect {run['effective']}")
    if packet and "budget" in packet:
        rows = [
            (
                place, section["source"], section["channel"], section["of"], len(section["rows"]), section["found"],
                section["age_ms"], section.get("left_out") or section.get("problem"),
            )
            for place in ("own", "cross_asset", "polymarket", "defillama")
            for section in packet[place]
        ]  # fmt: skip
        table("Read", ("part", "source", "channel", "of", "rows>", "found>", "age ms>", "problem"), rows)
    if response and "answer" in response:
        answer = response["answer"]
        typer.echo(f"{response['engine']} answered {answer['action']}: {answer.get('rationale', '')}")
    for action in view["actions"]:
        said = action.reject_code or ", ".join(f"{fill.side} {fill.size} at {fill.price}" for fill in action.fills)
        typer.echo(f"{action.action} {action.symbol}: {action.status}, {said}")
    stored = [(kind, item["key"], item["sha256"][:12]) for kind, item in view["artifacts"].items()]
    table("Artifacts", ("kind", "key", "sha256"), stored)


@contextmanager
def _services() -> "Iterator[Services]":
    from clash_pipeline import services
    from clash_pipeline.archive.stores import StoreError
    from clash_pipeline.clones.clones import CloneError
    from clash_pipeline.prop.accounts import AccountUnknown

    built = services.build()
    try:
        yield built
    except (CloneError, AccountUnknown) as error:
        fail(str(error))
    except StoreError as error:
        fail(str(error), Exit.UNAVAILABLE)
    finally:
        built.close()
