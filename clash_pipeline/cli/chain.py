"""`clash chain …`: the stand-in for a chain, on loopback."""

from typing import Annotated

import typer

from clash_pipeline.cli.output import Exit, fail, one_line_errors

app = typer.Typer(help="A chain that stands in for a real one, on loopback.", no_args_is_help=True)
DEFAULT_PORT = 8798


@app.callback()
def chain() -> None:
    """A chain that stands in for a real one, on loopback."""


@app.command()
@one_line_errors
def serve(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 takes a free one.")] = DEFAULT_PORT,
    seed: Annotated[int, typer.Option(min=0, help="Hashes of blocks and transactions follow from it.")] = 1,
    resolver: Annotated[str, typer.Option(help="Our address in its vault; empty: one without a key.")] = "",
    clock: Annotated[str, typer.Option(help="`/clock` of a replayed venue that its blocks follow.")] = "",
    finality: Annotated[int, typer.Option(min=0, max=1_000, help="Blocks until one is final.")] = 3,
) -> None:
    """Serve two endpoints of one chain until interrupted; prints the exports of a client."""
    from clash_pipeline.clock import Clock, SystemClock
    from clash_pipeline.economy.chain.wire import WireInvalid, address
    from clash_pipeline.replay.chain import CHAIN_ID, Chain
    from clash_pipeline.replay.chain_server import environment, server_of, views_of
    from clash_pipeline.replay.chain_vault import RESOLVER, ModelVault, vault
    from clash_pipeline.replay.clock import venue_clock
    from clash_pipeline.replay.hosting import listening, url_of

    try:
        pinned = vault(CHAIN_ID, address(resolver, "--resolver") if resolver else RESOLVER)
    except WireInvalid as error:
        fail(str(error))
    follows: Clock = venue_clock(clock) if clock else SystemClock()
    made = Chain(ModelVault(), follows, seed=seed, finality_blocks=finality)
    try:
        opened = listening(port)
    except OSError as error:
        fail(f"port {port} on 127.0.0.1 cannot be taken: {error.strerror}", Exit.UNAVAILABLE)
    for name, value in environment(url_of(opened), pinned).items():
        typer.echo(f"export {name}={value}")
    typer.echo(f"# a block every 2 s of its clock, final after {finality}; POST eth_sendTransaction pays the vault")
    server_of(views_of(made)).run([opened])
    opened.close()
