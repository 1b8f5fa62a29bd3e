"""What every definition carries, and how the domain's answers become metadata that a person looks at."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.partitions import key_of

if TYPE_CHECKING:
    from clash_pipeline.market.backfill import Outcome
    from clash_pipeline.market.checks import Verdict

KINDS = {"python", "sqlite"}
SEVERITIES = {"warn": dg.AssetCheckSeverity.WARN, "error": dg.AssetCheckSeverity.ERROR}


def metadata(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as metadata: unknown ones are left out, tables and pictures are Markdown."""
    return {name: _value(value) for name, value in figures.items() if value is not None}


def checked(verdict: "Verdict", name: str | None = None) -> dg.AssetCheckResult:
    """A verdict of the domain as the result of an asset check, with its first offending rows as a table."""
    from clash_pipeline.market.plots import table

    examples = {"examples": dg.MetadataValue.md(table(verdict.columns, verdict.examples))} if verdict.examples else {}
    return dg.AssetCheckResult(
        check_name=name,
        passed=verdict.passed,
        severity=SEVERITIES[verdict.severity],
        description=verdict.summary,
        metadata={**verdict.figures, **examples},
    )


def reported(
    context: dg.AssetExecutionContext,
    outcome: "Outcome",
    *,
    asset_key: str | None = None,
    check_results: Sequence[dg.AssetCheckResult] = (),
    show: Callable[[], Mapping[str, object]] = dict,
) -> dg.MaterializeResult:
    """The outcome of one or many partitions; when some were refused, the others are kept and the step fails.

    `show` draws what a person looks at; a run of many partitions does without, because each keeps a copy.

    Raises:
        dg.Failure: names how many partitions were refused and the first reason; trying again alone does not help.
    """
    from clash_pipeline.market.backfill import SHOWN_COLUMNS
    from clash_pipeline.market.plots import table

    shown = dg.MetadataValue.md(table(SHOWN_COLUMNS, [filled.shown for filled in outcome.filled]))
    if outcome.refused:
        for filled in outcome.filled:
            figures: dict[str, str | int] = {"rows": filled.rows, "added": filled.added, "origin": filled.origin}
            context.log_event(
                dg.AssetMaterialization(asset_key or context.asset_key, partition=key_of(filled.span), metadata=figures)
            )
        raise dg.Failure(
            f"{len(outcome.refused)} of {len(outcome.refused) + len(outcome.filled)} partitions: {outcome.refused[0]}",
            metadata={"refused": dg.MetadataValue.md(table(("reason",), [(str(why),) for why in outcome.refused]))},
            allow_retries=False,
        )
    rows, added = sum(filled.rows for filled in outcome.filled), sum(filled.added for filled in outcome.filled)
    pictures = show() if len(outcome.filled) == 1 else {}
    origins = ", ".join(sorted({filled.origin for filled in outcome.filled}))
    return dg.MaterializeResult(
        asset_key=asset_key,
        metadata=metadata({"rows": rows, "added": added, "origin": origins, "partitions": shown, **pictures}),
        check_results=list(check_results),
    )


def _value(value: Any) -> Any:
    return dg.MetadataValue.md(value) if isinstance(value, str) and value.startswith(("| ", "![")) else value
