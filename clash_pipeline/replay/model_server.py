"""An OpenAI-compatible endpoint on loopback: `/v1/chat/completions`, whole or streamed, answered by a persona.

The server of the demo and of the benches; the hostile servers of the tests stand on it. It speaks HTTP by hand, because
whoever tests a client must be able to break every part of an answer.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from clash_pipeline.replay.hosting import READY_SEC, listening, url_of

MODEL = "clash-replay"
BODY_BYTES = 4 * 1024 * 1024
BYTES_PER_TOKEN = 4
PATH = "/chat/completions"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class Asked(NamedTuple):
    """One request: its number from 1, its headers in lower case, its JSON, and the texts of its messages."""

    number: int
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    system: str
    user: str


Persona = Callable[[Asked], str]
"""Who answers: the content of the completion."""


class ModelServer:
    """Serves one persona; counts what it was asked and how many connections it held at once."""

    def __init__(self, persona: Persona, *, model: str = MODEL, delay_sec: float = 0.0) -> None:
        self.persona = persona
        self.model = model
        self.delay_sec = delay_sec
        self.asked = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.connections = 0
        self.most_connections = 0
        self._open: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as many requests as the client sends over it."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while (asked := await self._read(reader)) is not None:
                await self._answer(asked, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            self.connections -= 1
            writer.close()

    async def stop(self) -> None:
        """Hang up on everybody."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def respond(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        """Answer one request; hostile servers answer otherwise."""
        if not asked.path.endswith(PATH):
            await send(writer, 404, problem("no such path"))
        elif asked.body.get("stream"):
            await self._stream(asked, writer)
        else:
            await send(writer, 200, msgspec.json.encode(self.completion(asked, self.persona(asked))))

    def completion(self, asked: Asked, content: str, *, finish_reason: str = "stop") -> dict[str, Any]:
        """A chat completion around some content, with a plausible usage."""
        prompt, answered = (-(-len(part.encode("utf-8", "replace")) // BYTES_PER_TOKEN) for part in (
            asked.system + asked.user, content))  # fmt: skip
        message = {"role": "assistant", "content": content, "refusal": None}
        return {
            "id": f"chatcmpl-{asked.number}",
            "object": "chat.completion",
            "created": 0,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": answered, "total_tokens": prompt + answered},
        }

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.delay_sec:
                await asyncio.sleep(self.delay_sec)
            await self.respond(asked, writer)
        finally:
            self.in_flight -= 1

    async def _stream(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        content = self.persona(asked)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for delta, reason in (({"role": "assistant"}, None), ({"content": content}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            event = {"id": f"chatcmpl-{asked.number}", "object": "chat.completion.chunk", "model": self.model}
            writer.write(_chunk(b"data: " + msgspec.json.encode({**event, "choices": [choice]}) + b"\n\n"))
        writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> Asked | None:
        """The next request; None when the client hung up between two."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        path = head[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        size = min(int(headers.get("content-length") or 0), BODY_BYTES)
        body = msgspec.json.decode(await reader.readexactly(size) or b"{}")
        said = {message["role"]: message["content"] for message in body.get("messages", ())}
        self.asked += 1
        return Asked(self.asked, path, headers, body, said.get("system", ""), said.get("user", ""))


async def send(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    """One whole HTTP answer of JSON."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}", "content-type: application/json"]
    lines += [f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    await writer.drain()


def problem(message: str) -> bytes:
    """The error body of such an endpoint."""
    return msgspec.json.encode({"error": {"message": message, "type": "invalid_request_error", "code": None}})


@contextmanager
def served(server: ModelServer, port: int = 0) -> Iterator[str]:
    """Serve from a thread of this process; yields the base URL that a client is given.

    Raises:
        OSError: the port is taken.
    """
    opened = listening(port)
    ready = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        listener = await asyncio.start_server(server.connected, sock=opened, backlog=16_384)
        ready.set()
        await stop.wait()
        listener.close()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="model-server", daemon=True)
    thread.start()
    try:
        if not ready.wait(READY_SEC):
            raise TimeoutError(f"the model server did not start within {READY_SEC:g} s")
        yield f"{url_of(opened)}/v1"
    finally:
        for loop, stop in loops:
            loop.call_soon_threadsafe(stop.set)
        thread.join(READY_SEC)
        opened.close()


def _chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"
