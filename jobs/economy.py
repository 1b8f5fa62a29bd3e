"""Real money: the books compared with themselves and with the chain."""

import dagster as dg

from clash_pipeline.services import Services
from jobs.labels import labels
from resources.beta import OPERATIONS


@dg.op(description="Compares books and chain: what is due, or the newest blocks.", code_version="1")
def compare_books(context: dg.OpExecutionContext, services: dg.ResourceParam[Services]) -> None:
    """Reconcile once; a difference fails the run, after it was written down and raised."""
    from clash_pipeline.economy import reconciliation

    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        kind = reconciliation.due(connection, services.settings, now_ms) or "incremental"
    with services.chain() as parts:
        report = reconciliation.reconcile(services.clash, parts, kind, now_ms)
    seen = {"kind": report.kind, "through_block": report.through or 0, "chain": report.why_blind or "asked"}
    context.add_output_metadata({**seen, "differences": len(report.differences)})
    if not report.is_clean:
        found = "; ".join(f"{each.invariant} {each.row}: {each.message}" for each in report.differences[:5])
        raise dg.Failure(f"{len(report.differences)} differences: {found}", allow_retries=False)


@dg.job(
    description="Compares purchases, deposits, ledger, entitlements, payouts and the chain (09 §4.11).",
    executor_def=dg.in_process_executor,
    owners=OPERATIONS,
    tags=labels("economy", "minute", alone="reconcile_economy"),
)
def reconcile_economy() -> None:
    """Compare once."""
    compare_books()
