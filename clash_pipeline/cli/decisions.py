"""`clash decisions …`: run what is due once, list runs, show one whole, replay it, dry-run a draft."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from clash_pipeline.cli import decision_views
from clash_pipeline.cli.ids import OneAccount, OneClone, RunId, id_option
from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import Exit, fail, one_line_errors, print_json, print_rows

if TYPE_CHECKING:
    from clash_pipeline.services import Services

app = typer.Typer(help="Decision runs: prepare, decide, apply.", no_args_is_help=True)
EngineName = Literal["hold", "rules", "model"]


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
        try:
            report = waves.run_once(built, clone_id=clone_id, account_id=account_id, force=force)
        except waves.ForcedRefused as error:
            fail(str(error))
    if json:
        print_json({"due": report.due, "interrupted": report.interrupted, "runs": report.ended})
    else:
        decision_views.show_wave(report.due, report.ended)
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
    print_rows(
        found, "Decision runs",
        ("run>", "account>", "branch", "symbol", "tick", "engine", "state", "reason", "effect"),
        lambda run: (
            run["id"], run["account_id"], run["branch"], run["symbol"], iso(run["tick"]), run["engine"], run["state"],
            run["reason"], run["effective"],
        ),
        as_json=json,
    )  # fmt: skip


@app.command()
@one_line_errors
def show(run_id: RunId, json: AsJson = False) -> None:
    """One run: what it read, what it answered, what the gates said, what happened."""
    from clash_pipeline.cli.run_view import show_run
    from clash_pipeline.decisions import views
    from clash_pipeline.decisions.views import RunUnknown

    with _services() as built:
        try:
            view = views.run_view(built.clash, built.store, run_id)
        except RunUnknown as error:
            fail(str(error))
    print_json(view) if json else show_run(view)


@app.command("packet")
@one_line_errors
def show_packet(
    run_id: RunId,
    told: Annotated[bool, typer.Option("--prompt", help="The prompt as it is sent, word for word.")] = False,
    json: AsJson = False,
) -> None:
    """What a run was given: what it read and how old that was, what was missing, what was thinned, what it costs."""
    from clash_pipeline.cli import packet_views
    from clash_pipeline.decisions import views
    from clash_pipeline.decisions.views import RunUnknown

    with _services() as built:
        try:
            packet, prompt = views.packet_of(built.clash, built.store, run_id)
        except RunUnknown as error:
            fail(str(error))
    if json:
        print_json(prompt if told else packet)
    elif told:
        typer.echo(f"{prompt.system}\n{prompt.user}", nl=False)
    else:
        packet_views.show_packet(packet)


@app.command()
@one_line_errors
def replay(run_id: RunId, json: AsJson = False) -> None:
    """Fill a run again from what it stored. Exit 0 the same, 1 something differs, 2 it cannot be replayed."""
    from clash_pipeline.decisions.replaying import replayer
    from clash_pipeline.decisions.views import RunUnknown

    with _services() as built, replayer(built.clash, built.store) as replaying:
        try:
            found = replaying.replay(run_id)
        except RunUnknown as error:
            fail(str(error))
    print_json(found) if json else decision_views.show_replay(found)
    raise typer.Exit({"same": Exit.OK, "differs": Exit.UNHEALTHY, "impossible": Exit.USAGE}[found.verdict])


@app.command("dry-run")
@one_line_errors
def dry_run(
    clone_id: Annotated[int, id_option("--clone-id", "Whose draft, entitlement and engine.")],
    graph: Annotated[Path | None, typer.Option(help="Another graph than the stored draft.")] = None,
    engine: Annotated[EngineName | None, typer.Option(help="Another engine than the clone's.")] = None,
    json: AsJson = False,
) -> None:
    """What a draft would do now, against a scratch account: packets, answers, gates, fills. No account changes."""
    from clash_pipeline.cli.clone_services import clone_services
    from clash_pipeline.clones import reading
    from clash_pipeline.decisions import dry_run as dry

    with clone_services() as built:
        chosen = None if graph is None else reading.read(_content(graph))
        found = dry.dry_run(built, clone_id, graph=chosen, engine=engine)
    print_json(found) if json else decision_views.show_dry_run(found)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}")


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
