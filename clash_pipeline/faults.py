"""Named fault points: no-ops in production, places where a test can make the process die, fail or stall.

`CLASH_FAULT=name:action` (or several, comma separated) arms a point for one process; `action` is `kill`, `raise`,
`io-error` or `sleep=SECONDS`, and `name@N` waits for the N-th hit. Points must be registered by `point`, so that the
suite can prove that every one of them is hit.
"""

import os
import signal
import time
from dataclasses import dataclass, field

REGISTERED: set[str] = set()


class InjectedFault(RuntimeError):
    """Raised by an armed `raise` fault point; never seen outside tests."""


@dataclass
class _Armed:
    action: str
    after: int
    hits: int = field(default=0)


def point(name: str) -> str:
    """Register a fault point name and return it."""
    REGISTERED.add(name)
    return name


def fault(name: str) -> None:
    """Do nothing, unless a test armed this point."""
    if not _armed and not _observers:
        return
    for observer in _observers:
        observer(name)
    armed = _armed.get(name)
    if armed is None:
        return
    armed.hits += 1
    if armed.hits == armed.after:
        _act(name, armed.action)


def arm(specification: str) -> None:
    """Arm the points of a `name[@N]:action` list; an empty text disarms all."""
    _armed.clear()
    for item in filter(None, specification.split(",")):
        place, _, action = item.partition(":")
        name, _, nth = place.partition("@")
        _armed[name] = _Armed(action or "kill", int(nth or 1))


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "io-error":
        raise OSError(5, f"injected input/output error at {name}")
    elif action.startswith("sleep="):
        time.sleep(float(action.removeprefix("sleep=")))
    else:
        raise InjectedFault(name)


_armed: dict[str, _Armed] = {}
_observers: list = []  # type: ignore[type-arg]  # callables of the suite that records which points were hit
arm(os.environ.get("CLASH_FAULT", ""))
