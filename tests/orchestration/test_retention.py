"""Retention through Dagster: archived days show on their archive assets; a store that is down delays and keeps."""

import dagster as dg

from clash_pipeline.archive.stores import StoreRefused, StoreUnavailable
from clash_pipeline.clock import DAY_MS
from clash_pipeline.definitions import build_definitions
from clash_pipeline.services import Services
from tests.fakes.market_days import DAY, all_rows, fill_minutes


class DeadStore:
    """Answers every question with one error."""

    name = "dead"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> object:
        def refuse(*_: object, **__: object) -> None:
            raise self._error

        return refuse


def execute(services: Services, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions({"services": services}, services.settings).resolve_job_def("retain_market_memory")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def test_an_old_day_is_archived_pruned_and_shown_as_a_partition(
    services: Services, instance: dg.DagsterInstance
) -> None:
    old = DAY - 3 * DAY_MS
    fill_minutes(services.market, old, ["BTC"])
    assert execute(services, instance).success
    assert all_rows(services.market, "hyperliquid_candles_1m") == []
    assert instance.get_materialized_partitions(dg.AssetKey("hyperliquid_candles_1m_archive")) == {"2025-07-18"}
    again = execute(services, instance)
    assert again.success


def test_a_store_that_is_down_only_delays(services: Services, instance: dg.DagsterInstance) -> None:
    fill_minutes(services.market, DAY - 3 * DAY_MS, ["BTC"])
    services.__dict__["store"] = DeadStore(StoreUnavailable("put: no answer"))
    assert execute(services, instance).success
    assert len(all_rows(services.market, "hyperliquid_candles_1m")) == 1_440


def test_a_store_that_refuses_fails_the_run_so_that_a_person_looks(
    services: Services, instance: dg.DagsterInstance
) -> None:
    fill_minutes(services.market, DAY - 3 * DAY_MS, ["BTC"])
    services.__dict__["store"] = DeadStore(StoreRefused("put: 403 AccessDenied"))
    assert not execute(services, instance).success
    assert len(all_rows(services.market, "hyperliquid_candles_1m")) == 1_440
