"""`clash ingestion`: how every channel is doing, for people, programs and monitors."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from clash_pipeline.cli.output import Exit, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.market.health import ChannelHealth

app = typer.Typer(help="Health of the market memory: what came in, how fresh it is, what was refused.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]

COLUMNS = ("channel", "status", "age s>", "limit s>", "rows>", "rows/h>", "coverage>", "lag p50/p99 ms>", "refused>")
MARKS = {"ok": "[green]ok[/]", "running": "[cyan]running[/]", "missing": "[red]missing[/]"}
ERROR_SHOWN = 110


@app.command()
@one_line_errors
def status(as_json: JsonOption = False) -> None:
    """Show every source and channel.

    `age` counts from the last good cycle (of a stream: the last one with rows), `rows` are of the last cycle, `rows/h`
    of the last hour, `refused` are the messages rejected today. A channel is stale once its age passes the limit.
    """
    channels = _health()
    if as_json:
        print_json([{**asdict(channel), "name": channel.name} for channel in channels])
        return
    table("Ingestion", COLUMNS, [_row(channel) for channel in channels])
    for channel in channels:
        if channel.last_error is not None:
            typer.echo(f"last error of {channel.name}: {channel.last_error[:ERROR_SHOWN]}")


@app.command()
@one_line_errors
def check() -> None:
    """Exit 0 when every channel is healthy; else name each bad one, with value and limit, and exit 1."""
    from clash_pipeline.market import health

    channels = _health()
    bad = health.bad(channels)
    for channel in bad:
        typer.echo(channel.sentence, err=True)
    if bad:
        raise typer.Exit(Exit.UNHEALTHY)
    typer.echo(f"{len(channels)} channels are healthy")


def _health() -> "list[ChannelHealth]":
    from clash_pipeline import services
    from clash_pipeline.market import health

    built = services.build()
    now_ms = built.clock.now_ms()
    with built.market.read() as connection:
        return health.read(connection, built.settings, now_ms)


def _row(channel: "ChannelHealth") -> tuple[object, ...]:
    coverage = None if channel.coverage is None else f"{channel.coverage:.1%} of {channel.expected}"
    lag = None if channel.lag_p50_ms is None else f"{channel.lag_p50_ms} / {channel.lag_p99_ms}"
    return (
        channel.name,
        MARKS.get(channel.status, f"[yellow]{channel.status}[/]"),
        channel.age_sec,
        channel.stale_after_sec,
        channel.rows_written,
        channel.rows_per_hour,
        coverage,
        lag,
        channel.rejections,
    )
