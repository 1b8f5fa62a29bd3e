"""Decisions as jobs: one clone by config or tag, a wave by shard, what was cut off; rows decide, not runs."""

import asyncio
from collections.abc import Iterator

import dagster as dg
import pytest

from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.decisions import waves
from clash_pipeline.decisions.grid import Waiting
from clash_pipeline.decisions.runs import Claim, Decided
from clash_pipeline.definitions import build_definitions
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from jobs.decisions import blocks
from sensors.decisions import request_fills, request_waves, wave_requests
from tests.fakes import market_rows
from tests.fakes.world import RISING, World

NOW = 1_753_100_000_000


@pytest.fixture
def world(settings: Settings, clock: SettableClock, clash: Database, market: Database) -> Iterator[World]:
    """BTC listed and rising, everything in memory but the two databases."""
    market_rows.list_asset(market, "BTC", sz_decimals=3, max_leverage=40)
    made = World(settings, clock, clash, market, MemoryStore())
    made.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    return made


def execute(
    world: World, instance: dg.DagsterInstance, name: str, *, config: object = None, **tags: str
) -> dg.ExecuteInProcessResult:
    job = build_definitions({"services": world}, world.settings).resolve_job_def(name)
    run_config = {"ops": config} if config else None
    return job.execute_in_process(
        run_config=run_config, instance=instance, tags={key.replace("__", "/"): tags[key] for key in tags}
    )


def wait_for_a_tick(world: World) -> None:
    """An account's first tick comes after its creation."""
    world.clock.advance(6 * MINUTE_MS)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)


def states(world: World) -> list[tuple[object, ...]]:
    with world.clash.read() as connection:
        rows = connection.execute("SELECT clone_id, kind, state, effective FROM decision_runs ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


def test_a_clone_decides_and_trades_and_the_rows_carry_the_dagster_run(
    world: World, instance: dg.DagsterInstance
) -> None:
    clone_id, account_id = world.clone("BTC")
    result = execute(
        world, instance, "decide_clone", config={"prepare_clone": {"config": {"clone_id": clone_id, "force": True}}}
    )
    assert result.success
    assert states(world) == [(clone_id, "forced", "completed", "open_long")]
    with world.clash.read() as connection:
        (run_id,) = connection.execute("SELECT dagster_run_id FROM decision_runs").fetchone()
        fills = connection.execute("SELECT count(*) FROM prop_fills WHERE account_id = ?", (account_id,)).fetchone()[0]
    assert (run_id, fills) == (result.run_id, 1)
    mapped = [event.step_key for event in result.all_events if event.event_type_value == "STEP_SUCCESS"]
    assert f"apply_account[account_{account_id:08d}]" in mapped


def test_the_clone_may_be_named_by_a_tag(world: World, instance: dg.DagsterInstance) -> None:
    first, _ = world.clone("BTC", name="Ada")
    second, _ = world.clone("BTC", name="Bea")
    wait_for_a_tick(world)
    assert execute(world, instance, "decide_clone", clash__clone_id=str(second)).success
    assert [row[0] for row in states(world)] == [second]
    assert first != second


def test_without_a_clone_everything_due_decides_once(world: World, instance: dg.DagsterInstance) -> None:
    clones = [world.clone("BTC", name=name)[0] for name in ("Ada", "Bea")]
    wait_for_a_tick(world)
    for _ in range(2):
        assert execute(world, instance, "decide_clone").success
    assert [row[:3] for row in states(world)] == [(clone, "due", "completed") for clone in clones]


@pytest.mark.parametrize("config", [{"clone_id": "forty-two"}, {"clone": 42}, {"clone_id": 1, "force": "yes"}])
def test_a_clone_id_of_another_type_is_a_configuration_error(
    world: World, instance: dg.DagsterInstance, config: dict[str, object]
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        execute(world, instance, "decide_clone", config={"prepare_clone": {"config": config}})
    assert states(world) == []


def test_a_tag_that_is_no_number_is_refused(world: World, instance: dg.DagsterInstance) -> None:
    job = build_definitions({"services": world}, world.settings).resolve_job_def("decide_clone")
    result = job.execute_in_process(instance=instance, tags={"clash/clone_id": "42; --"}, raise_on_error=False)
    assert not result.success
    assert states(world) == []


def test_a_wave_takes_its_shard_and_leaves_the_others(world: World, instance: dg.DagsterInstance) -> None:
    accounts = [world.clone("BTC", name=name)[1] for name in ("Ada", "Bea")]
    wait_for_a_tick(world)
    shard = {"engine": "rules", "shard": accounts[0] % 2, "shards": 2}
    assert execute(world, instance, "decide_due", config={"prepare_shard": {"config": shard}}).success
    with world.clash.read() as connection:
        done = [row[0] for row in connection.execute("SELECT account_id FROM decision_runs")]
    assert done == [accounts[0]]


def test_what_was_cut_off_after_the_decision_is_applied_once(world: World, instance: dg.DagsterInstance) -> None:
    """A worker died between record and apply; the sensor sees it when its claim has run out."""
    world.clone("BTC")
    wait_for_a_tick(world)
    prepared, _ = waves.prepare(world, waves.due(world), worker="died")
    waves.record(world, asyncio.run(waves.decide(world.store, prepared)))
    assert isinstance(request_fills(world), dg.SkipReason), "a living worker still holds it"

    wait_for_a_tick(world)
    asked = request_fills(world)
    assert isinstance(asked, dg.SensorResult)
    assert execute(world, instance, "fill_prop_orders").success
    assert [row[2] for row in states(world)] == ["completed"]
    assert isinstance(request_fills(world), dg.SkipReason)
    assert execute(world, instance, "fill_prop_orders").success
    with world.clash.read() as connection:
        assert connection.execute("SELECT count(*) FROM prop_decision_actions").fetchone()[0] == 1


def test_the_sensor_asks_for_a_wave_while_something_is_due(world: World, instance: dg.DagsterInstance) -> None:
    assert isinstance(request_waves(world), dg.SkipReason)
    world.clone("BTC")
    wait_for_a_tick(world)
    asked = request_waves(world)
    assert isinstance(asked, dg.SensorResult)
    (request,) = asked.run_requests or ()
    assert execute(world, instance, "decide_due", config=request.run_config["ops"]).success
    assert isinstance(request_waves(world), dg.SkipReason)


def test_waves_are_cut_by_engine_and_shard_with_keys_that_name_what_is_due() -> None:
    found = [Waiting("hold", 1, NOW, 1), Waiting("rules", 0, NOW, 2), Waiting("rules", 1, NOW - MINUTE_MS, 1)]
    requests = wave_requests(found, 2, NOW + 5_000)
    assert [request.run_key for request in requests] == [
        f"wave/hold/1-of-2@{NOW}#0.0",
        f"wave/rules/0-of-2@{NOW}#0.0",
        f"wave/rules/1-of-2@{NOW - MINUTE_MS}#1.0",
    ]


def test_a_wave_that_stays_due_is_asked_for_again_under_another_key() -> None:
    """Dagster never launches a key twice, not even after a failure; the attempt makes it another key."""
    found = [Waiting("rules", 0, NOW, 1)]
    keys = [wave_requests(found, 1, NOW + after)[0].run_key for after in (0, 15_000, 61_000)]
    assert keys[0] == keys[1] != keys[2]
    cut_off = wave_requests([found[0]._replace(attempts=1)], 1, NOW)
    assert cut_off[0].run_key not in keys


def decided(account_id: int, symbol: str) -> Decided:
    return Decided(Claim(1, 1, account_id, 1, 1, "main", symbol, NOW, "due", 300, "rules"), None)


def test_a_small_wave_has_a_step_an_account_and_a_large_one_whole_accounts_in_each() -> None:
    wave = [decided(account, symbol) for account in (3, 1, 2) for symbol in ("BTC", "ETH")]
    small = [[one.claim.account_id for one in block] for block in blocks(wave, 50)]
    large = [[one.claim.account_id for one in block] for block in blocks(wave, 2)]
    assert small == [[1, 1], [2, 2], [3, 3]]
    assert large == [[1, 1, 2, 2], [3, 3]]
    assert blocks([], 50) == []


def test_sensors_count_what_was_left_behind(world: World) -> None:
    """A wave whose worker died before its response is waiting again, when its claim has run out."""
    world.clone("BTC")
    wait_for_a_tick(world)
    waves.prepare(world, waves.due(world), worker="died")
    assert waves.waiting(world) == []
    world.clock.advance(61_000)
    assert [(each.engine, each.runs) for each in waves.waiting(world)] == [("rules", 1)]


@pytest.mark.parametrize("config", [{"force": True}, {"account_id": 1, "force": True}])
def test_force_needs_a_name_and_reaches_no_race(
    world: World, instance: dg.DagsterInstance, config: dict[str, object]
) -> None:
    clone_id = world.clone("BTC", name="Ada")[0]
    with world.clash.write() as connection:
        connection.execute("UPDATE prop_accounts SET state = 'completed' WHERE clone_id = ?", (clone_id,))
    config = {**config, **({"account_id": world.race(clone_id)} if "account_id" in config else {})}
    job = build_definitions({"services": world}, world.settings).resolve_job_def("decide_clone")
    result = job.execute_in_process(
        run_config={"ops": {"prepare_clone": {"config": config}}}, instance=instance, raise_on_error=False
    )
    assert not result.success
    assert states(world) == []
