"""`clash ingestion`: how every channel is doing, for people, programs and monitors."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from clash_pipeline.cli.output import Exit, one_line_errors, print_json, table

if TYPE_CHECKING:
    from clash_pipeline.market.health import ChannelHealth

app = typer.Typer(help="Health of the market memory: what came in, how fresh it is, what was refused.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]

COLUMNS = (
    "channel", "status", "age s>", "limit s>", "rows>", "rows/h>", "coverage>", "lag p50/p99 ms>", "refused>", "gaps>"
)  # fmt: skip
MARKS = {"ok": "[green]ok[/]", "running": "[cyan]running[/]", "missing": "[red]missing[/]"}
ERROR_SHOWN = 110


@app.command()
@one_line_errors
def status(as_json: JsonOption = False) -> None:
    """Show every source and channel.

    `age` counts from the last good cycle (of a stream: the last one with rows), `rows` are of the last cycle, `rows/h`
    of the last hour, `refused` are the messages rejected today, `gaps` the ranges of minutes that wait
    for repair. A channel is stale once its age passes the limit.
    """
    found = _health()
    channels = found.channels
    if found.unlisted:
        typer.echo(found.unlisted_sentence, err=True)
    if as_json:
        print_json([{**asdict(channel), "name": channel.name} for channel in channels])
        return
    table("Ingestion", COLUMNS, [_row(channel) for channel in channels])
    for channel in channels:
        if channel.last_error is not None:
            typer.echo(f"last error of {channel.name}: {channel.last_error[:ERROR_SHOWN]}")


@app.command()
@one_line_errors
def check(as_json: JsonOption = False) -> None:
    """Exit 0 when every channel is healthy; else name each bad one, with value and limit, and exit 1."""
    from clash_pipeline.market import health

    found = _health()
    bad = health.bad(found.channels)
    is_healthy = not bad and not found.unlisted
    if as_json:
        shown = [{"name": channel.name, "status": channel.status, "problem": channel.sentence} for channel in bad]
        print_json(
            {"healthy": is_healthy, "channels": len(found.channels), "bad": shown, "unlisted_symbols": found.unlisted}
        )
    else:
        problems = [channel.sentence for channel in bad] + ([found.unlisted_sentence] if found.unlisted else [])
        for problem in problems:
            typer.echo(problem, err=True)
        if is_healthy:
            typer.echo(f"{len(found.channels)} channels are healthy")
    if not is_healthy:
        raise typer.Exit(Exit.UNHEALTHY)


class _Health(NamedTuple):
    """Every channel, and the followed symbols that the registry does not list (none while it is empty)."""

    channels: "list[ChannelHealth]"
    unlisted: list[str]

    @property
    def unlisted_sentence(self) -> str:
        """What to mend."""
        return f"CLASH_SYMBOLS names {', '.join(self.unlisted)}: the registry lists no such symbol, so nothing comes in"


def _health() -> _Health:
    from clash_pipeline import services
    from clash_pipeline.market import health
    from clash_pipeline.market.hyperliquid import registry

    built = services.build()
    now_ms = built.clock.now_ms()
    with built.market.read() as connection:
        listed = {asset.symbol for asset in registry.assets(connection) if not asset.is_delisted}
        unlisted = sorted((built.settings.followed_symbols or frozenset()) - listed) if listed else []
        return _Health(health.read(connection, built.settings, now_ms), unlisted)


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
        channel.open_gaps,
    )
