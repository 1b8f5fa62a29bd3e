"""A foreign process holds the write lock: writers hear it within five seconds, readers notice nothing (S4)."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from clash_pipeline.api.refusals import problem_of
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage import sqlite as storage
from clash_pipeline.storage.errors import StorageBusy
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import Database
from tests.fakes.desk import Desk

HOLD = """
import sys, pysqlite3
connection = pysqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The write lock is somebody else's."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.stdin.close()
        holder.stdout.close()
        holder.wait()


class Reader:
    """Reads accounts as a page would, for as long as it is asked to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.took: list[float] = []

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        database = open_clash(self._settings)
        while not self._stop.is_set():
            started = time.perf_counter()
            with database.read() as connection:
                connection.execute("SELECT * FROM prop_fills ORDER BY id DESC LIMIT 50").fetchall()
            self.took.append(time.perf_counter() - started)
        database.close()


def refused(desk: Desk, run_id: int) -> float:
    """Try to trade while the file is locked; how long it took to hear so."""
    desk.run_id = run_id
    started = time.perf_counter()
    with pytest.raises(StorageBusy) as raised:
        desk.submit(Proposal("BTC", "open_long", "1", 1))
    took = time.perf_counter() - started
    assert str(raised.value) == "the database is locked by another writer; try again"
    answer = problem_of(raised.value)
    assert (answer.status, answer.code) == (503, "storage_busy")
    return took


def episode(desk: Desk) -> list[float]:
    """One time of being locked, with its reads; afterwards everything is as if it had not been."""
    with capture_logs() as logs:
        with held(desk.settings.clash_db), Reader(desk.settings) as reader:
            assert refused(desk, 50) < 5
        first = desk.submit(Proposal("BTC", "open_long", "1", 1))
    assert [one.status for one in first] == ["filled"]
    assert [one.is_repeat for one in desk.submit(Proposal("BTC", "open_long", "1", 1))] == [True]
    assert not [line for line in logs if line["event"] == "busy_snapshot"]
    return reader.took


def test_a_locked_file_is_said_within_five_seconds_and_read_all_the_while(desk: Desk) -> None:
    took = episode(desk)
    assert len(took) > 50, "nobody waited for the writer"


def test_a_shorter_patience_is_a_setting(desk: Desk) -> None:
    hasty = load({"CLASH_HOME": str(desk.settings.home), "CLASH_BUSY_TIMEOUT_MS": "50"})
    desk.clash.close()
    desk.clash = open_clash(hasty)
    with held(hasty.clash_db):
        assert refused(desk, 60) < 1
    assert desk.submit(Proposal("BTC", "open_long", "1", 1))[0].status == "filled"


@pytest.mark.soak
@pytest.mark.parametrize("number", range(20))
def test_thirty_seconds_of_a_locked_file(desk: Desk, number: int) -> None:
    with capture_logs() as logs, held(desk.settings.clash_db), Reader(desk.settings) as reader:
        started = time.monotonic()
        while time.monotonic() - started < 30:
            assert refused(desk, 50 + number) < 5
    assert statistics.quantiles(reader.took, n=100)[98] < 0.05
    assert not [line for line in logs if line["event"] == "busy_snapshot"]
    assert desk.submit(Proposal("BTC", "open_long", "1", 1))[0].status == "filled"


def test_control_a_read_that_becomes_a_write_is_found_in_the_log(tmp_path: Path) -> None:
    """The one way to SQLITE_BUSY_SNAPSHOT, which no statement of ours takes: it fails at once, whatever the timeout."""
    database = Database(tmp_path / "a.db", application_id=0x7E57)
    with database.write() as connection:
        connection.execute("CREATE TABLE t (x)")
    other = storage.sqlite.connect(str(tmp_path / "a.db"), isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM t").fetchall()
    with database.write() as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(storage.OperationalError) as raised:
        other.execute("INSERT INTO t VALUES (2)")
    with capture_logs() as logs:
        assert isinstance(storage._translated(raised.value), StorageBusy)
    assert [line["event"] for line in logs] == ["busy_snapshot"]
    other.close()


def test_control_without_a_holder_nothing_is_refused(desk: Desk) -> None:
    assert desk.order("open_long", size_pct="1").status == "filled"
