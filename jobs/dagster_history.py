"""Dagster's own history, which nothing else prunes: finished runs with their files, and runless events."""

import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.services import Services
from jobs.labels import CADENCE_TAG, labels
from resources.beta import OPERATIONS

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
BATCH = 200
MOST_AT_ONCE = 4_000
"""Runs deleted by one pass, about a minute at 16 ms each; the rest waits for the next hour."""
RUNLESS = ""
"""The run id Dagster files an event under that no run reported."""


class Forgotten(NamedTuple):
    """What one pass deleted."""

    minute_runs: int
    other_runs: int
    runless_events: int


def forget(instance: dg.DagsterInstance, *, now_ms: int, run_hours: int, history_days: int) -> Forgotten:
    """Delete finished runs older than the settings allow, minute-cadence ones earlier, and old runless observations.

    Dagster's history runs on the machine's time, whatever clock the market replays.
    """
    minute_before, other_before = now_ms - run_hours * HOUR_MS, now_ms - history_days * DAY_MS
    minute_runs = _forget_runs(instance, minute_before, {CADENCE_TAG: "minute"})
    other_runs = _forget_runs(instance, other_before, {})
    return Forgotten(minute_runs, other_runs, _forget_runless(instance, minute_before))


@dg.op(
    description="Deletes finished runs and old runless events from Dagster's own storage.",
    code_version="1",
    tags={"dagster/kind": "sqlite"},
)
def forget_dagster_history(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Delete what the settings say is old, and say how much it was."""
    settings = services.settings
    forgotten = forget(
        context.instance,
        now_ms=round(datetime.now(UTC).timestamp() * 1000),
        run_hours=settings.dagster_run_hours,
        history_days=settings.dagster_history_days,
    )
    context.add_output_metadata(forgotten._asdict())


@dg.job(
    description="Prunes Dagster's run and event history; the databases of record are not touched.",
    executor_def=dg.in_process_executor,
    owners=OPERATIONS,
    tags=labels("retention", "hour", alone="retain_dagster_history"),
)
def retain_dagster_history() -> None:
    """Forget what the settings say is old."""
    forget_dagster_history()


# how it is done


def _forget_runs(instance: dg.DagsterInstance, before_ms: int, tags: Mapping[str, str]) -> int:
    before = datetime.fromtimestamp(before_ms / 1000, UTC)
    deleted = 0
    for run_id in _oldest(instance, dg.RunsFilter(statuses=FINISHED, tags=tags, updated_before=before)):
        instance.delete_run(run_id)
        _remove_files(Path(instance.root_directory), run_id)
        deleted += 1
    return deleted


def _oldest(instance: dg.DagsterInstance, wanted: dg.RunsFilter) -> Iterator[str]:
    for _ in range(MOST_AT_ONCE // BATCH):
        records = instance.get_run_records(wanted, limit=BATCH, order_by="update_timestamp", ascending=True)
        yield from (record.dagster_run.run_id for record in records)
        if len(records) < BATCH:
            return


def _remove_files(home: Path, run_id: str) -> None:
    """`delete_run` empties a run's own SQLite file but leaves it, and the folders of its values and output."""
    for name in (f"{run_id}.db", f"{run_id}.db-wal", f"{run_id}.db-shm"):
        (home / "history" / "runs" / name).unlink(missing_ok=True)
    shutil.rmtree(home / "storage" / run_id, ignore_errors=True)


def _forget_runless(instance: dg.DagsterInstance, before_ms: int) -> int:
    """Delete old runless events without a partition, but keep the newest of each kind and asset.

    Dagster has no call for this; the statement touches the two tables that `delete_run` does. Other storages than
    SQLite keep theirs.
    """
    from sqlalchemy import text

    storage = instance.event_log_storage
    if not hasattr(storage, "index_connection") or not hasattr(storage, "run_connection"):
        return 0
    old = {"runless": RUNLESS, "before": datetime.fromtimestamp(before_ms / 1000, UTC).replace(tzinfo=None)}
    with storage.run_connection(RUNLESS) as connection:
        connection.execute(text(_DELETE_OLD), old)
    with storage.index_connection() as connection:
        deleted = connection.execute(text(_DELETE_OLD), old).rowcount
        connection.execute(text(_DELETE_ORPHANED_TAGS))
    return max(int(deleted), 0)


_DELETE_OLD = """
DELETE FROM event_logs WHERE run_id = :runless AND partition IS NULL AND timestamp < :before
AND id NOT IN (SELECT max(id) FROM event_logs WHERE run_id = :runless GROUP BY asset_key, dagster_event_type)
"""
_DELETE_ORPHANED_TAGS = """
DELETE FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)
"""
