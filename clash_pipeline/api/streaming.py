"""Server-sent events: bounded in number and time, a comment every 15 seconds, resumed by `Last-Event-ID` (06 live).

A stream looks again at short intervals instead of being told: writers are other processes, and a look costs one indexed
read. It ends by itself after a while, so that nothing hangs for ever; browsers come back with the last id they saw.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from clash_pipeline.api.principals import Principal
from clash_pipeline.api.problems import Problem, rate_limited, unavailable
from clash_pipeline.settings import Settings

MEDIA_TYPE = "text/event-stream"
RETRY_MS = 2_000
MOST_ID = 10**18


class Event(NamedTuple):
    """One event; its id is where to go on from."""

    id: int
    name: str
    data: Any


Look = Callable[[int], list[Event]]
"""What is new behind an id; raises a problem to end the stream."""


class Streams:
    """How many streams are open, in all and by principal; counted on the loop, where nothing comes in between."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, principal: str) -> Iterator[None]:
        """Hold a place while a stream is open."""
        self._open[principal] += 1
        try:
            yield
        finally:
            self._open[principal] -= 1
            if not self._open[principal]:
                del self._open[principal]

    def refuse_full(self, principal: str, settings: Settings) -> None:
        """Go on only while there is room.

        Raises:
            Problem: 429 for a principal with enough of them, 503 when all places are taken.
        """
        if self._open[principal] >= settings.api_streams_each:
            raise rate_limited(5)
        if self._open.total() >= settings.api_streams:
            raise unavailable("streams_full", "Too many streams are open.", retry_after_sec=5)


def last_id(request: Request) -> int | None:
    """Where the client left off; None on a first connection.

    Raises:
        Problem: 422 when it is no id of ours.
    """
    given = request.headers.get("last-event-id")
    if given is None or given == "":
        return None
    if not (given.isascii() and given.isdigit()) or int(given[:20]) >= MOST_ID or len(given) > 18:
        raise Problem(422, "last_event_id_invalid", "This is not an id that was given out here.")
    return int(given)


class Stream(StreamingResponse):
    """A stream that takes its place when it begins, and is refused where there is none."""

    def __init__(self, request: Request, begin: int, look: Look) -> None:
        self._settings: Settings = request.app.state.services.settings
        self._streams: Streams = request.app.state.streams
        self._principal: Principal = request.state.principal
        self._request_id: str = request.state.request_id
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(_events(self._settings, begin, look), media_type=MEDIA_TYPE, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        try:
            self._streams.refuse_full(self._principal.name, self._settings)
        except Problem as full:
            await full.response(self._request_id)(scope, receive, send)
            return
        with self._streams.one(self._principal.name):
            await super().__call__(scope, receive, send)


def stream(request: Request, begin: int, look: Look) -> StreamingResponse:
    """Stream what `look` finds, from an id on; 429 or 503 when there are too many.

    Raises:
        Problem: 406 unless the client takes event streams.
    """
    if MEDIA_TYPE not in request.headers.get("accept", ""):
        raise Problem(406, "event_stream_only", "Ask for text/event-stream.")
    return Stream(request, begin, look)


async def _events(settings: Settings, begin: int, look: Look) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    ends, quiet_since, position = loop.time() + settings.api_stream_sec, loop.time(), begin
    yield f"retry: {RETRY_MS}\n\n".encode()
    while loop.time() < ends:
        try:
            found = await run_in_threadpool(look, position)
        except Problem:
            return
        for event in found:
            position = event.id
            yield encoded(event)
        now = loop.time()
        if found:
            quiet_since = now
        elif now - quiet_since >= settings.api_stream_heartbeat_sec:
            quiet_since = now
            yield b": still here\n\n"
        await asyncio.sleep(settings.api_stream_look_sec)


def encoded(event: Event) -> bytes:
    """An event as it is sent; its data is one line of JSON."""
    return f"id: {event.id}\nevent: {event.name}\ndata: {json.dumps(event.data, separators=(',', ':'))}\n\n".encode()
