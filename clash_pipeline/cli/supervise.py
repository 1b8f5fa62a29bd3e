"""Run a set of processes together: start in order, restart with back-off, stop cleanly in reverse order."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESTART_MIN_SEC = 1.0
RESTART_MAX_SEC = 30.0
HEALTHY_AFTER_SEC = 60.0
"""A child that ran this long starts again at the shortest back-off."""
STOP_WITHIN_SEC = 15.0


@dataclass
class Child:
    """One supervised process; its output goes to `log`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0
    not_before: float = 0.0
    back_off_sec: float = field(default=RESTART_MIN_SEC)

    def start(self) -> None:
        """Start it in a session of its own."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603  # our own command lines
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started_at = time.monotonic()

    def is_alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and end its whole session when it does not."""
        if self.process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_WITHIN_SEC)
        except subprocess.TimeoutExpired:
            self.kill()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone, not to what it started."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End the process and everything it started, at once."""
        if self.process is None:
            return
        self.end_session()
        self.process.wait()

    def end_session(self) -> None:
        """The signal alone; never waits, so that a handler may call it."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def last_lines(self, count: int = 5) -> str:
        """The end of its log, for an error message."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-count:])


class Supervisor:
    """Keeps its children alive until it is left; `say` hears of every start, end and restart.

    Whoever interrupts once more while they are being stopped does not want to wait: what still runs is ended at once.
    """

    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        self.children = list(children)
        self._say = say

    def __enter__(self) -> "Supervisor":
        _hear_signals()
        try:
            for child in self.children:
                child.start()
                self._say(f"{child.name} started (pid {child.process.pid if child.process else 0})")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        heard = [signal.signal(number, self._hurry) for number in (signal.SIGINT, signal.SIGTERM)]
        for child in reversed(self.children):
            child.stop()
            self._say(f"{child.name} stopped")
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), heard, strict=True):
            signal.signal(number, handler)

    def _hurry(self, *_: object) -> None:
        for child in self.children:
            child.end_session()

    def look(self) -> None:
        """Restart what ended and may be started again; call it about once a second."""
        now = time.monotonic()
        for child in self.children:
            if child.is_alive():
                continue
            if child.not_before == 0.0:
                self._plan_restart(child, now)
            elif now >= child.not_before:
                child.restarts += 1
                child.not_before = 0.0
                child.start()
                self._say(f"{child.name} restarted ({child.restarts} times so far)")

    def _plan_restart(self, child: Child, now: float) -> None:
        code = child.process.returncode if child.process else None
        if now - child.started_at > HEALTHY_AFTER_SEC:
            child.back_off_sec = RESTART_MIN_SEC
        child.not_before = now + child.back_off_sec
        self._say(f"{child.name} ended with {code}; again in {child.back_off_sec:g} s; log: {child.log}")
        child.back_off_sec = min(child.back_off_sec * 2, RESTART_MAX_SEC)


def _hear_signals() -> None:
    """A shell's background job ignores SIGINT, children inherit that, and Dagster maps TERM to the INT handler."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
