"""Claims: once whatever number of workers, fenced against zombies, taken up again after a crash, parked in the end."""

import asyncio
import threading

import pytest

from clash_pipeline.archive.stores import MemoryStore, StoreUnavailable
from clash_pipeline.decisions import runs, waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.decisions.runs import Ended
from clash_pipeline.storage.errors import LeaseLost
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
