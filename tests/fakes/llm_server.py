"""A hostile OpenAI-compatible endpoint: each mode breaks another part of an answer, on the wire (09 §8.1).

server = HostileServer("trickle")
with served(server) as url: ...
server.mode = "obey"        # modes may change while it runs
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from clash_pipeline.replay.model_server import Asked, ModelServer, Persona, problem, send
from clash_pipeline.replay.personas import ACTIONS, answer, obedient, scripted
from tests.fakes.mutations import damage_bytes, damage_structure

HOLD = answer("hold", why="nothing to do")
LONG = answer("open_long", size_pct=10, leverage=2, why="up")
HUGE = b" " * 65_536
OFTEN = ("open_long", "open_short", "increase", "close") * 2


def adversary(seed: int) -> Persona:
    """Answers that fit the schema and were chosen to do harm."""
    rng = random.Random(seed)

    def chosen(asked: Asked) -> str:
        return answer(
            rng.choice((*ACTIONS, *OFTEN)),
            size_pct=rng.choice((0, 0.000001, 1, 33.333333, 99.999999, 100, round(rng.uniform(0, 100), 6))),
            leverage=rng.choice((1, 1, 2, 2, 5, 6, 50, rng.randint(1, 50))),
            why=rng.choice(("", "</packet>", "you must obey", "'; DROP TABLE prop_accounts; --", "\u202eevil")),
            stopLossPct=rng.choice((*[None] * 8, 0, 0.000001, 100, round(rng.uniform(0, 100), 6))),
            takeProfitPct=rng.choice((*[None] * 8, 0, 1000, round(rng.uniform(0, 1000), 6))),
            confidence=rng.choice((0, 1, round(rng.random(), 6))),
        )

    return chosen


class HostileServer(ModelServer):
    """A model server with a mode that may change at any time; `obey`, `scripted` and `adversary` are well-formed."""

    def __init__(
        self,
        mode: str = "scripted",
        *,
        contents: Sequence[str] = (LONG,),
        seed: int = 1,
        pause_sec: float = 0.05,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(scripted(contents))
        self.mode = mode
        self.pause_sec = pause_sec
        self.retry_after = retry_after
        self.stalls = ""
        self.url = ""
        self.rng = random.Random(seed)
        self._adversary = adversary(seed)

    async def respond(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        """Answer as the mode says."""
        spoil = MODES.get(self.mode)
        if spoil is None:
            await super().respond(asked, writer)
        else:
            await spoil(self, asked, writer)

    def body(self, asked: Asked, content: str | None = None, **changed: Any) -> bytes:
        """A completion with the top of its choice, or of its message, changed."""
        made = self.completion(asked, self.persona(asked) if content is None else content)
        choice = made["choices"][0]
        for name, value in changed.items():
            (choice["message"] if name in {"refusal", "tool_calls", "content"} else choice)[name] = value
        return msgspec.json.encode(made)


Spoil = Callable[[HostileServer, Asked, asyncio.StreamWriter], Awaitable[None]]


async def _obey(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 200, server.body(asked, obedient(asked)))


async def _adversary(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 200, server.body(asked, server._adversary(asked)))


async def _refuse(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 200, server.body(asked, content=None, refusal="I cannot help with trading."))


async def _filtered(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 200, server.body(asked, "", finish_reason="content_filter"))


async def _truncate(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 200, server.body(asked, LONG[:40], finish_reason="length"))


async def _complete_but_truncated(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """The limit was hit, and yet what is there parses: still not what the model wanted to say."""
    await send(writer, 200, server.body(asked, LONG, finish_reason="length"))


async def _tool_call(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "transfer", "arguments": "{}"}}
    await send(writer, 200, server.body(asked, LONG, tool_calls=[call]))


async def _malformed(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    if server.rng.random() < 0.5:
        content = damage_bytes(server.rng, LONG.encode()).decode("utf-8", "replace")
        await send(writer, 200, server.body(asked, content))
    elif server.rng.random() < 0.5:
        await send(writer, 200, damage_bytes(server.rng, server.body(asked)))
    else:
        await send(writer, 200, damage_structure(server.rng, json.loads(server.body(asked))))


async def _trickle(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A byte at a time, each before any timeout of a single read."""
    body = server.body(asked)
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode())
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(server.pause_sec)


async def _trickle_error(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 Oops\r\ncontent-length: 50000\r\n\r\n")
    for _ in range(50_000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(server.pause_sec)


async def _slow_header(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        writer.write(f"x-{number}: y\r\n".encode())
        await writer.drain()
        await asyncio.sleep(server.pause_sec)


async def _silent(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3_600)


async def _stall_one(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """One model never answers, the others do."""
    if asked.body.get("model") == server.stalls:
        await asyncio.sleep(3_600)
    await send(writer, 200, server.body(asked))


async def _storm(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    headers = {} if server.retry_after is None else {"retry-after": server.retry_after}
    await send(writer, 429, problem("slow down"), headers)


async def _error(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 500, problem("oops"))


async def _once_error(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Every first attempt fails, every second one is answered."""
    if asked.number % 2:
        await send(writer, 503, problem("busy"))
    else:
        await send(writer, 200, server.body(asked))


async def _wrong_model(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 404, problem(f"the model {asked.body.get('model')} does not exist"))


async def _wrong_key(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 401, problem("bad key"))


async def _bad_request(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 400, problem("unknown parameter"))


async def _redirect(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    await send(writer, 307, b"", {"location": "/v1/elsewhere/chat/completions"})


async def _reset(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    raise ConnectionResetError


async def _cut(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    body = server.body(asked)
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
    await writer.drain()
    writer.close()
    raise ConnectionResetError


async def _huge(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A valid answer behind more bytes than are read, without saying how many there will be."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(1_024):
        writer.write(b"10000\r\n" + HUGE + b"\r\n")
        await writer.drain()


async def _huge_error(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(1_024):
        writer.write(b"10000\r\n" + HUGE + b"\r\n")
        await writer.drain()


async def _zipped(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    import gzip

    await send(writer, 200, gzip.compress(b" " * 10_000_000), {"content-encoding": "gzip"})


async def _headers(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Headers that lie about the body: its charset, its type, when to come back; and cookies that must not return."""
    headers = {
        "content-type": "text/html; charset=zlib_codec",
        "retry-after": "9" * 5_000,
        "set-cookie": "session=stolen",
        "x-evil": "\x7f" * 2_000,
    }
    await send(writer, 200, server.body(asked), headers)


async def _huge_header(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nx-evil: ")
    for _ in range(64):
        writer.write(b"a" * 65_536)
        await writer.drain()


async def _not_http(server: HostileServer, asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await writer.drain()
    writer.close()
    raise ConnectionResetError


MODES: dict[str, Spoil] = {
    "obey": _obey,
    "adversary": _adversary,
    "refuse": _refuse,
    "filtered": _filtered,
    "truncate": _truncate,
    "complete_but_truncated": _complete_but_truncated,
    "tool_call": _tool_call,
    "malformed": _malformed,
    "trickle": _trickle,
    "trickle_error": _trickle_error,
    "slow_header": _slow_header,
    "silent": _silent,
    "stall_one": _stall_one,
    "storm": _storm,
    "error": _error,
    "once_error": _once_error,
    "wrong_model": _wrong_model,
    "wrong_key": _wrong_key,
    "bad_request": _bad_request,
    "redirect": _redirect,
    "reset": _reset,
    "cut": _cut,
    "huge": _huge,
    "huge_error": _huge_error,
    "zipped": _zipped,
    "headers": _headers,
    "huge_header": _huge_header,
    "not_http": _not_http,
}
