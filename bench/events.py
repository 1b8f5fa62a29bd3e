"""Bytes that runs leave in Dagster's history, beside a job of one empty op, and what that is a day.

Each job runs once in this process on a storage of its own; a day has as many of them as the cadences of production
start at most, with five waves a cadence.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from bench.decisions import _traders
from bench.harness import Bench, Contender
from clash_pipeline.clock import DAY_MS, MINUTE_MS
from clash_pipeline.definitions import build_definitions

ACCOUNTS, CADENCE_MS, WAVES = 100, 300_000, 5
RUNS_A_DAY = {
    "decide_due": DAY_MS // CADENCE_MS * WAVES,
    "fill_prop_orders": DAY_MS // CADENCE_MS,
    "mark_to_market": DAY_MS // MINUTE_MS,
}
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
"""Only what is printed; the history is the same."""


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job
def empty() -> None:
    """One op that does nothing."""
    nothing()


class History:
    """A job with what it needs, and an empty history, whose tables are there already."""

    def __init__(self, name: str, accounts: int) -> None:
        self.runs_a_day = RUNS_A_DAY.get(name, 0)
        self.home = Path(tempfile.mkdtemp(prefix="clash-bench-history-"))
        weakref.finalize(self, shutil.rmtree, self.home, ignore_errors=True)
        self.instance = dg.DagsterInstance.local_temp(str(self.home))
        self.job: Any = empty
        if name in RUNS_A_DAY:
            box = _traders(accounts, "memory")
            self.job = build_definitions({"services": box}, box.settings).resolve_job_def(name)
        empty.execute_in_process(instance=self.instance, run_config=QUIET)
        self.before = self.size()

    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.home.rglob("*") if path.is_file())


def benches(quick: bool) -> tuple[Bench, ...]:
    """The jobs of a cadence, each with the work it has for so many accounts of ten assets."""
    accounts = 5 if quick else ACCOUNTS
    contenders = (
        Contender("a job of one empty op", "floor", partial(History, "empty", accounts), run, figures),
        *(Contender(name, "ours", partial(History, name, accounts), run, figures) for name in RUNS_A_DAY),
    )
    title = f"Bytes in Dagster's history, {accounts} accounts of ten assets"
    return (Bench("events", title, "runs", contenders, 1, is_long=True, has_memory=False),)


def run(history: History) -> int:
    """One run."""
    if not history.job.execute_in_process(instance=history.instance, run_config=QUIET).success:
        raise RuntimeError(f"{history.job.name} failed")
    return 1


def figures(history: History) -> Mapping[str, float]:
    """What it grew by, and so a day."""
    grown = history.size() - history.before
    history.instance.dispose()
    a_day = {"runs a day": history.runs_a_day, "MiB a day": grown * history.runs_a_day / 2**20}
    return {"KiB a run": grown / 1024} | (a_day if history.runs_a_day else {})
