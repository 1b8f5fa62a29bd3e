"""`clash clones …`: create a clone with its first version and sandbox account, list clones, show one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clash_pipeline.cli.ids import CloneId
from clash_pipeline.cli.output import fail, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.services import Services

app = typer.Typer(help="Clones: who trades, by which graph.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
EngineOption = Annotated[
    Literal["hold", "rules"] | None, typer.Option(help="Who decides; the setting CLASH_ENGINE without it.")
]
GRAPH_BYTES = 2_000_000


@app.command()
@one_line_errors
def create(
    name: Annotated[str, typer.Argument(help="Private name of the clone.")],
    engine: EngineOption = None,
    graph: Annotated[Path | None, typer.Option(help="Graph file (JSON, version 1).")] = None,
    symbols: Annotated[str, typer.Option(help="Comma-separated assets of a simple graph.")] = "BTC",
    cadence: Annotated[int | None, typer.Option(help="Seconds between decisions of a simple graph.")] = None,
    json: AsJson = False,
) -> None:
    """Create a clone, publish its graph, open its sandbox account and let it trade."""
    with _services() as built:
        content = _graph_file(graph) if graph else _simple(symbols, cadence or built.settings.default_cadence_sec)
        made = _create(built, name, engine or built.settings.engine, content)
    if json:
        print_json(made)
    else:
        typer.echo(
            f"clone {made['clone_id']} ({name}) trades {', '.join(made['symbols'])} by {made['engine']} "
            f"in sandbox account {made['account_id']}"
        )


@app.command("list")
@one_line_errors
def list_clones(json: AsJson = False) -> None:
    """Every clone, by id."""
    from clash_pipeline.clones import clones

    with _services() as built, built.clash.read() as connection:
        found = clones.every(connection)
    if json:
        print_json(found)
    else:
        rows = [
            (item.id, item.name, item.owner, item.engine, item.version, _trading(item.is_trading)) for item in found
        ]
        table("Clones", ("id>", "name", "owner", "engine", "version>", "trading"), rows)


@app.command()
@one_line_errors
def show(clone_id: CloneId, json: AsJson = False) -> None:
    """One clone: its version, assets and read plans, its entitlement and its accounts."""
    with _services() as built:
        view = _view(built, clone_id)
    if json:
        print_json(view)
        return
    clone = view["clone"]
    typer.echo(f"clone {clone.id} {clone.name}: {clone.engine}, {_trading(clone.is_trading)}, version {clone.version}")
    typer.echo(f"entitlement {view['entitlement']}, accounts {', '.join(map(str, view['account_ids'])) or 'none'}")
    for branch in view["branches"]:
        rows = [
            (
                asset["symbol"],
                asset["selection"],
                asset["reads"],
                asset["max_points"],
                asset["dropped"],
                asset["skipped"],
            )
            for asset in branch["assets"]
        ]
        title = f"Branch {branch['id']}, every {branch['cadence_sec']} s"
        table(title, ("symbol", "selected by", "reads>", "points>", "dropped>", "skipped"), rows)


@app.command()
@one_line_errors
def trading(clone_id: CloneId, state: Annotated[Literal["on", "off"], typer.Argument(help="on or off.")]) -> None:
    """Turn a clone's trading on or off."""
    from clash_pipeline.clones import clones

    with _services() as built:
        clones.set_trading(built.clash, clone_id, state == "on", now_ms=built.clock.now_ms())
    typer.echo(f"clone {clone_id}: trading {state}")


def _create(built: "Services", name: str, engine: Literal["hold", "rules"], content: Any) -> dict[str, Any]:
    """All checks come before the first write, so that a bad graph leaves no clone behind."""
    from clash_pipeline.clones import clones, validation
    from clash_pipeline.clones.entitlements import MOCK_STARTER
    from clash_pipeline.market import listing
    from clash_pipeline.prop import accounts, policy

    with built.market.read() as connection:
        listed = listing.read(connection)
    if not listed:
        fail("the registry is empty: run `clash ingest` first, so that symbols can be checked")
    problems = validation.problems(validation.parse(content), listed, MOCK_STARTER.capacity)
    if problems:
        raise validation.GraphInvalid(problems)
    now_ms = built.clock.now_ms()
    clone_id = clones.create(built.clash, name, engine=engine, now_ms=now_ms)
    clones.save_draft(built.clash, clone_id, content, listed, now_ms=now_ms)
    version = clones.publish(built.clash, clone_id, listed, now_ms=now_ms)
    account_id = accounts.open_sandbox(
        built.clash,
        clone_id,
        policy.sandbox(built.settings),
        start_balance_usd=built.settings.start_balance_usd,
        now_ms=now_ms,
    )
    clones.set_trading(built.clash, clone_id, True, now_ms=now_ms)
    return {
        "clone_id": clone_id,
        "name": name,
        "engine": engine,
        "version": version.number,
        "compiled_hash": version.compiled_hash,
        "symbols": list(version.compiled.symbols),
        "account_id": account_id,
    }


def _view(built: "Services", clone_id: int) -> dict[str, Any]:
    from clash_pipeline.clones import clones, entitlements
    from clash_pipeline.prop import accounts

    with built.clash.read() as connection:
        clone = clones.get(connection, clone_id)
        version = clones.active_version(connection, clone_id)
        granted = entitlements.effective(connection, clone_id)
        ids = [account.id for account in accounts.of_clone(connection, clone_id)]
    branches = version.compiled.branches if version else ()
    return {
        "clone": clone,
        "entitlement": f"{'mock ' if granted.is_mock else ''}{granted.capacity.name}, model tier {granted.model_tier}",
        "account_ids": ids,
        "compiled_hash": version.compiled_hash if version else None,
        "branches": [
            {
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
            for branch in branches
        ],
    }


def _simple(symbols: str, cadence_sec: int) -> Any:
    from clash_pipeline.clones.graph import simple_graph

    return simple_graph(
        tuple(filter(None, (part.strip() for part in symbols.split(",")))), cadence_sec=cadence_sec
    ).wire()


def _graph_file(path: Path) -> Any:
    import json

    try:
        content = path.read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    if len(content) > GRAPH_BYTES:
        fail(f"{path} has {len(content)} bytes, a graph at most {GRAPH_BYTES}")
    try:
        return json.loads(content)
    except ValueError as error:
        fail(f"{path} is not JSON: {error}")


@contextmanager
def _services() -> "Iterator[Services]":
    from pydantic import ValidationError

    from clash_pipeline import services
    from clash_pipeline.clones.clones import CloneError
    from clash_pipeline.clones.validation import GraphInvalid

    built = services.build()
    try:
        yield built
    except GraphInvalid as error:
        fail("; ".join(f"{item.pointer or '/'} {item.code}: {item.message}" for item in error.problems))
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"{'/'.join(map(str, first['loc']))}: {first['msg']}")
    except CloneError as error:
        fail(str(error))
    finally:
        built.close()


def _trading(is_trading: bool) -> str:
    return "trading" if is_trading else "not trading"
