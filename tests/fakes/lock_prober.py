"""A foreign process that tries to take the write lock of a database (09 §8.4)."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROBE = """
import sys
import pysqlite3
for line in sys.stdin:
    connection = pysqlite3.connect(line.rstrip("\\n"), timeout=0.3, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        print("taken", flush=True)
    except pysqlite3.OperationalError as error:
        print("refused" if "locked" in str(error) else f"failed: {error}", flush=True)
    connection.close()
"""


class Prober:
    """The other process, seen from the test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def try_lock(self, path: Path) -> str:
        """`refused` while somebody holds the write lock, `taken` when the prober got it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")


@contextmanager
def prober() -> Iterator[Prober]:
    """Start the other process; it ends with its input."""
    process = subprocess.Popen([sys.executable, "-c", PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Prober(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()
