"""Retention of the market memory and of account snapshots: archive, verify, prune; never the other way round."""

import dagster as dg

from assets.archive import archived_tables
from assets.partitions import day_key
from clash_pipeline.clock import DAY_MS
from clash_pipeline.services import Services
from jobs.labels import labels
from resources.beta import OPERATIONS

DAY_COLUMNS = ("table", "day", "outcome", "rows", "reason")


@dg.op(
    description="Archives every ended day, verifies it in the store, and prunes what is older than its hot window;"
    " minutes of account snapshots are thinned to hours.",
    code_version="2",
    retry_policy=dg.RetryPolicy(max_retries=1, delay=30),
)
def retain(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Do what is due; a store that is down only delays, and is a failure only when a person should look.

    Newly archived days are reported on their archive assets, as runless events that outlive this run's history.
    """
    from clash_pipeline.archive import retention
    from clash_pipeline.archive.retention import Outcome
    from clash_pipeline.market import ingestion
    from clash_pipeline.market.plots import table
    from clash_pipeline.prop import snapshot_archive

    now_ms = services.clock.now_ms()
    report = retention.run(services.market, services.store, services.settings, now_ms)
    minutes = snapshot_archive.retain(services.clash, services.store, now_ms)
    shown = {archived.name for archived in archived_tables()}
    for day in report.archived:
        if day.table in shown:
            event = dg.AssetMaterialization(
                f"{day.table}_archive", partition=day_key(day.day), metadata={"rows": day.rows, "by": context.job_name}
            )
            context.instance.report_runless_asset_event(event)
    moved = [one for one in report.days if one.outcome is not Outcome.KEPT]
    rows = [(one.table, day_key(one.day), one.outcome.value, one.rows, one.reason) for one in moved]
    days = dg.MetadataValue.md(table(DAY_COLUMNS, rows, limit=60))
    forgotten = ingestion.forget(services.market, before_ms=now_ms - services.settings.ingestion_history_days * DAY_MS)
    context.add_output_metadata(
        {
            **report.counts,
            "pruned_rows": report.pruned_rows,
            "snapshot_days": len(minutes.archived),
            "snapshots_thinned": minutes.thinned_rows,
            "snapshot_days_delayed": len(minutes.problems),
            "forgotten_cycles": forgotten,
            "days": days,
        }
    )
    if failed := [one for one in report.problems if one.outcome is Outcome.FAILED]:
        raise dg.Failure(f"{len(failed)} days need a person: {failed[0].table} {failed[0].reason}", allow_retries=False)


@dg.job(
    description="Archive, verify, prune the market memory by whole UTC days.",
    executor_def=dg.in_process_executor,
    owners=OPERATIONS,
    tags=labels("retention", "hour", alone="retain_market_memory"),
)
def retain_market_memory() -> None:
    """Archive → verify → prune."""
    retain()
