"""Work in processes that may be killed: a parent that only imports, and a forked child for each piece of work.

A module that can be run (`python -m …`) calls `serve(work)`; the test holds `parent_of(module)` and gives orders. Each
line in is a JSON order, each line out the exit status of the child, -9 when a fault point killed it. Forking from a
process that never computed is safe, and saves the imports of each child.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clash_pipeline import faults

ROOT = Path(__file__).resolve().parents[2]


class Parent:
    """The parent of the children, seen from the test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def order(self, *, fault: str = "", **order: object) -> int:
        """Do one piece of work in a child with a fault point armed; its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**order, "fault": fault}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def parent_of(module: str) -> Iterator[Parent]:
    """Start the parent; it ends with its input."""
    process = subprocess.Popen(
        [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Parent(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()


def without_pandas() -> None:
    """Nobody here needs it, but sqlite_utils imports it where it is installed, and each fork would copy it."""
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]


def serve(work: Callable[[Mapping[str, Any]], object]) -> None:
    """Take orders until the input ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _in_child(work, json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _in_child(work: Callable[[Mapping[str, Any]], object], order: Mapping[str, Any]) -> None:
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        faults.arm(order["fault"])
        work(order)
        status = 0
    finally:
        os._exit(status)
