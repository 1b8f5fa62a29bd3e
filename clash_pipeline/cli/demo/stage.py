"""The demo's stage: a home of its own, replayed venues and model, ingester and Dagster as processes, and the story."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clash_pipeline.cli.demo import environment, people
from clash_pipeline.cli.demo.environment import MODEL, PERSONA, START, free_port
from clash_pipeline.cli.demo.story import Play, Story, say
from clash_pipeline.cli.output import Exit, fail

if TYPE_CHECKING:
    from clash_pipeline.cli.supervise import Child
    from clash_pipeline.replay.driver import Driver
    from clash_pipeline.services import Services

MARKER = ".clash-demo"
READY_SEC = 120.0


# the home and the processes


def fresh_home() -> Path:
    """A folder of the demo's own below CLASH_HOME; an earlier demo's is replaced, nothing else is ever deleted."""
    from clash_pipeline.settings import load

    home = load().home / "demo"
    if home.exists():
        if not (home / MARKER).exists():
            fail(f"{home} is in use and was not made by the demo; move it away", Exit.CONFIGURATION)
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / MARKER).touch()
    return home


@contextmanager
def staged(home: Path, market: list[str]) -> Iterator[Story]:
    """Everything up and running, and all of it stopped again whatever happens."""
    from clash_pipeline.cli.dagster_web import DagsterWeb
    from clash_pipeline.cli.supervise import Supervisor
    from clash_pipeline.cli.up import api, dagster_children, ingester
    from clash_pipeline.replay.clock import stepped_clock
    from clash_pipeline.replay.driver import Driver
    from clash_pipeline.services import build

    started = time.monotonic()
    url, model_url, chain_url = (f"http://127.0.0.1:{free_port()}" for _ in range(3))
    secrets = environment.secrets(chain_url)
    venue = _served(home, "venue", url, [*market, "--start", START])
    model = _served(home, "model", model_url, ["serve", "--persona", PERSONA])
    resolver = environment.resolver(secrets["CLASH_PAYOUT_KEY"])
    chain = _served(home, "chain", chain_url, ["serve", "--clock", f"{url}/clock", "--resolver", resolver])
    with Supervisor([venue, model], _quiet), ExitStack() as opened:
        driver = Driver(url, [lambda minute: _is_in_memory(services, minute)])
        _wait("the replayed venues", venue, lambda: _answers(driver))
        say("venues", f"{url} replays {'recordings' if 'recordings' in market[0] else 'a synthetic market'}")
        opened.enter_context(Supervisor([chain], _quiet))
        for child, address in ((model, model_url), (chain, chain_url)):
            _wait(f"the replayed {child.name}", child, lambda address=address: _listens(address))  # type: ignore[misc]
        say("model", f"{model_url}/v1 answers as {MODEL}, the persona {PERSONA}")
        say("chain", f"{chain_url}/a and /b are two endpoints of a chain with our vault")
        settings = environment.settings(home, url, model_url, chain_url, secrets)
        services = replace(build(settings, migrate=True), clock=stepped_clock(driver.controls))
        opened.callback(services.close)
        opened.callback(people.disconnect)
        web = DagsterWeb(f"http://127.0.0.1:{settings.dagster_port}")
        opened.callback(web.close)
        parts = opened.enter_context(services.chain())
        assert parts is not None, "the demo has a chain"
        pages = api(settings)
        with Supervisor(_knowing([ingester(settings), pages, *dagster_children(settings)], secrets), _quiet):
            _wait("the API", pages, lambda: _listens(str(settings.api_url).rstrip("/")))
            say("api", f"{settings.api_url} serves API and pages: look on while it runs")
            say("dagster", f"{web.url} starts in the background")
            yield Story(settings, services, driver, web, parts, Play(), started, secrets)


def _served(home: Path, command: str, url: str, words: Sequence[str]) -> "Child":
    """A server of ours on the port of an address."""
    from clash_pipeline.cli.supervise import Child

    whole = [sys.executable, "-m", "clash_pipeline.cli.main", command, *words, "--port", url.rpartition(":")[2]]
    return Child(command, whole, dict(os.environ), home / "logs" / f"{command}.log")


def _knowing(children: Sequence["Child"], secrets: Mapping[str, str]) -> list["Child"]:
    """The same processes with the secrets in their environment, which settings never hand on."""
    for child in children:
        child.environment = {**child.environment, **secrets}
    return list(children)


def _is_in_memory(services: "Services", minute: int) -> bool:
    """Whether the ingester has finished with a minute: candles stored, indicators on top of them.

    A minute from before it followed the stream belongs to the repair queue, and nobody waits for it.
    """
    from clash_pipeline.clock import parse_time
    from clash_pipeline.market.ingestion import through

    if minute < parse_time(START):
        return True
    with services.market.read() as connection:
        marks = [through(connection, "hyperliquid", channel) for channel in ("candles_1m", "indicators")]
    return all(mark is not None and mark >= minute for mark in marks)


# small things


def _quiet(line: str) -> None:
    """Starts and stops are not worth a line in the demo; a failing child shows in its log."""


def _answers(driver: "Driver") -> bool:
    from clash_pipeline.replay.controls import VenueGone

    try:
        return driver.controls.now_ms() > 0
    except VenueGone:
        return False


def _listens(url: str) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0


def _wait(what: str, child: "Child", is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SEC
    while not is_done():
        if not child.is_alive() or time.monotonic() > deadline:
            fail(f"{what} did not start:\n{child.last_lines()}", Exit.UNAVAILABLE)
        time.sleep(0.05)
