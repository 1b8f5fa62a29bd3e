"""An endpoint that fails for an hour: every due run held with its reason, in time, and soon well again (X5)."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.clones import entitlements
from clash_pipeline.decisions import waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.decisions.engines import client  # noqa: F401  # its libraries load here, not within a deadline
from clash_pipeline.replay.model_server import served
from clash_pipeline.settings import load
from clash_pipeline.storage.sqlite import one
from tests.fakes.llm_server import HostileServer
from tests.fakes.spending import MODEL, unbooked
from tests.fakes.world import RISING, World

DEADLINE_SEC = 0.15
PATIENT_SEC = 20
"""Where the endpoint answers at once, a busy machine must not turn its answer into a time-out."""
CADENCE_MS = 5 * MINUTE_MS
OUTAGES = {
    "silent": {"model_timeout"},
    "storm": {"model_rate_limited"},
    "trickle": {"model_timeout"},
    "reset": {"model_unavailable"},
    "wrong_model": {"model_unknown"},
    "error": {"model_unavailable"},
}


@pytest.fixture
def server() -> Iterator[HostileServer]:
    """A server whose mode changes while it runs."""
    made = HostileServer()
    with served(made) as url:
        made.url = url
        yield made


def asking(world: World, server: HostileServer, **changed: str) -> World:
    """The world with this model, a short deadline and no waits."""
    given = {
        **MODEL, "CLASH_MODEL_URL": server.url, "CLASH_MODEL_DEADLINE_SEC": str(DEADLINE_SEC),
        "CLASH_MODEL_BACKOFF_SEC": "0.01", "CLASH_HOME": str(world.settings.home),
    }  # fmt: skip
    return replace(world, settings=load({**given, **changed}))


def wave(world: World) -> tuple[set[str], float]:
    """One cadence later: what is due runs; the reasons, and how long it took."""
    world.clock.advance(CADENCE_MS)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    started = time.monotonic()
    report = waves.run_once(world)
    taken = time.monotonic() - started
    assert all(ended.effective == "hold" for ended in report.ended if ended.state == "failed")
    assert report.interrupted == 0
    return {ended.reason for ended in report.ended}, taken


def still_open(world: World) -> int:
    with world.clash.read() as connection:
        return int(one(connection, "SELECT count(*) FROM decision_runs WHERE state IN ('queued', 'running')"))


@pytest.mark.parametrize("mode", OUTAGES)
def test_an_hour_of_outage_is_an_hour_of_holds_with_the_reason(world: World, server: HostileServer, mode: str) -> None:
    for name in ("Ada", "Bea", "Cid"):
        world.clone("BTC", engine="model", name=name)
    patient = asking(world, server, CLASH_MODEL_DEADLINE_SEC=str(PATIENT_SEC))
    is_late = OUTAGES[mode] == {"model_timeout"}
    world, server.mode = asking(world, server) if is_late else patient, mode
    reasons: set[str] = set()
    total_sec = 0.0
    waves_in_an_hour = HOUR_MS // CADENCE_MS
    for _ in range(waves_in_an_hour):
        found, taken = wave(world)
        reasons |= found
        total_sec += taken
        assert still_open(world) == 0
    assert total_sec < waves_in_an_hour * ((DEADLINE_SEC if is_late else PATIENT_SEC) + 1)
    assert reasons - {"breaker_open"} == OUTAGES[mode]
    with world.clash.read() as connection:
        failed = one(connection, "SELECT count(*) FROM decision_runs WHERE state = 'failed'")
        assert unbooked(connection) == []
    assert failed == 3 * waves_in_an_hour

    server.mode = "scripted"
    assert "filled" in wave(patient)[0] | wave(patient)[0]
    assert audit(world.clash).is_clean


@pytest.mark.soak
@pytest.mark.parametrize("_", range(10))
@pytest.mark.parametrize("mode", OUTAGES)
def test_ten_hours_of_every_outage(world: World, server: HostileServer, mode: str, _: int) -> None:
    """X5 at its full size."""
    test_an_hour_of_outage_is_an_hour_of_holds_with_the_reason(world, server, mode)


def test_control_without_retries_of_the_next_wave_nothing_recovers(world: World, server: HostileServer) -> None:
    """A circuit that never lets a probe through stays open after the endpoint is well: the check above would see it."""
    world.clone("BTC", engine="model")
    world = asking(world, server, CLASH_MODEL_BREAKER_OPEN_SEC="86400", CLASH_MODEL_BREAKER_FAILURES="1")
    server.mode = "error"
    wave(world)
    server.mode = "scripted"
    assert wave(world)[0] | wave(world)[0] == {"breaker_open"}


def test_a_slow_model_delays_nobody_beyond_the_deadline(world: World, server: HostileServer) -> None:
    """One clone's model never answers, another model does, a third clone follows rules: one wave, all decided."""
    slow, _ = world.clone("BTC", engine="model", name="Slow")
    world.clone("BTC", engine="model", name="Quick")
    world.clone("BTC", engine="rules", name="Rules")
    with world.clash.write() as connection:
        entitlements.grant(connection, slow, "starter", 2, source="debug", ref="test", now_ms=world.clock.now_ms())
        connection.execute("UPDATE clones SET model_tier = 2 WHERE id = ?", (slow,))
    world = asking(world, server)
    server.stalls = "clash-better"
    server.mode = "stall_one"
    world.clock.advance(CADENCE_MS)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    started = time.monotonic()
    report = waves.run_once(world)
    assert time.monotonic() - started < DEADLINE_SEC + 2
    reasons = {ended.clone_id: ended.reason for ended in report.ended}
    assert reasons[slow] == "model_timeout"
    assert set(reasons.values()) == {"model_timeout", "filled"}


def test_more_runs_than_can_be_asked_in_time_are_busy_and_cost_nothing(world: World, server: HostileServer) -> None:
    """With one slot and a model that never answers, the second run is told that the model was busy."""
    for name in ("Ada", "Bea"):
        world.clone("BTC", engine="model", name=name)
    world = asking(world, server, CLASH_MODEL_CONCURRENCY="1")
    server.mode = "silent"
    reasons, taken = wave(world)
    assert reasons == {"model_timeout", "model_busy"}
    assert taken < DEADLINE_SEC + 2
    with world.clash.read() as connection:
        costs = dict(connection.execute("SELECT code, cost FROM model_calls").fetchall())
    assert costs["model_busy"] == 0 < costs["model_timeout"]
