"""`clash venue`: the replayed venues on loopback."""

from pathlib import Path
from typing import Annotated

import typer

from clash_pipeline.cli.output import Exit, fail, one_line_errors

app = typer.Typer(help="The replayed venues on loopback: recordings or a synthetic market.")
DEFAULT_PORT = 8799


@app.callback(invoke_without_command=True)
@one_line_errors
def venue(
    recordings: Annotated[Path | None, typer.Option(help="Folder of recorded responses and candles.")] = None,
    synthetic: Annotated[int | None, typer.Option(help="Seed of the synthetic market (default 7).")] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")] = DEFAULT_PORT,
    speed: Annotated[
        float | None, typer.Option(min=0.01, max=100_000, help="Venue seconds per second; without it time is stepped.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Where venue time starts, e.g. 2025-07-23T06:00Z.")] = None,
    faults: Annotated[
        str, typer.Option(help="KIND[.TARGET][=VALUE][@OFFSET][:DURATION][%PERCENT][*COUNT], comma-separated.")
    ] = "",
    symbols: Annotated[int | None, typer.Option(min=1, max=1_000, help="How many perps are listed.")] = None,
    frames: Annotated[int, typer.Option(min=1, max=60, help="Most candle frames of one minute.")] = 4,
    print_env: Annotated[bool, typer.Option("--print-env", help="Print the exports of a client and stop.")] = False,
) -> None:
    """Serve Hyperliquid, Polymarket and DefiLlama in their own wire formats until interrupted."""
    from clash_pipeline.replay.environment import exports

    if print_env:
        typer.echo(exports(f"http://127.0.0.1:{port}"))
        return
    if recordings is not None and synthetic is not None:
        fail("--recordings and --synthetic exclude each other: give one")
    _serve(recordings, 7 if synthetic is None else synthetic, port, speed, start, faults, symbols, frames)


def _serve(
    recordings: Path | None,
    seed: int,
    port: int,
    speed: float | None,
    start: str | None,
    faults: str,
    symbols: int | None,
    frames: int,
) -> None:
    from clash_pipeline.replay.environment import exports
    from clash_pipeline.replay.hosting import listening, server_of, url_of
    from clash_pipeline.replay.opening import OpeningError, open_venue

    try:
        opened_venue = open_venue(
            recordings, seed=seed, start=start, faults=faults, symbols=symbols, most_frames=frames
        )
    except OpeningError as error:
        fail(str(error))
    try:
        opened = listening(port)
    except OSError as error:
        fail(f"port {port} on 127.0.0.1 cannot be taken: {error.strerror}", Exit.UNAVAILABLE)
    typer.echo(exports(url_of(opened)))
    typer.echo(f"# {opened_venue.described(speed)}")
    server_of(opened_venue.venue, recordings=recordings, speed=speed).run([opened])
    opened.close()
