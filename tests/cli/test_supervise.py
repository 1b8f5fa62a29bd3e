"""The supervisor: starts, restarts with back-off, stops everything it started."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clash_pipeline.cli import supervise
from clash_pipeline.cli.supervise import Child, Supervisor


def child(tmp_path: Path, code: str, name: str = "worker") -> Child:
    return Child(name, [sys.executable, "-c", code], dict(os.environ), tmp_path / f"{name}.log")


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "did not happen within 20 s"
        time.sleep(0.01)


def test_a_child_that_ends_is_started_again_after_its_back_off(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "RESTART_MIN_SEC", 0.01)
    said: list[str] = []
    worker = child(tmp_path, "print('here', flush=True)")
    worker.back_off_sec = 0.01
    with Supervisor([worker], said.append) as supervisor:

        def restarted() -> bool:
            supervisor.look()
            return worker.restarts >= 2

        wait_for(restarted)
    assert worker.back_off_sec > 0.01
    assert any("ended with 0" in line for line in said)
    assert "here" in worker.last_lines()


def test_leaving_stops_every_child_even_one_that_ignores_the_request(tmp_path, monkeypatch):
    monkeypatch.setattr(supervise, "STOP_WITHIN_SEC", 0.3)
    stubborn = child(tmp_path, STUBBORN)
    with Supervisor([stubborn], lambda line: None):
        wait_for(lambda: "up" in stubborn.last_lines())
    assert stubborn.process is not None
    assert stubborn.process.returncode == -signal.SIGKILL


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def test_an_interrupt_while_they_are_stopped_ends_all_of_them_at_once(tmp_path):
    both = [child(tmp_path, STUBBORN, name) for name in ("one", "two")]
    with Supervisor(both, lambda line: None):
        wait_for(lambda: all("up" in worker.last_lines() for worker in both))
        again = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
        again.start()
    again.join()
    codes = [worker.process.returncode for worker in both if worker.process]
    assert codes == [-signal.SIGKILL] * 2, "both were ended, and no interrupt came out of the stopping"


def test_an_interrupt_while_they_are_started_leaves_none_behind(tmp_path):
    worker = child(tmp_path, "import time; time.sleep(60)")

    def interrupted(line: str) -> None:
        if "started" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Supervisor([worker], interrupted):
        pass
    assert worker.process is not None
    assert not worker.is_alive()


def test_a_child_hears_sigint_although_ours_was_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        listener = child(
            tmp_path, "import signal; print(signal.getsignal(signal.SIGINT) != signal.SIG_IGN, flush=True)"
        )
        with Supervisor([listener], lambda line: None):
            wait_for(lambda: listener.last_lines() != "")
    finally:
        signal.signal(signal.SIGINT, before)
    assert listener.last_lines() == "True"
