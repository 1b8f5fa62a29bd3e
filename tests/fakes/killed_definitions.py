"""The product's decision jobs and sensors, in a code location whose run workers die where the test says.

Each run worker takes one file of the folder `faults` in the home, if there is one left, and arms what it names. Code
server and daemon load the same module and arm nothing.
"""

import multiprocessing
import os
from pathlib import Path

import dagster as dg

from clash_pipeline import faults
from clash_pipeline.settings import load
from jobs.decisions import decide_due, fill_prop_orders
from resources.defaults import default_resources
from sensors.decisions import due_decisions, undelivered_fills

EVERY_SEC = 5


def arm_one(folder: Path) -> str | None:
    """Take the first fault that no other process has taken, and arm it."""
    for file in sorted(folder.glob("*")):
        taken = folder.parent / f"taken-{file.name}-{os.getpid()}"
        try:
            file.rename(taken)
        except FileNotFoundError:
            continue
        faults.arm(taken.read_text())
        return taken.read_text()
    return None


@dg.definitions
def defs() -> dg.Definitions:
    """What decides, and nothing else."""
    settings = load()
    if multiprocessing.parent_process() is not None:  # the code server starts run workers as its own processes
        arm_one(settings.home / "faults")
    return dg.Definitions(
        jobs=(decide_due, fill_prop_orders),
        sensors=[due_decisions(EVERY_SEC), undelivered_fills(EVERY_SEC)],
        resources={"in_memory": dg.mem_io_manager, **default_resources()},
        executor=dg.in_process_executor,
    )
