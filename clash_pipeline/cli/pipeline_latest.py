"""`clash pipeline latest`: what each block of a graph would read now."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clash_pipeline.cli.output import fail, one_line_errors, print_json, table
from clash_pipeline.clock import parse_time

if TYPE_CHECKING:
    from clash_pipeline.clones.graph import Graph
    from clash_pipeline.clones.latest import Latest, Read
    from clash_pipeline.market.read_plan import Dropped, ReadEntry

READ_BYTES = 4_000_000
"""From standard input; a graph has far fewer, and what has more is refused as too large."""
UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))
REASONS = {
    "channel_unsupported": "the asset has no such channel",
    "context_unknown": "the venue lists no such asset",
    "context_delisted": "the venue has delisted the asset",
    "no_asset_selected": "no asset is selected yet, and the block names none",
}


@one_line_errors
def latest(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A graph as JSON, finished or not; - for standard input.")
    ],
    node: Annotated[str | None, typer.Option("--node", metavar="ID", help="Only this data_stream node.")] = None,
    block: Annotated[str | None, typer.Option("--block", metavar="ID", help="Only this block.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="As it was known then; default: now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")] = False,
) -> None:
    """Show what each block of a graph would read now: how much, how old, what is missing and why."""
    graph = _graph(file)
    _require(graph, node, block)
    found = _latest(graph, node, block, as_of)
    if as_json:
        print_json(found)
        return
    if not graph.streams:
        typer.echo("the graph has no data_stream yet")
        return
    columns = ("node", "block", "trades", "reads", "depth", "rows>", "age>", "newest", "problem")
    table(f"{len(found.reads)} reads", columns, [_row(read) for read in found.reads])
    if found.dropped:
        left = [(each.node, *_dropped_row(each.dropped)) for each in found.dropped]
        table(f"{len(left)} reads left out", ("node", "block", "trades", "reads", "reason"), left)


def _latest(graph: "Graph", node: str | None, block: str | None, as_of: str | None) -> "Latest":
    from clash_pipeline import services
    from clash_pipeline.clones import latest as memory
    from clash_pipeline.market import listing

    built = services.build()
    try:
        moment = built.clock.now_ms() if as_of is None else parse_time(as_of)
    except ValueError as error:
        fail(f"--as-of: {error}")
    try:
        with built.market.read() as connection:
            listed = listing.read(connection)
            if not listed:
                fail("the market memory knows no assets yet: clash ingest fetches the registry first")
            return memory.latest(connection, graph, listed, moment, node=node, block=block)
    finally:
        built.close()


def _graph(file: Path) -> "Graph":
    from clash_pipeline.clones import reading
    from clash_pipeline.clones.problems import GraphInvalid

    try:
        return reading.read(sys.stdin.buffer.read(READ_BYTES) if str(file) == "-" else file.read_bytes())
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except GraphInvalid as error:
        fail(f"{file}: {error}")


def _require(graph: "Graph", node: str | None, block: str | None) -> None:
    streams = {stream.id: [each.id for each in stream.config.blocks] for stream in graph.streams}
    if node is not None and node not in streams:
        fail(f"--node {node}: no such data_stream node; there are {', '.join(sorted(streams)) or 'none'}")
    blocks = [each for stream, ids in streams.items() if node in (None, stream) for each in ids]
    if block is not None and block not in blocks:
        fail(f"--block {block}: no such block; there are {', '.join(sorted(blocks)) or 'none'}")


def _row(read: "Read") -> tuple[object, ...]:
    from rich.markup import escape

    return (
        read.node, read.block or None, read.symbol or None, escape(_subject(read.entry)), _depth(read.entry),
        f"{read.found} of {read.expected}", _age(read.age_ms), escape(_newest(read)),
        None if read.problem is None else _problem(read),
    )  # fmt: skip


def _problem(read: "Read") -> str:
    said = f"{read.problem}: {read.reason}" if read.reason else str(read.problem)
    return said.replace("_", " ")


def _dropped_row(dropped: "Dropped") -> tuple[object, ...]:
    reads = f"{dropped.context_symbol} {dropped.source} {dropped.channel}".strip()
    reason = REASONS.get(dropped.reason, dropped.reason.replace("_", " "))
    return dropped.block or None, dropped.symbol or None, reads, reason


def _subject(entry: "ReadEntry") -> str:
    name = entry.market or " ".join(filter(None, (entry.scope, entry.subject))) or entry.context_symbol
    return f"{name} {entry.channel}"


def _depth(entry: "ReadEntry") -> str:
    """`1d by 5m`: lookback and granularity; `newest 12 of 6h` where rows are read as they were sampled."""
    if entry.granularity_sec:
        return f"{_span(entry.lookback_sec)} by {_span(entry.granularity_sec)}"
    return f"newest {entry.points} of {_span(entry.lookback_sec)}"


def _span(seconds: int) -> str:
    for unit, size in UNITS:
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _age(age_ms: int | None) -> str | None:
    if age_ms is None:
        return None
    seconds = max(age_ms, 0) // 1_000
    hours, minutes = seconds // 3_600, seconds % 3_600 // 60
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {seconds % 60:02}s"


def _newest(read: "Read") -> str:
    """The newest row as `name value`, without its time and what is unknown."""
    shown = {name: value for name, value in (read.newest or {}).items() if name != "t" and value is not None}
    return " · ".join(f"{name} {_value(value)}" for name, value in shown.items())


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {price}" for name, price in value.items())
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
