"""Limits of one request, in front of everything that reads it: header and body size, time to send, time to answer.

A reverse proxy should do the same; these hold without one. The time for the head itself is `server.py`'s, because no
application is asked before it is complete (09 F11).
"""

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clash_pipeline.api.problems import Problem, unavailable

HEADER_BYTES = 16_384
QUERY_VALUE_CHARACTERS = 100
STREAMS = "/api/v1/live/"
"""Where answers last; everywhere else one has its time, whatever the client says that it takes."""


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    body_bytes: int
    image_bytes: int
    receive_sec: float
    answer_sec: float


class BodyTooLarge(Exception):
    """More came than the route takes."""


class TooSlow(Exception):
    """The body did not come in time."""


class LimitMiddleware:
    """Counts and times what a client sends; a request over a limit is answered without reading the rest."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._limits.image_bytes if scope["path"].endswith("/image") else self._limits.body_bytes
        request = _Bounded(receive, send, most, self._limits.receive_sec)
        try:
            _head(scope, most)
            async with asyncio.timeout(None if _is_stream(scope) else self._limits.answer_sec):
                await self._app(scope, request.receive, request.send)
        except Problem as refusal:
            await request.refuse(scope, refusal)
        except BodyTooLarge:
            await request.refuse(scope, Problem(413, "body_too_large", f"This takes at most {most:,} bytes."))
        except TooSlow:
            await request.refuse(scope, Problem(408, "request_too_slow", "The body did not arrive in time."))
        except TimeoutError:
            await request.refuse(scope, unavailable("answer_too_slow", "This takes too long.", retry_after_sec=5))


class _Bounded:
    """`receive` and `send` of one request, watched."""

    def __init__(self, receive: Receive, send: Send, most: int, seconds: float) -> None:
        self._receive = receive
        self._send = send
        self._most = most
        self._left = most
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._is_complete = False
        self._is_answered = False

    async def receive(self) -> Message:
        """The next part of the body.

        Raises:
            BodyTooLarge, TooSlow: the client sent too much, or too slowly.
        """
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow from None
        self._is_complete = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer."""
        if message["type"] == "http.response.start":
            self._is_answered = True
        await self._send(message)

    async def refuse(self, scope: Scope, problem: Problem) -> None:
        """Answer with a problem and close, unless an answer has begun."""
        if self._is_answered:
            return
        problem.headers["connection"] = "close"
        response = problem.response(scope.get("state", {}).get("request_id", ""))
        await response(scope, self._receive, self.send)


def _head(scope: Scope, most: int) -> None:
    size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > HEADER_BYTES:
        raise Problem(431, "headers_too_large", f"Headers have at most {HEADER_BYTES:,} bytes.")
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    if lengths and lengths[0].isdigit() and int(lengths[0]) > most:
        raise BodyTooLarge


def _is_stream(scope: Scope) -> bool:
    return scope["path"].startswith(STREAMS) and any(
        name == b"accept" and b"text/event-stream" in value for name, value in scope["headers"]
    )
