"""The audit of the books: changed accounts every ten minutes, everything at night; what does not close stops money."""

import dagster as dg

from clash_pipeline.services import Services
from jobs.labels import labels
from resources.beta import OPERATIONS

DIFFERENCE_COLUMNS = ("invariant", "row", "difference")


class Extent(dg.Config):
    """How much is audited."""

    is_full: bool = False


@dg.op(description="Audits the books and stops money where they do not close.", code_version="1")
def check_books(context: dg.OpExecutionContext, config: Extent, services: dg.ResourceParam[Services]) -> None:
    """Audit once; a difference fails the run, after it was written down and money was stopped."""
    from clash_pipeline.alerts import books
    from clash_pipeline.market.plots import table

    checked = books.check(services, is_full=config.is_full)
    rows = [(one.invariant, one.row, one.message) for one in checked.differences]
    shown = {"differences": dg.MetadataValue.md(table(DIFFERENCE_COLUMNS, rows, limit=60))} if rows else {}
    context.add_output_metadata({"accounts": checked.accounts, "is_full": checked.is_full, **shown})
    if rows:
        first = checked.differences[0]
        raise dg.Failure(
            f"{len(rows)} differences, money is stopped; the first: {first.invariant} {first.row} {first.message}",
            allow_retries=False,
        )


@dg.job(
    description="Audits changed accounts, or with is_full every book; throws the kill switches over a difference.",
    executor_def=dg.in_process_executor,
    owners=OPERATIONS,
    tags=labels("audit", "minute", alone="audit_books"),
)
def audit_books() -> None:
    """Audit the books."""
    check_books()
