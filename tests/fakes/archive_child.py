"""Archive work in processes that may be killed: a parent that only imports, and a forked child for each piece of work.

Run as `python -m tests.fakes.archive_child`. Each line in is JSON `{home, fault, work, now}`; each line out is the exit
status of the child, -9 when a fault point killed it. Forking from a process that never computed is safe for polars,
and saves a second of imports a child.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars  # noqa: F401  (imported before the fork on purpose)
import pyarrow.parquet  # noqa: F401

from clash_pipeline import faults
from clash_pipeline.archive import partitions, retention, rows
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.settings import load
from clash_pipeline.storage.files import open_market
from tests.fakes.market_days import DAY

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """The parent of the children, seen from the test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, home: Path, work: str, now_ms: int, fault: str = "") -> int:
        """Do one piece of work (`retain` or `restore`) in a child; its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"home": str(home), "work": work, "now": now_ms, "fault": fault}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def worker() -> Iterator[Worker]:
    """Start the parent; it ends with its input."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Worker(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Take orders until the input ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _work(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _work(order: dict[str, str]) -> None:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        rows.WRITE_ROWS = 25
        settings = load({"CLASH_HOME": order["home"]})
        market, store = open_market(settings), FileStore(settings.file_store)
        faults.arm(order["fault"])
        if order["work"] == "retain":
            retention.run(market, store, settings, int(order["now"]))
        else:
            for name in TABLES:
                if list(store.list(f"market/{name}/")):
                    partitions.restore_day(market, store, name, DAY, int(order["now"]))
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
