"""`clash pipeline …`: the pipeline graph as a file: its schema, whether it is valid, what the compiler makes of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clash_pipeline.cli import pipeline_latest
from clash_pipeline.cli.options import AsJson
from clash_pipeline.cli.output import Exit, one_line_errors, print_json, table
from clash_pipeline.cli.pipeline_files import content_of, listing_of, shown_name

if TYPE_CHECKING:
    from clash_pipeline.clones.compiled import Branch, Compiled
    from clash_pipeline.clones.problems import Problem
    from clash_pipeline.market.read_plan import Dropped, ReadEntry

app = typer.Typer(help="Pipeline graphs: schema, validation, what they compile to.", no_args_is_help=True)
File = Annotated[str, typer.Argument(metavar="FILE", help="Graph file (JSON, version 1); - reads standard input.")]
Registry = Annotated[
    list[Path] | None,
    typer.Option(help="The venue's answer to meta or spotMeta, in place of the market memory; may be repeated."),
]
UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))

app.command()(pipeline_latest.latest)


@app.command()
@one_line_errors
def schema() -> None:
    """The JSON Schema (draft 2020-12) of a pipeline graph, for editors and frontends."""
    from clash_pipeline.clones import graph_schema

    print_json(graph_schema.published())


@app.command()
@one_line_errors
def validate(
    file: File,
    tier: Annotated[
        Literal["starter", "builder", "pro"], typer.Option(help="Capacity tier whose limits count.")
    ] = "starter",
    registry: Registry = None,
    json: AsJson = False,
) -> None:
    """Whether a graph may be published: every problem at once. Exit 0 valid, 1 invalid, 2 unreadable."""
    from clash_pipeline.clones.problems import counted

    problems, compiled = _checked(file, registry, tier)
    if json:
        is_valid = compiled is not None
        digest = compiled.digest if compiled else None
        print_json({"valid": is_valid, "tier": tier, "hash": digest, "problems": [each.wire() for each in problems]})
    elif compiled is not None:
        size = f"{counted(len(compiled.branches), 'prompt')}, {counted(len(compiled.symbols), 'asset')}"
        typer.echo(f"{shown_name(file)} is valid for {tier}: {size}, hash {compiled.digest}")
    else:
        _show_problems(file, problems)
    if problems:
        raise typer.Exit(Exit.UNHEALTHY)


@app.command("compile")
@one_line_errors
def compile_file(file: File, registry: Registry = None, json: AsJson = False) -> None:
    """What a graph compiles to: universe, read plans, budgets and hash, within Pro; exits as validate does."""
    problems, compiled = _checked(file, registry, "pro", candidate_cap=25)
    if compiled is None:
        _show_problems(file, problems)
        raise typer.Exit(Exit.UNHEALTHY)
    if json:
        print_json({"hash": compiled.digest, "compiled": compiled})
        return
    typer.echo(f"hash {compiled.digest}")
    rows = [
        (each.symbol, each.name, each.selection, each.kind, f"{each.category} / {each.subcategory}",
         "yes" if each.can_trade else "no", ", ".join(each.channels))
        for each in compiled.universe
    ]  # fmt: skip
    table("Trade universe", ("symbol", "name", "selected by", "kind", "group", "trades", "memory"), rows)
    for branch in compiled.branches:
        _show_branch(branch)


def _checked(
    file: str, registry: list[Path] | None, tier: str, **limits: Any
) -> "tuple[list[Problem], Compiled | None]":
    """The problems of a graph, and what it compiles to where there are none."""
    from clash_pipeline.clones import validation
    from clash_pipeline.clones.compiler import compile_graph
    from clash_pipeline.clones.entitlements import CAPACITIES

    content = content_of(file)
    try:
        graph = validation.parse(content)
    except validation.GraphInvalid as error:
        listing = listing_of(registry or (), may_be_empty=True)
        if not listing:
            return error.problems, None
        return validation.every_problem(error, content, listing, CAPACITIES[tier], **limits), None
    listing = listing_of(registry or ())
    problems = validation.problems(graph, listing, CAPACITIES[tier], **limits)
    return problems, None if problems else compile_graph(graph, listing)


def _show_problems(file: str, problems: "list[Problem]") -> None:
    from rich.markup import escape

    rows = [(escape(each.pointer or "/"), each.code, escape(each.message)) for each in problems]
    word = "problem" if len(rows) == 1 else "problems"
    table(f"{shown_name(file)} has {len(rows)} {word}", ("where", "code", "what"), rows)
    if all(each.is_incomplete for each in problems):
        typer.echo("It is only unfinished: it can be saved as a draft, not published.")


def _show_branch(branch: "Branch") -> None:
    rows = [
        (asset.symbol, asset.selection, len(asset.plan.entries), asset.budget and asset.budget.points,
         asset.budget and asset.budget.tokens, asset.skipped)
        for asset in branch.assets
    ]  # fmt: skip
    total = branch.budget
    budget = f", at most {total.points:,} points and about {total.tokens:,} tokens a round" if total else ""
    columns = ("symbol", "selected by", "reads>", "points>", "tokens>", "skipped")
    table(f"Strategy {branch.id}, every {branch.cadence_sec} s{budget}", columns, rows)
    reads = [_entry_row(entry) for asset in branch.assets for entry in asset.plan.entries]
    depth = ("back>", "step>", "points>", "inclusion", "block")
    table(f"Reads of {branch.id}", ("trades", "reads", "channel", *depth), reads)
    dropped = [_dropped_row(each) for asset in branch.assets for each in asset.plan.dropped]
    if dropped:
        table(f"Left out of {branch.id}", ("trades", "reads", "channel", "reason", "block"), dropped)


def _entry_row(entry: "ReadEntry") -> tuple[object, ...]:
    subject = entry.market or " ".join(filter(None, (entry.scope, entry.subject))) or entry.context_symbol
    step = _span(entry.granularity_sec) if entry.granularity_sec else "sampled"
    channel = f"{entry.source}.{entry.channel}"
    return (
        entry.symbol, subject, channel, _span(entry.lookback_sec), step, entry.points, entry.inclusion,
        entry.block or None,
    )  # fmt: skip


def _dropped_row(dropped: "Dropped") -> tuple[object, ...]:
    channel = f"{dropped.source}.{dropped.channel}"
    return dropped.symbol, dropped.context_symbol, channel, dropped.reason.replace("_", " "), dropped.block or None


def _span(seconds: int) -> str:
    """A length of time in its largest whole unit."""
    size, unit = next(((size, unit) for size, unit in UNITS if seconds % size == 0), (1, "s"))
    return f"{seconds // size}{unit}"
