"""The heartbeat of a process that serves: a row every few seconds, and a last one when it says goodbye (07)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import structlog

from clash_pipeline.services import Services
from clash_pipeline.storage import heartbeats
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.leases import this_process

log = structlog.get_logger(__name__)


@contextmanager
def beats(services: Services, worker: str) -> Iterator[None]:
    """Beat in a thread of its own until the block ends; a busy database costs a beat, never the worker."""
    stop = threading.Event()
    _beat(services, worker)
    thread = threading.Thread(target=_until, args=(services, worker, stop), name=f"beat-{worker}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        _beat(services, worker, stopped=True)


def _until(services: Services, worker: str, stop: threading.Event) -> None:
    while not stop.wait(services.settings.heartbeat_every_sec):
        _beat(services, worker)


def _beat(services: Services, worker: str, *, stopped: bool = False) -> None:
    try:
        heartbeats.beat(
            services.clash, worker, instance=this_process(), now_ms=services.wall.now_ms(),
            expected_interval_sec=services.settings.heartbeat_every_sec, version=version("clash-pipeline"),
            stopped=stopped,
        )  # fmt: skip
    except StorageError as error:
        log.warning("heartbeat_failed", worker=worker, error=str(error))
