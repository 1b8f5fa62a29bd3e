"""Requests a second and their p99 on one worker, beside bare FastAPI routes that return the same bytes.

Every server is a process of its own; the client speaks HTTP over bare sockets, kept open, and is not what limits. The
floor is FastAPI as uvicorn serves it by itself; the peer is the same routes behind this system's way of serving, which
reads heads with h11 so that they have a time limit. Each round takes a fixed time.
"""

import asyncio
import contextlib
import multiprocessing
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec
import uvicorn
import uvloop

from bench.harness import Bench, Contender
from clash_pipeline.settings import Settings, load

CONNECTIONS, SECONDS, SNAPSHOTS = 16, 1.5, 2_880
HEAD_END = b"\r\n\r\n"


class Route(NamedTuple):
    """One kind of request; a body is a graph of two assets where `has_graph`, a user asks but for `is_anonymous`."""

    name: str
    method: str
    path: str
    has_graph: bool = False
    is_anonymous: bool = False


ROUTES = (
    Route("health", "GET", "/healthz", is_anonymous=True),
    Route("latest data", "POST", "/api/v1/memory/latest", has_graph=True),
    Route("account series, 500 points", "GET", "/api/v1/accounts/1/snapshots"),
    Route("open positions", "GET", "/api/v1/accounts/1/positions"),
    Route("slots of the Arena", "GET", "/api/v1/arena/slots"),
    Route("standings of a live race", "GET", "/api/v1/races/2/standings"),
)
"""What is measured; another route is another line."""


class Address(NamedTuple):
    """Where a server listens, and the headers that a signed-in user sends to it."""

    port: int
    headers: dict[str, str]


class Load(NamedTuple):
    """The same request to one server for so many seconds; `spent` are those of each answer."""

    port: int
    request: bytes
    seconds: float
    spent: list[float]


def benches(quick: bool) -> tuple[Bench, ...]:
    """One bench a route."""
    return tuple(_bench(route, 0.2 if quick else SECONDS) for route in ROUTES)


def _bench(route: Route, seconds: float) -> Bench:
    contenders = (
        Contender("bare FastAPI", "floor", partial(_bare, route, seconds, False), run, figures),
        Contender("bare FastAPI, our server", "peer", partial(_bare, route, seconds, True), run, figures),
        Contender("clash", "ours", partial(_ours, route, seconds), run, figures),
    )
    title = f"One worker, {CONNECTIONS} connections: {route.name}"
    return Bench(f"api, {route.name}", title, "requests", contenders, 3, has_memory=False)


def run(load: Load) -> int:
    """Some connections, each sending the next request when it has its answer."""
    load.spent.clear()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_send_all(load))
    return len(load.spent)


def figures(load: Load) -> Mapping[str, float]:
    """Of the last round."""
    ordered = sorted(load.spent)
    return {"p50 ms": ordered[len(ordered) // 2] * 1e3, "p99 ms": ordered[int(len(ordered) * 0.99)] * 1e3}


class Client(asyncio.Protocol):
    """One connection: a request after the other until a moment."""

    def __init__(self, load: Load, until: float) -> None:
        self._load, self._until = load, until
        self._got = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """The first request."""
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """An answer, or a part of one."""
        self._got += data
        size = _size_of(self._got)
        if size is None or len(self._got) < size:
            return
        self._load.spent.append(time.perf_counter() - self._began)
        if not self._got.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(self._got[:300].decode()))
            return
        self._got = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server went away before the last answer."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed a connection that was in use"))

    def _next(self) -> None:
        if time.perf_counter() >= self._until:
            self.done.set_result(None)
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(self._load.request)


def _size_of(got: bytes) -> int | None:
    """How long an answer is by its own head; None before the head is whole."""
    head, end, _ = got.partition(HEAD_END)
    return len(head) + len(end) + int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) if end else None


async def _send_all(load: Load) -> None:
    loop, until = asyncio.get_running_loop(), time.perf_counter() + load.seconds
    made = [
        await loop.create_connection(partial(Client, load, until), "127.0.0.1", load.port) for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.done for _, client in made))


def _ours(route: Route, seconds: float) -> Load:
    server = _product()
    return Load(server.port, _request(route, server), seconds, [])


def _bare(route: Route, seconds: float, is_our_server: bool) -> Load:
    server = _floor(is_our_server)
    return Load(server.port, _request(route, server), seconds, [])


def _request(route: Route, server: Address) -> bytes:
    body = msgspec.json.encode({"graph": _graph()}) if route.has_graph else b""
    lines = [f"{route.method} {route.path} HTTP/1.1", f"host: 127.0.0.1:{server.port}", "accept: */*"]
    lines += [] if route.is_anonymous else [f"{name}: {value}" for name, value in server.headers.items()]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + HEAD_END + body


def _graph() -> Any:
    from clash_pipeline.clones.graph import simple_graph

    return simple_graph(("BTC", "ETH"), prompt="Follow the trend.").wire()


# servers


@cache
def _product() -> Address:
    """The real application over a system in which a little has happened."""
    return _started(_serve_product)


@cache
def _floor(is_our_server: bool) -> Address:
    """Bare routes that return what the real ones returned."""
    product = _product()
    answers = [(route, _once(product.port, _request(route, product))) for route in ROUTES]
    return _started(_serve_bare, answers, is_our_server)._replace(headers=product.headers)


def _once(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        got = b""
        while (size := _size_of(got)) is None or len(got) < size:
            got += connection.recv(65_536)
    if not got.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(got[:300].decode())
    return got.partition(HEAD_END)[2]


def _started(serve: Any, *given: Any) -> Address:
    """A server process, which ends with this one."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    context.Process(target=serve, args=(sending, *given), daemon=True).start()
    address: Address = receiving.recv()
    return address


def _listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    return listener


def _serve_product(sending: Any) -> None:
    from clash_pipeline.api.server import config

    with _home() as settings:
        stocked = _stocked(settings)
        listener = _listening()
        sending.send(Address(listener.getsockname()[1], stocked.bearer()))
        _run(config(stocked.api.app, stocked.services.settings), listener)


def _serve_bare(sending: Any, answers: Sequence[tuple[Route, bytes]], is_our_server: bool) -> None:
    from fastapi import FastAPI

    from clash_pipeline.api.server import config

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for route, body in answers:
        app.router.add_api_route(route.path, _plain(body), methods=[route.method])
    listener = _listening()
    sending.send(Address(listener.getsockname()[1], {}))
    by_itself = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    _run(config(app, load({})) if is_our_server else by_itself, listener)


def _run(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve until this process is told to end, or the one that started it has ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parent, server = multiprocessing.parent_process(), uvicorn.Server(config)
    assert parent is not None

    def watch() -> None:
        parent.join()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[listener])


def _plain(body: bytes) -> Any:
    from fastapi import Response

    async def answer() -> Response:
        return Response(body, media_type="application/json")

    return answer


@contextlib.contextmanager
def _home() -> Any:
    home = tempfile.mkdtemp(prefix="clash-bench-api-")
    try:
        yield load({"CLASH_HOME": home})
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _stocked(settings: Settings) -> Any:
    """The tests' system with a live race, and two days of snapshots of its account."""
    from clash_pipeline.clock import MINUTE_MS
    from clash_pipeline.storage.files import migrate_all
    from tests.fakes.api_client import T0
    from tests.fakes.stocked_arena import StockedArena

    migrate_all(settings)
    stocked = StockedArena(settings)
    with stocked.services.clash.write() as connection:
        connection.executemany(_SNAPSHOT, [(T0 - number * MINUTE_MS,) for number in range(1, SNAPSHOTS)])
    return stocked


_SNAPSHOT = """
INSERT INTO prop_snapshots
  (account_id, t, equity, balance, unrealized, gross, margin, maintenance, drawdown, high_water_mark, positions,
   carried, oldest_mark_ms, marks, marked_at)
SELECT 1, ?1, 9990000000000 + ?1 % 977 * 100000000, 9990000000000, ?1 % 977 * 100000000, 1000000000000, 500000000000,
       100000000000, 0, 10087700000000, 2, 0, 1500, '[]', ?1 + 1500
"""
