"""A small HTTP venue on loopback whose every path can be given an answer, good or bad; a thread of its own."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Answer = Callable[[Request], Response]


class CutBody(Response):
    """Promises more bytes than it sends, and closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'[{"half":', "more_body": True})
        # returning now leaves the answer incomplete: the server drops the connection


def as_json(value: Any) -> Answer:
    return lambda request: Response(json.dumps(value), media_type="application/json")


def html(request: Request) -> Response:
    return Response("<html>Checking your browser</html>", media_type="text/html")


def busy(request: Request) -> Response:
    return PlainTextResponse("slow down", 429, {"Retry-After": "2"})


def broken(request: Request) -> Response:
    return PlainTextResponse("oops", 503)


def missing(request: Request) -> Response:
    return PlainTextResponse("not found", 404)


def moved(request: Request) -> Response:
    return RedirectResponse("/elsewhere")


def cut(request: Request) -> Response:
    return CutBody()


def huge(request: Request) -> Response:
    """A gigabyte, if anyone would read it."""

    def parts() -> Iterator[bytes]:
        yield b'["'
        for _ in range(1_024):
            yield b"x" * 1_048_576

    return StreamingResponse(parts(), media_type="application/json")


def slow(request: Request) -> Response:
    """Starts an answer and does not come to its end while anyone listens."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.sleep(60)
        yield b"]"

    return StreamingResponse(parts(), media_type="application/json")


class Loopback:
    """What each path answers; a list is answered in turn, its last entry for ever. Requests are remembered."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.agents: set[str] = set()
        self.url = ""

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    async def answer(self, request: Request) -> Response:
        self.asked.append((request.url.path, dict(request.query_params)))
        self.agents.add(request.headers.get("user-agent", ""))
        prepared = self.answers.get(request.url.path, missing)
        if isinstance(prepared, list):
            prepared = prepared.pop(0) if len(prepared) > 1 else prepared[0]
        return prepared(request)


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Serve until the block ends."""
    venue = Loopback()
    app = Starlette(routes=[Route("/{path:path}", venue.answer, methods=["GET", "POST"])])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none", http="h11")
    server = uvicorn.Server(config)
    started = threading.Event()
    original = server.startup

    async def startup(sockets: Any = None) -> None:
        await original(sockets=sockets)
        started.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the loopback venue did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    venue.url = f"http://127.0.0.1:{port}"
    try:
        yield venue
    finally:
        server.should_exit = True
        thread.join(10)
