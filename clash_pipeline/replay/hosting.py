"""A replayed venue as a process or, for tests and the demo, as a thread of one."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.server import application
from clash_pipeline.replay.venue import Venue

LOOPBACK = "127.0.0.1"
READY_SEC = 10.0


def listening(port: int) -> socket.socket:
    """A socket that accepts on loopback from now on; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((LOOPBACK, port))
        opened.listen(128)
    except OSError:
        opened.close()
        raise
    return opened


def url_of(opened: socket.socket) -> str:
    """The base address of a listening socket."""
    return f"http://{LOOPBACK}:{opened.getsockname()[1]}"


def server_of(venue: Venue, *, recordings: Path | None = None, speed: float | None = None) -> uvicorn.Server:
    """The server of a venue, without protocol pings, so that a stalled link is silent."""
    return uvicorn.Server(
        uvicorn.Config(
            application(venue, recordings=recordings, speed=speed),
            log_level="critical",
            access_log=False,
            ws="websockets-sansio",
            ws_ping_interval=None,
            ws_ping_timeout=None,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
    )


@contextmanager
def hosted(
    venue: Venue, *, recordings: Path | None = None, speed: float | None = None, port: int = 0
) -> Iterator[VenueControls]:
    """Serve a venue from a thread of this process; its controls, whose `base_url` is the address."""
    with serving(server_of(venue, recordings=recordings, speed=speed), "venue", port) as url:
        yield VenueControls(url)


@contextmanager
def serving(server: uvicorn.Server, name: str, port: int = 0) -> Iterator[str]:
    """Run a server in a thread of this process; its base address."""
    opened = listening(port)
    thread = threading.Thread(target=server.run, args=([opened],), name=name, daemon=True)
    thread.start()
    try:
        _wait_until_started(server)
        yield url_of(opened)
    finally:
        server.should_exit = True
        thread.join(READY_SEC)
        opened.close()


def _wait_until_started(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + READY_SEC
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the venue did not start within {READY_SEC:g} s")
        time.sleep(0.005)
