"""Children that execute a wave as Dagster's job on a stored instance, and may be killed in it."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import dagster as dg

from clash_pipeline.clock import SettableClock
from clash_pipeline.definitions import build_definitions
from clash_pipeline.services import Services
from clash_pipeline.settings import load
from tests.fakes import forking


def work(order: Mapping[str, Any]) -> None:
    """One run of a job, at a moment."""
    services = Services(load({"CLASH_HOME": order["home"]}), SettableClock(order["now_ms"]))
    job = build_definitions({"services": services}, services.settings).resolve_job_def(order["job"])
    with dg.DagsterInstance.local_temp(order["dagster_home"]) as instance:
        assert job.execute_in_process(instance=instance).success
    services.close()


@dg.job
def nothing() -> None:
    """Executed once by the parent, so that no child has to import what an execution needs."""


if __name__ == "__main__":
    nothing.execute_in_process()
    for module in ("decisions.waves", "market.plots", "archive.file_store", "archive.choice"):
        import_module(f"clash_pipeline.{module}")
    forking.serve(work)
