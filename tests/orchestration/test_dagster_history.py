"""Dagster's own history on disk: old runs go with their files, young and running ones stay."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.services import Services
from jobs import dagster_history
from jobs.dagster_history import forget, retain_dagster_history


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job(tags={"clash/cadence": "minute"}, executor_def=dg.in_process_executor)
def minutely() -> None:
    nothing()


@dg.job(tags={"clash/cadence": "hour"}, executor_def=dg.in_process_executor)
def hourly() -> None:
    nothing()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "dagster"


@pytest.fixture
def disk(home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with its SQLite files in a folder."""
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", "utf-8")
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def now() -> int:
    return time.time_ns() // 1_000_000


def test_runs_go_with_their_files_after_their_time(disk: dg.DagsterInstance, home: Path) -> None:
    minute = minutely.execute_in_process(instance=disk).run_id
    hour = hourly.execute_in_process(instance=disk).run_id
    running = disk.create_run_for_job(minutely).run_id
    shards = home / "history" / "runs"
    assert (shards / f"{minute}.db").exists()

    young = forget(disk, now_ms=now() + 23 * HOUR_MS, run_hours=24, history_days=14)
    assert (young.minute_runs, young.other_runs) == (0, 0)

    later = forget(disk, now_ms=now() + 25 * HOUR_MS, run_hours=24, history_days=14)
    assert (later.minute_runs, later.other_runs) == (1, 0)
    assert {run.run_id for run in disk.get_runs()} == {hour, running}
    assert not list(shards.glob(f"{minute}.db*"))
    assert not (home / "storage" / minute).exists()

    much_later = forget(disk, now_ms=now() + 15 * DAY_MS, run_hours=24, history_days=14)
    assert much_later.other_runs == 1
    assert [run.run_id for run in disk.get_runs()] == [running], "an unfinished run is never forgotten"


def test_old_runless_events_go_but_the_newest_and_the_partitioned_stay(disk: dg.DagsterInstance) -> None:
    for rows in range(3):
        disk.report_runless_asset_event(dg.AssetObservation("funding", metadata={"rows": rows}))
    disk.report_runless_asset_event(dg.AssetMaterialization("archive", partition="2025-07-21"))
    forgotten = forget(disk, now_ms=now() + 25 * HOUR_MS, run_hours=24, history_days=14)
    assert forgotten.runless_events == 2
    kept = disk.fetch_observations(dg.AssetKey("funding"), limit=10).records
    assert [record.asset_observation.metadata["rows"].value for record in kept] == [2]
    assert disk.get_materialized_partitions(dg.AssetKey("archive")) == {"2025-07-21"}


def test_one_pass_is_bounded(disk: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_history, "BATCH", 2)
    monkeypatch.setattr(dagster_history, "MOST_AT_ONCE", 2)
    for _ in range(3):
        minutely.execute_in_process(instance=disk)
    assert forget(disk, now_ms=now() + 25 * HOUR_MS, run_hours=24, history_days=14).minute_runs == 2
    assert forget(disk, now_ms=now() + 25 * HOUR_MS, run_hours=24, history_days=14).minute_runs == 1


def test_the_job_works_on_its_own_instance(disk: dg.DagsterInstance, services: Services) -> None:
    old = minutely.execute_in_process(instance=disk).run_id
    with disk.run_storage.connect() as connection:
        connection.execute(text("UPDATE runs SET update_timestamp = :then"), {"then": datetime(2025, 1, 1, tzinfo=UTC)})
    result = retain_dagster_history.execute_in_process(instance=disk, resources={"services": services})
    assert result.success
    assert old not in {run.run_id for run in disk.get_runs()}
