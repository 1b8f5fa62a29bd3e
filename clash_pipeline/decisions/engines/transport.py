"""Connections to an endpoint that may be hostile: bounded bytes, plain bodies, few headers, many small pools.

A pool looks through all of its connections for each request, so a thousand connections are many pools of a few.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx2

POOL_CONNECTIONS = 4
CONNECTING_AT_ONCE = 64
"""A thousand handshakes begun together would each take longer than the time one is given."""
KEPT_IDLE_SEC = 5.0
KEPT_HEADERS = ("retry-after", "retry-after-ms")


@dataclass
class Received:
    """What has come back of one attempt, also when it was cut off."""

    status: int | None = None
    body: bytearray = field(default_factory=bytearray)


RECEIVED: ContextVar[Received | None] = ContextVar("received", default=None)
"""Where the transport writes down what came, so that a cut-off answer can still be archived."""


class TooLarge(Exception):
    """The response has more bytes than are read."""


class Encoded(Exception):
    """The response is compressed although that was not asked for; unpacking it could fill the memory."""


@cache
def _trusted() -> ssl.SSLContext:
    """Whom we trust, read once in a process: a wave would otherwise spend more time on it than on its decisions."""
    return httpx2.create_ssl_context()


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Many small pools behind one face; reads at most `max_bytes` of each response."""

    def __init__(self, connections: int, *, max_bytes: int) -> None:
        context = _trusted()
        limits = httpx2.Limits(
            max_connections=POOL_CONNECTIONS,
            max_keepalive_connections=POOL_CONNECTIONS,
            keepalive_expiry=KEPT_IDLE_SEC,
        )
        pools = -(-connections // POOL_CONNECTIONS)
        self._pools = [httpx2.AsyncHTTPTransport(verify=context, limits=limits) for _ in range(pools)]
        self._free = [number for number in range(pools) for _ in range(POOL_CONNECTIONS)]
        self._max_bytes = max_bytes
        self._connecting = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request over a pool that has a connection to spare."""
        request.extensions = {**request.extensions, "trace": self._paced}
        number = self._free.pop() if self._free else None
        released = _Once(self._free, number)
        try:
            response = await self._pools[number or 0].handle_async_request(request)
            received = RECEIVED.get() or Received()
            received.status = response.status_code
            stream = _Bounded(response, received, self._max_bytes, released)
            if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
                await stream.aclose()
                raise Encoded
        except BaseException:
            released.now()
            raise
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        return httpx2.Response(response.status_code, headers=kept, stream=stream, request=request)

    async def aclose(self) -> None:
        """Close every connection."""
        for pool in self._pools:
            await pool.aclose()

    async def _paced(self, event: str, info: dict[str, Any]) -> None:
        """Wait for a turn before a connection is made; its time-out begins after that."""
        if event == "connection.connect_tcp.started":
            await self._connecting.acquire()
        elif event in {"connection.connect_tcp.complete", "connection.connect_tcp.failed"}:
            self._connecting.release()


class _Once:
    """Gives a place in a pool back, once."""

    def __init__(self, free: list[int], number: int | None) -> None:
        self._free, self._number = free, number

    def now(self) -> None:
        if self._number is not None:
            self._free.append(self._number)
            self._number = None


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response, received: Received, max_bytes: int, released: _Once) -> None:
        self._response, self._received = response, received
        self._max_bytes, self._released = max_bytes, released

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert isinstance(self._response.stream, httpx2.AsyncByteStream)
        async for part in self._response.stream:
            room = self._max_bytes - len(self._received.body)
            self._received.body += part[:room]
            if len(part) > room:
                raise TooLarge
            yield part

    async def aclose(self) -> None:
        try:
            await self._response.aclose()
        finally:
            self._released.now()
