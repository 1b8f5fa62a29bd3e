"""The API as it is really served: uvicorn on a loopback port, in a thread of the test."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from clash_pipeline.api.server import config
from tests.fakes.api_client import Api


@contextmanager
def served(api: Api) -> Iterator[tuple[str, int]]:
    """Serve an application until the block ends; gives host and port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    server = uvicorn.Server(config(api.app, api.services.settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
