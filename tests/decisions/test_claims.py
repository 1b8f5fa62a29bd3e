"""Claims: once whatever number of workers, fenced against zombies, taken up again after a crash, parked in the end."""

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clash_pipeline.archive.stores import MemoryStore, StoreUnavailable
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions import apply, prepare, runs, submission, waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.decisions.runs import Ended
from clash_pipeline.prop import desk
from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import one
from tests.fakes.world import RISING, World


def rising(world: World) -> int:
    """A clone whose rules open a long now."""
    clone_id, _ = world.clone("BTC")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    return clone_id


def states(world: World) -> list[tuple[str, str, int]]:
    with world.clash.read() as connection:
        rows = connection.execute("SELECT state, reason, attempts FROM decision_runs ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


def fills(world: World) -> int:
    with world.clash.read() as connection:
        return int(one(connection, "SELECT count(*) FROM prop_fills"))


def test_eight_workers_decide_a_tick_once(world: World) -> None:
    clone_id = rising(world)
    found = waves.due(world, clone_id=clone_id, force=True)
    ended: list[Ended] = []

    def work(number: int) -> None:
        prepared, _ = waves.prepare(world, found, worker=f"w{number}")
        decided = asyncio.run(waves.decide(world.store, prepared))
        waves.record(world, decided)
        ended.extend(waves.apply(world, decided))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.reason for run in ended] == ["filled"]
    assert fills(world) == 1
    assert audit(world.clash).is_clean


def test_a_zombie_writes_nothing(world: World) -> None:
    """A worker that slept past its claim finds the run ended by its successor."""
    clone_id = rising(world)
    prepared, _ = waves.prepare(world, waves.due(world, clone_id=clone_id, force=True), worker="zombie")
    decided = asyncio.run(waves.decide(world.store, prepared))
    world.clock.advance(61_000)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    successor = waves.run_once(world, worker="successor")
    assert [run.reason for run in successor.ended] == ["filled"]
    assert waves.record(world, decided) == 0
    assert waves.apply(world, decided) == []
    assert fills(world) == 1
    with pytest.raises(LeaseLost, match="has passed to another worker"), world.clash.write() as connection:
        runs.end(connection, prepared[0].claim, "failed", "zombie", effective="hold", now_ms=1)
    assert audit(world.clash).is_clean


def test_without_the_fence_the_zombie_would_write(world: World) -> None:
    """The control: the same late write with the successor's token is let through."""
    clone_id = rising(world)
    found = waves.due(world, clone_id=clone_id, force=True)
    waves.prepare(world, found, worker="zombie")
    world.clock.advance(61_000)
    (taken,), _ = waves.prepare(world, waves.due(world), worker="successor")
    with world.clash.write() as connection:
        assert runs.end(connection, taken.claim, "failed", "x", effective="hold", now_ms=1).state == "failed"


def test_a_run_cut_off_after_its_response_is_delivered_later(world: World) -> None:
    """What `fill_prop_orders` does: claim what has a response and no apply; the engine is not asked again."""
    clone_id = rising(world)
    prepared, _ = waves.prepare(world, waves.due(world, clone_id=clone_id, force=True), worker="gone")
    waves.record(world, asyncio.run(waves.decide(world.store, prepared)))
    assert waves.undelivered(world, worker="fill") == []  # its worker may still be alive
    world.clock.advance(61_000)
    world.minute("BTC", "101", **RISING)
    ended = waves.apply(world, waves.undelivered(world, worker="fill"))
    assert [(run.reason, run.effective) for run in ended] == [("filled", "open_long")]
    assert waves.undelivered(world, worker="fill") == []


def test_a_decision_that_is_too_old_is_not_applied(world: World) -> None:
    clone_id = rising(world)
    waves.prepare(world, waves.due(world, clone_id=clone_id, force=True), worker="gone")
    world.clock.advance(2 * 300_000)
    world.minute("BTC", "101", **RISING)
    ended = waves.run_once(world).ended
    assert ("failed", "expired", "hold") in [(run.state, run.reason, run.effective) for run in ended]
    assert audit(world.clash).is_clean


def test_a_run_that_is_never_finished_is_parked(world: World) -> None:
    """Five attempts, then failed with its reason; nothing else waits for it."""
    clone_id, _ = world.clone("BTC", engine="hold", cadence_sec=86_400)
    world.minute("BTC", "100", **RISING)
    waves.prepare(world, waves.due(world, clone_id=clone_id, force=True), worker="w")
    for _ in range(4):
        assert waves.parked(world) == []
        world.clock.advance(61_000)
        assert len(waves.prepare(world, waves.due(world, clone_id=clone_id), worker="w")[0]) == 1
    world.clock.advance(61_000)
    assert waves.due(world, clone_id=clone_id) == []
    assert [(run.state, run.reason) for run in waves.parked(world)] == [("failed", "gave_up_after_5_attempts")]
    assert waves.parked(world) == []


class Silent(MemoryStore):
    """A store that does not answer until told to."""

    is_down = True

    def put(self, key: str, body: bytes, *, if_absent: bool = True):  # type: ignore[no-untyped-def]
        if self.is_down:
            raise StoreUnavailable("the store does not answer")
        return super().put(key, body, if_absent=if_absent)


def test_a_silent_store_loses_no_run(world: World) -> None:
    world.store = silent = Silent()
    clone_id = rising(world)
    report = waves.run_once(world, clone_id=clone_id, force=True)
    assert (report.ended, report.interrupted) == ((), 1)
    silent.is_down = False
    world.clock.advance(61_000)
    world.minute("BTC", "101", hist=0.5, hist_before=0.3, **RISING)
    assert [run.reason for run in waves.run_once(world).ended] == ["filled"]
    assert states(world) == [("completed", "filled", 2)]


CHILD = """
import sys
from clash_pipeline import services
from clash_pipeline.clock import SettableClock
from clash_pipeline.decisions import waves
from clash_pipeline.services import Services
from clash_pipeline.settings import load

settings = load({"CLASH_HOME": sys.argv[1]})
built = Services(settings, SettableClock(int(sys.argv[2])))
waves.run_once(built, clone_id=int(sys.argv[3]), force=True)
print("acknowledged")
"""
BOUNDARIES = [
    prepare.AFTER_CLAIM,
    prepare.AFTER_PACKET_STORED,
    prepare.AFTER_BEGIN,
    submission.AFTER_INPUT_STORED,
    desk.AFTER_LEDGER,
    submission.AFTER_SUBMIT,
    apply.AFTER_APPLIED,
]


@pytest.mark.parametrize("place", BOUNDARIES)
def test_a_wave_killed_at_a_boundary_is_done_exactly_once_within_two_cadences(world: World, place: str) -> None:
    """kill -9 in a child process, then the next wave a minute later (W3)."""
    from clash_pipeline.archive.choice import store_from

    world.store = store_from(world.settings)
    clone_id = rising(world)
    now_ms = world.clock.now_ms()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(world.settings.home), str(now_ms), str(clone_id)],
        env={"CLASH_FAULT": f"{place}:kill", "PATH": ""}, cwd=Path(__file__).parents[2], capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert audit(open_clash(world.settings)).is_clean
    world.clock.advance(MINUTE_MS + 1)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    waves.run_once(world)
    assert [state for state, _, _ in states(world)] == ["completed"]
    assert fills(world) == 1
    assert audit(world.clash).is_clean
