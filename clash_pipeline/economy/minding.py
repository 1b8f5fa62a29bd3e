"""One cycle of the economy's worker, with or without a chain: watch, end what nobody paid, compare when that is due."""

from dataclasses import dataclass

from clash_pipeline.clock import SECOND_MS
from clash_pipeline.economy import purchases, reconciliation
from clash_pipeline.economy.chain import watcher
from clash_pipeline.economy.chain.confirming import Parts
from clash_pipeline.economy.chain.watcher import Step
from clash_pipeline.economy.reconciliation import Report
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database


@dataclass(frozen=True)
class Minded:
    """What a cycle did; no step where no chain is set, no report where none was due."""

    step: Step | None
    expired: int
    report: Report | None

    def sentence(self) -> str:
        """The cycle in one line."""
        watched = self.step.sentence() if self.step else f"no chain is set (CLASH_CHAIN_URLS), {self.expired} expired"
        return watched if self.report is None else f"{watched}; {told(self.report)}"


def mind(clash: Database, settings: Settings, parts: Parts | None, now_ms: int) -> Minded:
    """Do all that is due now."""
    step = None if parts is None else watcher.step(parts, now_ms)
    expired = step.expired if step is not None else _expire(clash, settings, now_ms)
    with clash.read() as connection:
        kind = reconciliation.due(connection, settings, now_ms)
    report = None if kind is None else reconciliation.reconcile(clash, parts, kind, now_ms)
    return Minded(step, expired, report)


def told(report: Report) -> str:
    """A report in one line."""
    seen = "without a chain" if report.through is None else f"through block {report.through}"
    found = "clean" if report.is_clean else f"{len(report.differences)} differences"
    blind = f" ({report.why_blind})" if report.why_blind else ""
    return f"{report.kind} reconciliation {seen}{blind}: {found}"


def _expire(clash: Database, settings: Settings, now_ms: int) -> int:
    """Without a chain nobody can pay; quotes end all the same."""
    times = {"grace_ms": settings.quote_grace_sec * SECOND_MS, "pending_ms": settings.pending_sec * SECOND_MS}
    with clash.write() as connection:
        return len(purchases.expire(connection, now_ms=now_ms, **times))
