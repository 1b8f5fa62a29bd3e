"""`clash worker …`: what Dagster's sensors and schedules wake up, done in a loop without Dagster, or once."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from clash_pipeline.cli.output import one_line_errors

if TYPE_CHECKING:
    from clash_pipeline.services import Services

app = typer.Typer(help="Workers without Dagster: the same services, in a loop or once.", no_args_is_help=True)
Once = Annotated[bool, typer.Option("--once", help="One cycle, then stop.")]
MARK_EVERY_SEC = 60

log = structlog.get_logger(__name__)


class EngineName(StrEnum):
    """The engines that may be asked for."""

    HOLD = "hold"
    RULES = "rules"
    MODEL = "model"


@app.command()
@one_line_errors
def decisions(
    once: Once = False,
    engine: Annotated[list[EngineName] | None, typer.Option(help="Only these engines.")] = None,
) -> None:
    """Decide and apply whatever is due; each engine has a loop of its own, so that a slow one delays no other."""
    chosen = engine or list(EngineName)
    with _services() as services:
        every_sec = services.settings.decide_every_sec
        _work({f"decisions-{name}": _waves_of(services, name) for name in chosen}, services, every_sec, once)


@app.command()
@one_line_errors
def marks(once: Once = False) -> None:
    """Mark every open account each minute: marks, funding, stops and targets, liquidation."""

    def cycle() -> str:
        from clash_pipeline.prop import accounts
        from clash_pipeline.prop import marks as marking
        from clash_pipeline.prop.venue import PaperVenue

        with services.clash.read() as connection:
            open_ids = accounts.open_ids(connection)
        venue = PaperVenue(services.market, price_jump_pct=services.settings.price_jump_pct)
        tick = marking.mark_all(services.clash, venue, open_ids, services.clock.now_ms())
        left = ": " + ", ".join(map(str, sorted(tick.left)[:10])) if tick.left else ""
        return (
            f"{len(tick.snapshots)} accounts marked, {len(tick.ended)} ended, "
            f"{len(tick.left)} left for the next tick{left}"
        )

    with _services() as services:
        _work({"marks": cycle}, services, MARK_EVERY_SEC, once)


@app.command()
@one_line_errors
def alerts(once: Once = False) -> None:
    """Ask the alert rules, and tell who must hear of it."""

    def cycle() -> str:
        from clash_pipeline.alerts import watching
        from clash_pipeline.alerts.telling import teller_from

        return watching.look(services, teller_from(services.settings)).sentence

    with _services() as services:
        _work({"alerts": cycle}, services, services.settings.alert_every_sec, once)


@app.command()
@one_line_errors
def economy(once: Once = False) -> None:
    """Watch the chain, end what nobody paid, and compare the books when that is due."""

    def cycle() -> str:
        from clash_pipeline.economy.minding import mind

        return mind(services.clash, services.settings, parts, services.clock.now_ms()).sentence()

    with _services() as services, services.chain() as parts:
        _work({"economy": cycle}, services, services.settings.economy_every_sec, once)


@app.command()
@one_line_errors
def auditions(once: Once = False) -> None:
    """Judge auditions whose account has ended, and fill free slots from the queue."""

    def cycle() -> str:
        from clash_pipeline.arena import auditions as stored
        from clash_pipeline.arena import entry

        now_ms = services.clock.now_ms()
        judged = stored.evaluate_due(services.clash, now_ms)
        synced = entry.sync(services.clash, services.settings, now_ms)
        passed = sum(audition.state == "passed" for audition in judged)
        return f"{passed} passed, {len(judged) - passed} failed, {len(synced.admitted)} admitted"

    with _services() as services:
        _work({"auditions": cycle}, services, services.settings.arena_every_sec, once)


@app.command()
@one_line_errors
def arena(once: Once = False) -> None:
    """Do all of the Arena that is due: races, auditions, retirements, slots, the next field."""

    def cycle() -> str:
        from clash_pipeline.arena import clockwork

        moved = clockwork.advance(services, services.clock.now_ms())
        return ", ".join(f"{each.kind} {each.id} {each.state}" for each in moved) or "nothing is due"

    with _services() as services:
        _work({"arena": cycle}, services, services.settings.arena_every_sec, once)


def _waves_of(services: "Services", engine: str) -> Callable[[], str]:
    def cycle() -> str:
        from clash_pipeline.decisions import waves
        from clash_pipeline.storage.leases import this_process

        report = waves.run_once(services, engine=engine, worker=f"{engine}@{this_process()}")
        states = ", ".join(f"{report.count(state)} {state}" for state in ("completed", "skipped", "failed"))
        return f"{engine}: {report.due} due, {states}, {report.interrupted} left for later"

    return cycle


def _work(cycles: dict[str, Callable[[], str]], services: "Services", every_sec: int, once: bool) -> None:
    """Run each cycle in a thread of its own, once or until asked to stop."""
    stop = threading.Event()
    with _hearing(stop), ThreadPoolExecutor(len(cycles), "worker") as pool:
        loops = [pool.submit(_loop, name, cycle, services, every_sec, once, stop) for name, cycle in cycles.items()]
        for loop in loops:
            loop.result()


@contextmanager
def _hearing(stop: threading.Event) -> "Iterator[None]":
    """TERM and INT end the cycle that runs, and then the worker."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _loop(
    name: str, cycle: Callable[[], str], services: "Services", every_sec: int, once: bool, stop: threading.Event
) -> None:
    """Cycle after cycle; trouble of a store is written to the heartbeat and tried again, a defect ends the worker."""
    from clash_pipeline.archive.stores import StoreUnavailable
    from clash_pipeline.storage.errors import StorageBusy, StorageFull

    try:
        while not stop.is_set():
            problem = None
            try:
                said = cycle()
                if once:
                    typer.echo(said)
            except (StorageBusy, StorageFull, StoreUnavailable) as error:
                if once:
                    raise
                problem = str(error)
                log.warning("cycle_failed", worker=name, error=problem)
            is_over = once or stop.wait(0)
            _beat(services, name, every_sec, problem, stopped=is_over)
            if is_over or stop.wait(every_sec):
                break
    except BaseException:
        stop.set()  # the other loops end too, and whoever supervises starts the worker again
        raise
    if not once:
        _beat(services, name, every_sec, None, stopped=True)


def _beat(services: "Services", name: str, every_sec: int, problem: str | None, *, stopped: bool) -> None:
    from importlib.metadata import version

    from clash_pipeline.storage.heartbeats import beat
    from clash_pipeline.storage.leases import this_process

    beat(
        services.clash, name, instance=this_process(), now_ms=services.wall.now_ms(), expected_interval_sec=every_sec,
        version=version("clash-pipeline"), error=problem, stopped=stopped,
    )  # fmt: skip


@contextmanager
def _services() -> "Iterator[Services]":
    from clash_pipeline import services

    built = services.build()
    try:
        yield built
    finally:
        built.close()
