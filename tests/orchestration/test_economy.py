"""Reconciliation through Dagster: a clean comparison passes, a difference fails the run after it was written down."""

import dagster as dg

from clash_pipeline.clock import SettableClock
from clash_pipeline.clones import clones
from clash_pipeline.definitions import build_definitions
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database


def test_the_job_compares_and_fails_where_the_books_differ(
    settings: Settings, clock: SettableClock, clash: Database, instance: dg.DagsterInstance
) -> None:
    services = Services(settings, clock)
    job = build_definitions({"services": services}, settings).resolve_job_def("reconcile_economy")
    assert job.execute_in_process(instance=instance).success
    assert clones.create(clash, "One", engine="rules", now_ms=1) == 1
    with clash.write() as connection:
        connection.execute(
            "INSERT INTO clone_entitlements (source, ref, purpose, clone_id, capacity_tier, model_tier, granted_at, "
            "granted_by, reason) VALUES ('purchase', '9', 'audition', 1, 'pro', 3, 1, 'nobody', '')"
        )
    failed = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not failed.success
    with clash.read() as connection:
        rows = connection.execute("SELECT is_clean FROM reconciliations ORDER BY id").fetchall()
        told = connection.execute("SELECT ref FROM economy_incidents").fetchall()
    assert [row["is_clean"] for row in rows] == [1, 0]
    assert [row["ref"] for row in told] == ["E3 clone_entitlements(1)"]
    services.close()
