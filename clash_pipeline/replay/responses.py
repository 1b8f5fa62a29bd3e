"""HTTP answers of the replay, and the faults that spoil them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from clash_pipeline.replay.venue import Venue

Handler = Callable[[Request], Awaitable[Response]]
PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
HUGE_BYTES = 64 * 1024 * 1024
CHUNK = b" " * 65_536
DEFAULT_SLOWNESS_SEC = 2.0


def json_response(value: Any, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def faulty(venue: Venue, source: str, handler: Handler) -> Handler:
    """The handler of one source, with the faults that are on for it."""

    async def answered(request: Request) -> Response:
        venue.requests[source] += 1
        number = venue.requests[source]
        for kind, spoil in SPOILERS.items():
            fault = venue.faults.striking(kind, venue.now_ms, source, number, target=source)
            if fault is not None:
                return await spoil(request, handler, fault.value, fault.hits)
        return await handler(request)

    return answered


async def _outage(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    return CutResponse(b"", 0) if value == "refuse" else Response("Service Unavailable", 503, media_type="text/plain")


async def _too_many(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    return Response(b"null", 429, {"Retry-After": "2"} if hits % 2 else None, media_type="application/json")


async def _html(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    return Response(PAGE, 200, media_type="text/html")


async def _slow(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    await asyncio.sleep(float(value) if value else DEFAULT_SLOWNESS_SEC)
    return await handler(request)


async def _cut(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    whole = bytes((await handler(request)).body)
    return Response(whole[: len(whole) // 2], 200, media_type="application/json")


async def _redirect(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    return RedirectResponse("/elsewhere", 302)


async def _huge(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(HUGE_BYTES // len(CHUNK)):
            yield CHUNK

    return StreamingResponse(endless(), 200, media_type="application/json")


async def _empty(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    return json_response([])


async def _partial(request: Request, handler: Handler, value: str | None, hits: int) -> Response:
    whole = await handler(request)
    try:
        rows = msgspec.json.decode(whole.body)
    except msgspec.DecodeError:
        return whole
    return json_response(rows[: len(rows) // 2]) if isinstance(rows, list) else whole


class CutResponse(Response):
    """Promises more bytes than it sends, then hangs up."""

    def __init__(self, body: bytes, missing: int) -> None:
        super().__init__(body)
        self._promised = len(body) + missing + 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the start and part of the body only; the server closes the connection then."""
        headers = [(b"content-length", str(self._promised).encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})


SPOILERS: dict[str, Callable[[Request, Handler, str | None, int], Awaitable[Response]]] = {
    "outage": _outage,
    "429": _too_many,
    "html": _html,
    "slow": _slow,
    "cut": _cut,
    "redirect": _redirect,
    "huge": _huge,
    "empty": _empty,
    "partial": _partial,
}
