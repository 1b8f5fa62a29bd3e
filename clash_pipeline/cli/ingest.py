"""`clash ingest`: the ingester in the foreground, until it is asked to stop."""

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import typer

from clash_pipeline.cli.output import Exit, fail, one_line_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clash_pipeline.market.ingester import Beat
    from clash_pipeline.services import Services


@one_line_errors
def ingest() -> None:
    """Fill the market memory from all sources until interrupted; one line a minute on a terminal."""
    from clash_pipeline.services import build
    from clash_pipeline.storage.errors import LeaseLost

    services = build(migrate=True)
    try:
        asyncio.run(_ingest(services))
    except LeaseLost as error:
        fail(f"another ingester is at work: {error}", Exit.UNAVAILABLE)
    finally:
        services.close()
    typer.echo("ingester stopped")


async def _ingest(services: "Services") -> None:
    import httpx

    from clash_pipeline.market import polls
    from clash_pipeline.market.ingester import Ingester

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    settings, market, clock, named = services.settings, services.market, services.clock, services.named_reads
    async with services.hyperliquid() as rest, httpx.AsyncClient() as connections:
        polled = [
            *polls.hyperliquid(market, rest, clock, settings),
            *polls.polymarket(market, connections, clock, settings, named=lambda: named.at(clock.now_ms()).markets),
            *polls.defillama(market, connections, clock, settings, named=lambda: named.at(clock.now_ms()).subjects),
        ]
        ingester = Ingester(
            settings, services.clash, market, clock, services.wall, rest, polled,
            ranks=lambda: symbols_in_use(services), say=_say,
        )  # fmt: skip
        await ingester.run(stop)


def symbols_in_use(services: "Services") -> "Mapping[str, int]":
    """How much each symbol is needed: 0 for open positions, 1 for decisions that are under way."""
    with services.clash.read() as connection:
        held = connection.execute("SELECT DISTINCT symbol FROM prop_positions WHERE size <> 0").fetchall()
        due = connection.execute(
            "SELECT DISTINCT symbol FROM decision_runs WHERE state IN ('queued', 'running')"
        ).fetchall()
    return {**{row["symbol"]: 1 for row in due}, **{row["symbol"]: 0 for row in held}}


def _say(beat: "Beat") -> None:
    from clash_pipeline.clock import iso

    if not sys.stdout.isatty():
        return
    typer.echo(
        f"{iso(beat.through_t)}  {beat.live} of {beat.symbols} symbols live, {beat.rows} rows ({beat.finals} final), "
        f"{beat.open_gaps} gaps open, {beat.reconnects} reconnects, clock skew {beat.skew_ms / 1000:.1f} s"
    )
