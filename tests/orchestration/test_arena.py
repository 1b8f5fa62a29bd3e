"""Auditions and slots through Dagster: sensors skip while nothing is due, and ask once something is."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import SettableClock
from clash_pipeline.definitions import build_definitions
from clash_pipeline.prop.fixing import SETTLE_MS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from sensors.arena import request_advance, request_judgement, request_sync
from tests.fakes import market_rows
from tests.fakes.circuit import Circuit
from tests.fakes.till import Till
from tests.fakes.troupe import FAILED, Troupe
from tests.fakes.world import World


@pytest.fixture
def troupe(settings: Settings, clock: SettableClock, clash: Database) -> Troupe:
    return Troupe(settings, clock, clash, Till(clash))


@pytest.fixture
def world(troupe: Troupe, market: Database) -> World:
    return World(troupe.settings, troupe.clock, troupe.clash, market, MemoryStore())


def asked(sensor: Callable[..., Any], world: World) -> list[str]:
    """The run keys that a sensor asks for; a skip says why."""
    said = sensor(world)
    if isinstance(said, dg.SkipReason):
        assert said.skip_message
        return []
    return [request.run_key for request in said.run_requests]


def figures(world: World, instance: dg.DagsterInstance, name: str) -> dict[str, object]:
    """What a job's only step says of itself."""
    job = build_definitions({"services": world}, world.settings).resolve_job_def(name)
    result = job.execute_in_process(instance=instance)
    event = next(event for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_an_audition_is_judged_once_its_account_has_ended(
    troupe: Troupe, world: World, instance: dg.DagsterInstance
) -> None:
    made = troupe.submit(troupe.clone())
    assert asked(request_judgement, world) == []
    troupe.end(made)
    assert asked(request_judgement, world) == [f"auditions@{troupe.now // 60_000}"]
    assert figures(world, instance, "evaluate_auditions") == {"judged": 1, "passed": 0, "failed": 1}
    assert asked(request_judgement, world) == []
    assert figures(world, instance, "evaluate_auditions") == {"judged": 0, "passed": 0, "failed": 0}


def test_slots_are_filled_once_somebody_waits(troupe: Troupe, world: World, instance: dg.DagsterInstance) -> None:
    assert asked(request_sync, world) == []
    troupe.passed()
    troupe.passed(face="submitted")
    assert asked(request_sync, world) == [f"slots@{troupe.now // 60_000}"]
    done = figures(world, instance, "sync_arena_entry")
    assert done == {"admitted": 1, "passed_over": 1, "expired": 0, "retired": 0, "free_slots": 19}
    assert asked(request_sync, world) == []
    again = figures(world, instance, "sync_arena_entry")
    assert (again["admitted"], again["passed_over"]) == (0, 1)


def test_control_what_was_judged_elsewhere_is_not_asked_for(troupe: Troupe, world: World) -> None:
    troupe.cut_short(troupe.submit(troupe.clone()))
    assert asked(request_judgement, world) != []
    troupe.judge(FAILED)
    assert asked(request_judgement, world) == []


def test_races_are_driven_by_their_clock(troupe: Troupe, world: World, instance: dg.DagsterInstance) -> None:
    """A field of four from the opening to the settlement; the standings are drawn on the page of the asset."""
    circuit = Circuit(troupe.settings, troupe.clock, troupe.clash, world.market, troupe)
    market_rows.list_asset(world.market, "BTC", sz_decimals=3)
    market_rows.context(world.market, "BTC", troupe.now, mark="100")
    circuit.hear()
    circuit.enter(houses=4)
    assert asked(request_advance, world) == [f"races@{troupe.now // 60_000}"]
    assert figures(world, instance, "advance_races")["races"] == 1
    assert asked(request_advance, world) == []
    race = circuit.launch(circuit.race())
    circuit.clock.set(race.ends_at + SETTLE_MS)
    circuit.mark(race.id)
    circuit.hear()
    assert asked(request_advance, world) != []
    assert figures(world, instance, "advance_races")["races"] > 0
    events = [
        one.asset_materialization for one in instance.fetch_materializations(dg.AssetKey("races"), limit=9).records
    ]
    (drawn,) = [one.metadata for one in events if one and one.metadata["state"].value == "settled"]
    assert "Player 1" in str(drawn["standings"].value)
    assert "equity" in drawn
