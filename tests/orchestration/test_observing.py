"""Ingestion as Dagster sees it: finished cycles become runless events once, by a cursor."""

import dagster as dg

from clash_pipeline.clock import SettableClock, iso
from clash_pipeline.market import ingestion
from clash_pipeline.market.ingestion import Cycle
from clash_pipeline.market.observations import since
from clash_pipeline.services import Services
from sensors.observing import observe_ingestion, report_ingestion


def cycle(
    services: Services, channel: str, *, rows: int, lag_ms: int = 0, error: str | None = None, **more: int
) -> None:
    now_ms = services.clock.now_ms()
    with services.market.write() as connection:
        made = Cycle(rows=rows, lags_ms=[lag_ms] if lag_ms else [], **more)
        ingestion.record(
            connection, "hyperliquid", channel, made, started_at=now_ms - 5, finished_at=now_ms, error=error
        )


def tick(services: Services, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult:
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        result = report_ingestion(context, services)
    assert isinstance(result, dg.SensorResult)
    return result


def figures(event: object) -> dict[str, object]:
    assert isinstance(event, dg.AssetMaterialization | dg.AssetObservation)
    return {name: value.value for name, value in event.metadata.items()}


def test_cycles_are_summed_up_by_channel_and_reported_once(
    services: Services, instance: dg.DagsterInstance, clock: SettableClock
) -> None:
    cycle(services, "candles_1m", rows=170, lag_ms=300, covered=170, expected=173, through_t=clock.now_ms())
    cycle(services, "candles_1m", rows=173, lag_ms=900, covered=173, expected=173, through_t=clock.now_ms())
    cycle(services, "funding", rows=600, covered=190, expected=200)
    first = tick(services, instance, None)
    candles, funding = first.asset_events
    assert isinstance(candles, dg.AssetMaterialization)
    assert candles.asset_key == dg.AssetKey("hyperliquid_candles_1m")
    assert figures(candles) == {
        "rows": 343, "cycles": 2, "failed_cycles": 0, "rejected": 0, "lag_p50_ms": 300, "lag_p99_ms": 900,
        "coverage": 1.0, "covered": 173, "expected": 173, "through": iso(clock.now_ms()),
    }  # fmt: skip
    assert isinstance(funding, dg.AssetObservation), "Dagster makes this asset itself; the ingester's part is observed"
    assert figures(funding)["coverage"] == 0.95
    assert first.cursor == "3"

    nothing_new = tick(services, instance, first.cursor)
    assert nothing_new.skip_reason is not None
    cycle(services, "candles_1m", rows=1)
    second = tick(services, instance, first.cursor)
    assert [figures(event)["rows"] for event in second.asset_events] == [1]


def test_a_channel_that_only_failed_is_observed_with_its_error_and_stays_stale(
    services: Services, instance: dg.DagsterInstance
) -> None:
    cycle(services, "candles_1m", rows=0, error="VenueUnavailable: no answer")
    (event,) = tick(services, instance, None).asset_events
    assert isinstance(event, dg.AssetObservation)
    assert figures(event)["last_error"] == "VenueUnavailable: no answer"


def test_a_rebuilt_memory_starts_the_cursor_again(services: Services) -> None:
    cycle(services, "funding", rows=1)
    with services.market.read() as connection:
        assert since(connection, 900) == ([], 1)


def test_the_events_reach_the_instance(services: Services, instance: dg.DagsterInstance) -> None:
    """What the daemon does with the result: the external asset gets a materialization without any run."""
    cycle(services, "candles_1m", rows=5)
    for event in tick(services, instance, None).asset_events:
        instance.report_runless_asset_event(event)
    record = instance.get_latest_materialization_event(dg.AssetKey("hyperliquid_candles_1m"))
    assert record is not None
    assert record.run_id == ""


def test_the_sensor_gives_its_resource_to_the_function(services: Services, instance: dg.DagsterInstance) -> None:
    cycle(services, "mids", rows=5)
    with dg.build_sensor_context(instance=instance, resources={"services": services}) as context:
        result = observe_ingestion(60)(context)
    assert isinstance(result, dg.SensorResult)
    assert [event.asset_key.to_user_string() for event in result.asset_events] == ["hyperliquid_latest_prices"]
