"""A9: each connection of a test, and of the processes that it starts, goes to this machine; audit hooks watch it."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.watched import sitecustomize
from tests.fakes.watched.sitecustomize import LOG, host_of, watch

FOLDER = Path(sitecustomize.__file__).parent
_watchers: list[list[str]] = []


def begin() -> None:
    """Watch this process from now on, and each Python that it starts with its own environment."""
    handle, path = tempfile.mkstemp(prefix="egress-")
    os.close(handle)
    os.environ[LOG] = path
    paths = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and part != str(FOLDER)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER), *paths])
    sys.addaudithook(watch)
    sys.addaudithook(_tell)


def end() -> None:
    """Take the log away."""
    Path(os.environ.pop(LOG)).unlink(missing_ok=True)


def tried() -> list[str]:
    """What was tried since the last time that somebody asked."""
    path = Path(os.environ[LOG])
    if not path.exists() or path.stat().st_size == 0:
        return []
    found = path.read_text().splitlines()
    os.truncate(path, 0)
    return found


@contextmanager
def reached() -> Iterator[list[str]]:
    """Every host that this process reaches or asks for meanwhile, this machine too."""
    hosts: list[str] = []
    _watchers.append(hosts)
    try:
        yield hosts
    finally:
        _watchers.remove(hosts)


def _tell(event: str, arguments: tuple[object, ...]) -> None:
    if _watchers and (host := host_of(event, arguments)) is not None:
        for hosts in _watchers:
            hosts.append(host)
