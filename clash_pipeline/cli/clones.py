"""`clash clones …`: create clones, edit and publish their graphs, choose who decides, let them trade, grant."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clash_pipeline.cli import clone_grants
from clash_pipeline.cli.clone_services import clone_services
from clash_pipeline.cli.ids import CloneId
from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import fail, one_line_errors, print_json, print_rows, table
from clash_pipeline.cli.pipeline_files import content_of

if TYPE_CHECKING:
    from clash_pipeline.services import Services

GRAPH = "Its graph"
TOGGLES = "Who decides"
GRANTS = "What it may use"

app = typer.Typer(help="Clones: who trades, by which graph.", no_args_is_help=True)
EngineName = Literal["hold", "rules", "model"]
EngineOption = Annotated[EngineName | None, typer.Option(help="Who decides; the setting CLASH_ENGINE without it.")]
GraphFile = Annotated[str | None, typer.Argument(help="Graph file (JSON, version 1); - reads standard input.")]


@app.command()
@one_line_errors
def create(
    name: Annotated[str, typer.Argument(help="Private name of the clone.")],
    engine: EngineOption = None,
    graph: Annotated[str | None, typer.Option(help="Graph file (JSON, version 1); - reads standard input.")] = None,
    symbols: Annotated[str, typer.Option(help="Comma-separated assets of a simple graph.")] = "BTC",
    cadence: Annotated[int | None, typer.Option(help="Seconds between decisions of a simple graph.")] = None,
    owner: Annotated[str, typer.Option(help="Whose clone it is.")] = "operator",
    empty: Annotated[bool, typer.Option("--empty", help="Only the clone: no graph, no account, no trading.")] = False,
    json: AsJson = False,
) -> None:
    """Create a clone, publish its graph, open its sandbox account and let it trade: all of it or nothing."""
    from clash_pipeline import clone_desk
    from clash_pipeline.clones import clones

    with clone_services() as built:
        chosen = engine or built.settings.engine
        if empty:
            made_id = clones.create(built.clash, name, engine=chosen, owner=owner, now_ms=built.clock.now_ms())
            print_json({"clone_id": made_id}) if json else typer.echo(f"clone {made_id} ({name}) has no graph yet")
            return
        content = content_of(graph) if graph else _simple(symbols, cadence or built.settings.default_cadence_sec)
        made = clone_desk.create(built, name, content, engine=chosen, owner=owner)
    if json:
        print_json(made)
    else:
        typer.echo(
            f"clone {made.clone_id} ({made.name}) trades {', '.join(made.symbols)} by {made.engine} "
            f"in sandbox account {made.account_id}"
        )


@app.command("list")
@one_line_errors
def list_clones(
    owner: Annotated[str | None, typer.Option(help="Only the clones of this owner.")] = None, json: AsJson = False
) -> None:
    """Every clone, by id."""
    from clash_pipeline.clones import clones

    with clone_services() as built, built.clash.read() as connection:
        found = clones.every(connection, owner=owner)
    print_rows(
        found, "Clones", ("id>", "name", "owner", "engine", "tier>", "version>", "trading"),
        lambda one: (
            one.id, one.name, one.owner, one.engine, one.model_tier, one.version, _trading(one.is_trading)
        ),
        as_json=json,
    )  # fmt: skip


@app.command()
@one_line_errors
def show(clone_id: CloneId, json: AsJson = False) -> None:
    """One clone: its state, version, assets and read plans, its entitlement, holds and accounts."""
    with clone_services() as built:
        view = _view(built, clone_id)
    if json:
        print_json(view)
        return
    clone = view["clone"]
    typer.echo(
        f"clone {clone.id} {clone.name}: {view['product_state']}, {clone.engine}, {_trading(clone.is_trading)}, "
        f"version {clone.version}"
    )
    typer.echo(f"entitlement {view['entitlement']}, accounts {', '.join(map(str, view['account_ids'])) or 'none'}")
    for hold in view["holds"]:
        typer.echo(f"held by {hold.reason} {hold.ref}: toggles and publication wait")
    for branch in view["branches"]:
        columns = ("symbol", "selection", "reads", "max_points", "dropped", "skipped")
        rows = [tuple(asset[column] for column in columns) for asset in branch["assets"]]
        title = f"Branch {branch['id']}, every {branch['cadence_sec']} s"
        table(title, ("symbol", "selected by", "reads>", "points>", "dropped>", "skipped"), rows)


@app.command()
@one_line_errors
def rename(clone_id: CloneId, name: Annotated[str, typer.Argument(help="New private name.")]) -> None:
    """Give a clone another private name."""
    from clash_pipeline.clones import clones

    with clone_services() as built:
        stored = clones.rename(built.clash, clone_id, name, now_ms=built.clock.now_ms())
    typer.echo(f"clone {clone_id}: {stored}")


@app.command()
@one_line_errors
def sandbox(clone_id: CloneId) -> None:
    """Open the clone's sandbox account, or name the one that runs."""
    from clash_pipeline import clone_desk

    with clone_services() as built:
        typer.echo(f"clone {clone_id}: sandbox account {clone_desk.open_sandbox(built, clone_id)}")


# graph


@app.command(rich_help_panel=GRAPH)
@one_line_errors
def draft(clone_id: CloneId, graph: GraphFile = None) -> None:
    """Save a graph as the draft, or print the draft as it was saved."""
    from clash_pipeline import clone_desk
    from clash_pipeline.clones import clones, drafts

    with clone_services() as built:
        if graph is not None:
            clone_desk.save_draft(built, clone_id, content_of(graph))
        with built.clash.read() as connection:
            clones.get(connection, clone_id)
            found = drafts.of(connection, clone_id)
    if graph is not None and found is not None:
        typer.echo(f"clone {clone_id}: draft {found.digest[:12]} saved")
    elif found is None:
        fail(f"clone {clone_id} has no draft")
    else:
        print_json(found.content)


@app.command(rich_help_panel=GRAPH)
@one_line_errors
def publish(clone_id: CloneId, graph: GraphFile = None) -> None:
    """Make the draft, or a graph file as the new draft, the active version."""
    from clash_pipeline import clone_desk

    with clone_services() as built:
        if graph is not None:
            clone_desk.save_draft(built, clone_id, content_of(graph))
        version = clone_desk.publish(built, clone_id)
    typer.echo(
        f"clone {clone_id}: version {version.number} ({version.compiled_hash[:12]}) trades "
        f"{', '.join(version.compiled.symbols)}"
    )


@app.command(rich_help_panel=GRAPH)
@one_line_errors
def versions(
    clone_id: CloneId,
    number: Annotated[int | None, typer.Argument(min=1, help="Print the graph of this version.")] = None,
    json: AsJson = False,
) -> None:
    """The published versions, newest first; with a number the graph as it was published."""
    from clash_pipeline.clock import iso
    from clash_pipeline.clones import clones
    from clash_pipeline.clones import versions as stored

    with clone_services() as built, built.clash.read() as connection:
        clones.get(connection, clone_id)
        if number is not None:
            print_json(stored.graph_of(connection, stored.numbered(connection, clone_id, number).id))
            return
        found = stored.of_clone(connection, clone_id)
    print_rows(
        found, f"Versions of clone {clone_id}", ("number>", "hash", "", "published", "by"),
        lambda one: (
            one.number, one.compiled_hash[:12], "active" if one.is_active else None, iso(one.published_at),
            one.published_by,
        ),
        as_json=json,
    )  # fmt: skip


# who decides


@app.command(rich_help_panel=TOGGLES)
@one_line_errors
def trading(clone_id: CloneId, state: Annotated[Literal["on", "off"], typer.Argument(help="on or off.")]) -> None:
    """Turn a clone's trading on or off."""
    from clash_pipeline.clones import clones

    with clone_services() as built:
        clones.set_trading(built.clash, clone_id, state == "on", now_ms=built.clock.now_ms())
    typer.echo(f"clone {clone_id}: trading {state}")


@app.command(rich_help_panel=TOGGLES)
@one_line_errors
def engine(clone_id: CloneId, name: Annotated[EngineName, typer.Argument(help="Who decides.")]) -> None:
    """Choose who decides from the next run on."""
    from clash_pipeline.clones import clones

    with clone_services() as built:
        clones.set_engine(built.clash, clone_id, name, now_ms=built.clock.now_ms())
    typer.echo(f"clone {clone_id}: engine {name}")


@app.command(rich_help_panel=TOGGLES)
@one_line_errors
def model(
    clone_id: CloneId, tier: Annotated[int, typer.Argument(min=1, max=3, help="1 cheapest to 3 strongest.")]
) -> None:
    """Choose the strength of the model, within the entitlement."""
    from clash_pipeline.clones import clones

    with clone_services() as built:
        clones.set_model_tier(built.clash, clone_id, tier, now_ms=built.clock.now_ms())
    typer.echo(f"clone {clone_id}: model tier {tier}")


app.command(rich_help_panel=GRANTS)(clone_grants.grants)
app.command(rich_help_panel=GRANTS)(clone_grants.grant)
app.command(rich_help_panel=GRANTS)(clone_grants.revoke)


# what is shown and read


def _view(built: "Services", clone_id: int) -> dict[str, Any]:
    from clash_pipeline.arena import product_states
    from clash_pipeline.clones import clones, entitlements, holds
    from clash_pipeline.prop import accounts

    with built.clash.read() as connection:
        clone = clones.get(connection, clone_id)
        version = clones.active_version(connection, clone_id)
        granted = entitlements.effective(connection, clone_id, built.clock.now_ms())
        return {
            "clone": clone,
            "product_state": product_states.of(connection, clone_id),
            "entitlement": clone_grants.sentence(granted),
            "holds": holds.of(connection, clone_id),
            "account_ids": [account.id for account in accounts.of_clone(connection, clone_id)],
            "compiled_hash": version.compiled_hash if version else None,
            "branches": [_branch(branch) for branch in version.compiled.branches] if version else [],
        }


def _branch(branch: Any) -> dict[str, Any]:
    return {
        "id": branch.id,
        "cadence_sec": branch.cadence_sec,
        "assets": [
            {
                "symbol": asset.symbol,
                "selection": asset.selection,
                "skipped": asset.skipped,
                "reads": len(asset.plan.entries),
                "max_points": asset.plan.max_points,
                "dropped": len(asset.plan.dropped),
                "plan_hash": asset.plan.digest,
            }
            for asset in branch.assets
        ],
    }


def _simple(symbols: str, cadence_sec: int) -> Any:
    from pydantic import ValidationError

    from clash_pipeline.clones.graph import simple_graph

    chosen = tuple(filter(None, (part.strip() for part in symbols.split(","))))
    try:
        return simple_graph(chosen, cadence_sec=cadence_sec).wire()
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"{'/'.join(map(str, first['loc']))}: {first['msg']}")


def _trading(is_trading: bool) -> str:
    return "trading" if is_trading else "not trading"
