"""Migrations in processes that may be killed: a parent that only imports, and a forked child for each attempt.

Run as `python -m tests.fakes.migrating_child`. Each line in is JSON `{path, schema, fault, mode}`; each line out is the
exit status. Mode `by_statement` is the negative control: there is no transaction around the whole.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clash_pipeline import faults
from clash_pipeline.storage.migrations import migrate
from clash_pipeline.storage.sqlite import Connection, Database

ROOT = Path(__file__).resolve().parents[2]
APPLICATION_ID = 0x7E57


class Careless(Database):
    """A database without transactions."""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The connection, every statement for itself."""
        yield self._connection("writer")


class Worker:
    """The parent of the children, seen from the test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def migrate(self, path: Path, schema: str, fault: str = "", mode: str = "whole") -> int:
        """Migrate a file in a child; its exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"path": str(path), "schema": schema, "fault": fault, "mode": mode}
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
        kind = Careless if order["mode"] == "by_statement" else Database
        faults.arm(order["fault"])
        migrate(kind(Path(order["path"]), application_id=APPLICATION_ID), order["schema"])
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
