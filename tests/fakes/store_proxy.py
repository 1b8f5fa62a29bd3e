"""An HTTP proxy in front of an object server that can be told to lie, to stall and to refuse, in the ways of real ones.

Faults are set by method and last for a number of requests; everything else passes through unchanged. The R2 quirk of
refusing `aws-chunked` bodies is on all the time.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SKEWED = b"<Error><Code>RequestTimeTooSkewed</Code><Message>clocks differ</Message></Error>"
NOT_IMPLEMENTED = b"<Error><Code>NotImplemented</Code><Message>STREAMING-UNSIGNED-PAYLOAD-TRAILER</Message></Error>"
REFUSALS = {
    "unauthorized": (401, b"<Error><Code>Unauthorized</Code></Error>"),
    "forbidden": (403, b"<Error><Code>AccessDenied</Code></Error>"),
    "skewed": (403, SKEWED),
    "not_found": (404, b"<Error><Code>NoSuchKey</Code></Error>"),
    "taken": (412, b"<Error><Code>PreconditionFailed</Code></Error>"),
    "unavailable": (503, b"<Error><Code>SlowDown</Code></Error>"),
    "not_s3": (500, b"<html>gateway</html>"),
}
EVER = 10**9
HOP_BY_HOP = frozenset({"content-length", "connection", "expect"})


@dataclass
class Message:
    """A request or an answer."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of a name, in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def encoded(self) -> bytes:
        """On the wire, with the length of the body as it is now."""
        kept = [(key, value) for key, value in self.headers if key.lower() not in HOP_BY_HOP]
        lines = [self.start, *[f"{key}: {value}" for key, value in kept], "Connection: close"]
        lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body


@dataclass
class StoreProxy:
    """What the proxy does to the next requests."""

    upstream_port: int
    port: int = 0
    requests: list[str] = field(default_factory=list)
    _faults: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address of the lying store."""
        return f"http://127.0.0.1:{self.port}"

    def inject(self, method: str, fault: str, times: int = EVER) -> None:
        """Apply a fault to the next requests of a method."""
        self._faults[method] = (fault, times)

    def heal(self) -> None:
        """Behave again."""
        self._faults.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of a connection."""
        try:
            request = await _read(reader, continues=writer)
            method = request.start.split(" ", 1)[0]
            self.requests.append(request.start)
            await self._answer(method, self._take(method), request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _take(self, method: str) -> str | None:
        fault, left = self._faults.get(method, (None, 0))
        if fault is None or left <= 0:
            return None
        self._faults[method] = (fault, left - 1)
        return fault

    async def _answer(self, method: str, fault: str | None, request: Message, writer: asyncio.StreamWriter) -> None:
        if _is_aws_chunked(request):
            writer.write(_plain(501, NOT_IMPLEMENTED))
        elif fault in REFUSALS:
            writer.write(_plain(*REFUSALS[fault]))
        elif fault == "stall":
            await asyncio.sleep(30)
        elif fault == "vanishes":
            writer.write(_plain(200, b""))
        elif method == "PUT":
            writer.write((await self._ask(_damaged(request, fault))).encoded())
        else:
            await _send(writer, await self._ask(request), fault)
        await writer.drain()

    async def _ask(self, request: Message) -> Message:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        writer.write(request.encoded())
        await writer.drain()
        answer = await _read(reader, has_body=not request.start.startswith("HEAD"))
        writer.close()
        return answer


@contextmanager
def store_proxy(upstream_port: int) -> Iterator[StoreProxy]:
    """Run a proxy on a loopback port of its own, in a thread of its own."""
    proxy, loop, ready = StoreProxy(upstream_port), asyncio.new_event_loop(), threading.Event()

    async def main() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=1 << 20)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: _run(loop, main()), name="store-proxy")
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, main: object) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main)  # type: ignore[arg-type]
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


async def _read(
    reader: asyncio.StreamReader, *, has_body: bool = True, continues: asyncio.StreamWriter | None = None
) -> Message:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.rstrip().split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    message = Message(start, headers, b"")
    length = int(message.header("content-length") or 0)
    if continues is not None and message.header("expect"):
        continues.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if has_body and length:
        message.body = await reader.readexactly(length)
    return message


def _damaged(request: Message, fault: str | None) -> Message:
    """The request with another body, and without the header that would let an honest server notice."""
    if fault not in {"truncated", "flipped"}:
        return request
    body = request.body[: len(request.body) * 2 // 3] if fault == "truncated" else _flip(request.body)
    headers = [(name, value) for name, value in request.headers if name.lower() != "content-md5"]
    return Message(request.start, headers, body)


async def _send(writer: asyncio.StreamWriter, answer: Message, fault: str | None) -> None:
    if fault == "flipped":
        answer.body = _flip(answer.body)
    if fault == "truncated":  # silently: the length is that of what is sent
        answer.body = answer.body[: len(answer.body) // 2]
    wire = answer.encoded()
    if fault == "cut":  # openly: the connection ends before the announced length
        wire = wire[: len(wire) - len(answer.body) // 2]
    if fault == "trickle":
        for at in range(0, len(wire), 512):
            writer.write(wire[at : at + 512])
            await writer.drain()
            await asyncio.sleep(0.03)
        return
    writer.write(wire)


def _is_aws_chunked(request: Message) -> bool:
    encoding = request.header("content-encoding") or ""
    return "aws-chunked" in encoding or request.header("x-amz-trailer") is not None


def _plain(status: int, body: bytes) -> bytes:
    return Message(f"HTTP/1.1 {status} Said", [("Content-Type", "application/xml")], body).encoded()


def _flip(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0x40]) + body[middle + 1 :] if body else b"\x40"
