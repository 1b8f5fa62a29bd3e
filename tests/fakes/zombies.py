"""Workers that are stopped past their claim and wake up after their successor has finished (W2).

`python -m tests.fakes.zombies` reads one JSON order: home, clone, first moment, trials, and whether the fence stands.
It opens no database itself; each zombie and each successor is a fork. It prints, for each trial, the place where the
zombie was stopped and the tables whose rows it changed after it had woken up.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from clash_pipeline import canonical, faults
from clash_pipeline.clock import MINUTE_MS, SECOND_MS, SettableClock
from clash_pipeline.decisions import prepare, runs, submission, waves
from clash_pipeline.decisions.runs import Claim
from clash_pipeline.services import Services
from clash_pipeline.settings import load
from clash_pipeline.storage.sqlite import Connection
from tests.fakes.answers import answer, wave
from tests.fakes.world import RISING, World

PLACES = (
    prepare.AFTER_CLAIM, prepare.AFTER_PACKET_STORED, prepare.AFTER_BEGIN, waves.BEFORE_RECORD, waves.AFTER_RECORD,
    submission.AFTER_INPUT_STORED,
)  # fmt: skip
TABLES = (
    "decision_runs", "decision_artifacts", "prop_accounts", "prop_decision_actions", "prop_orders", "prop_fills",
    "prop_positions", "prop_ledger_groups", "prop_ledger",
)  # fmt: skip
PAST_EXPIRY_MS = 61 * SECOND_MS


@contextmanager
def world_at(home: str, now_ms: int) -> Iterator[World]:
    """The parts of a process, on a clock that stands."""
    services = Services(load({"CLASH_HOME": home}), SettableClock(now_ms))
    yield World(services.settings, SettableClock(now_ms), services.clash, services.market, services.store)
    services.close()


def zombie(home: str, clone_id: int, now_ms: int, place: str, *, is_fenced: bool) -> None:
    """A forced wave that stops itself at a place, and goes on as if nothing had happened."""
    hits: list[str] = []

    def stop(name: str) -> None:
        if name == place and not hits:
            hits.append(name)
            os.kill(os.getpid(), signal.SIGSTOP)
            if not is_fenced:
                _take_the_fence_down()

    faults._observers.append(stop)
    with world_at(home, now_ms) as world:
        world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
        wave(world, answer("open_long", "5"), clone_id=clone_id, force=True)


def successor(home: str, now_ms: int, *, finishes: bool) -> None:
    """What the next worker does when the claim has run out."""
    with world_at(home, now_ms) as world:
        world.minute("BTC", "101", hist=0.5, hist_before=0.3, **RISING)
        if finishes:
            waves.run_once(world, worker="successor")
        else:
            waves.undelivered(world, worker="successor")


def _take_the_fence_down() -> None:
    """For the control: every write names the token of the present holder, whoever that is."""

    def present(connection: Connection, held: Claim) -> Claim:
        row = connection.execute("SELECT claim_token FROM decision_runs WHERE id = ?", (held.run_id,)).fetchone()
        return replace(held, token=row["claim_token"])

    fenced: dict[str, Any] = {name: getattr(runs, name) for name in ("require", "end")}
    for name, write in fenced.items():

        def unfenced(connection: Connection, held: Claim, *rest: Any, write: Any = write, **more: Any) -> Any:
            return write(connection, present(connection, held), *rest, **more)

        setattr(runs, name, unfenced)


def digests(home: str) -> dict[str, str]:
    """The contents of every table that a wave writes."""
    with world_at(home, 0) as world, world.clash.read() as connection:
        return {
            table: canonical.digest([dict(row) for row in connection.execute(f"SELECT * FROM {table}")])
            for table in TABLES
        }


def in_child(work: Callable[[], object]) -> int:
    """Start some work in a fork; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        work()
        status = 0
    finally:
        os._exit(status)


def asked(work: Callable[[], object]) -> Any:
    """What some work in a fork answers, as JSON."""
    reading, writing = os.pipe()
    pid = in_child(lambda: os.write(writing, json.dumps(work()).encode()))
    os.close(writing)
    with os.fdopen(reading) as answer:
        found = json.loads(answer.read())
    assert os.waitpid(pid, 0)[1] == 0
    return found


def trial(order: dict[str, Any], number: int) -> dict[str, Any]:
    """One zombie: stopped, succeeded, woken; what changed after it woke."""
    home, now_ms = order["home"], order["now_ms"] + number * 10 * MINUTE_MS
    place = PLACES[number % len(PLACES)] if order["is_fenced"] else submission.AFTER_INPUT_STORED
    pid = in_child(lambda: zombie(home, order["clone_id"], now_ms, place, is_fenced=order["is_fenced"]))
    _, status = os.waitpid(pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"the zombie was not stopped at {place}, it ended with {status}"
    next_pid = in_child(lambda: successor(home, now_ms + PAST_EXPIRY_MS, finishes=order["is_fenced"]))
    assert os.waitpid(next_pid, 0)[1] == 0
    before = asked(lambda: digests(home))
    os.kill(pid, signal.SIGCONT)
    _, status = os.waitpid(pid, 0)
    after = asked(lambda: digests(home))
    changed = [table for table in TABLES if before[table] != after[table]]
    return {"place": place, "changed": changed, "status": os.waitstatus_to_exitcode(status)}


def main() -> None:
    """Carry out one order."""
    order = json.load(sys.stdin)
    print(json.dumps([trial(order, number) for number in range(order["trials"])]))


if __name__ == "__main__":
    main()
