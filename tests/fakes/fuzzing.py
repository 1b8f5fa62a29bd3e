"""Raw requests for the fuzz tests: seeds from the contract's examples, mutated, put straight into the application."""

import asyncio
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

TOKENS: tuple[bytes, ...] = (
    b"NaN", b"Infinity", b"-1", b"1e999", b"1.0", b"0", b"null", b"true", b'"1"', b"[]", b"{}", b'"\\ud800"',
    b"\\u0000",
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"9" * 400, b"[" * 40, b"{" * 40, b"]" * 40, b",", b":", b'"', b"\\", b"'",
    b'"; DROP TABLE clones; --', b"../../etc/passwd", b"%00", b"http://169.254.169.254/", b"{{7*7}}", b"<script>",
    "\u202e".encode(), "\u200b".encode(), "é".encode(), b'"a":1,"a":2', b"1_000", "１".encode(), b" ", b"\r\n",
)  # fmt: skip
"""What parsers have stumbled over, and what never may be believed."""
NAMES = (
    "limit",
    "cursor",
    "kind",
    "state",
    "from",
    "to",
    "interval",
    "symbol",
    "search",
    "source",
    "x",
    "limit",
    "node",
)
VALUES = (
    "", "0", "1", "-1", "1e9", "999", "1_0", "１", "%00", "a" * 300, "null", "true", "2026-03-12T09:20:00Z", "now",
    "9999-99-99T99:99:99Z", "BTC", "PURR%2FUSDC", "..%2F..", "'", "%ff", "1m", "perp",
)  # fmt: skip
IDS = (
    "1",
    "2",
    "3",
    "0",
    "-1",
    "999999",
    "9" * 30,
    "1_0",
    "１",
    "0x1",
    "1.0",
    "%00",
    "..%2f1",
    "abc",
    "1%20",
    "",
    "BTC",
)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/plain"), (b"content-type", b"application/json; charset=utf-16"), (b"content-type", b""),
    (b"content-encoding", b"gzip"), (b"content-length", b"-1"), (b"content-length", b"99999999"),
    (b"authorization", b"Bearer x"), (b"authorization", b"\xff\xfe"), (b"authorization", b""),
    (b"x-service-token", b"clash_"), (b"x-forwarded-for", b"1.2.3.4"), (b"x-user-id", b"2"),
    (b"idempotency-key", b"x"), (b"idempotency-key", b"\xff" * 20), (b"if-match", b"*"), (b"if-match", b'W/"x", "y"'),
    (b"if-none-match", b"*"), (b"last-event-id", b"1e9"), (b"last-event-id", b"9" * 40),
    (b"accept", b"text/event-stream"),
    (b"accept", b"\xff"), (b"host", b""), (b"x" * 9_000, b"y" * 9_000), (b"range", b"bytes=0-"), (b"te", b"trailers"),
)  # fmt: skip
LEAKS = re.compile(
    rb"Traceback|File \"|\.py\b|site-packages|SELECT |INSERT |sqlite|/work/|/root/|/tmp/|/dev/shm/|/home/|PRIVATE KEY|"
    rb"object at 0x|pydantic|starlette|canary-4f1d7c-2|canary-4f1d7c 2",
    re.IGNORECASE,
)
"""What no answer may hold: insides of ours, and what is private to the other user."""


@dataclass(frozen=True)
class Seed:
    """A good request: of which operation, how its path is written, and what is sent."""

    operation: str
    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass(frozen=True)
class Raw:
    """A request as the application gets it."""

    operation: str
    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


def mutated(seed: Seed, source: random.Random) -> Raw:
    """The request with one to five things wrong with it."""
    method, path, query, headers, body = seed.method, seed.path, b"", list(seed.headers), seed.body
    for _ in range(source.randint(1, 5)):
        match source.randrange(10):
            case 0 | 1 | 2 | 3 if body:
                body = _bytes(body, source)
            case 4 | 5:
                query += b"&" * bool(query) + f"{source.choice(NAMES)}={source.choice(VALUES)}".encode()
            case 6:
                path = _path(path, source)
            case 7:
                headers.append(source.choice(HEADERS))
            case 8 if source.random() < 0.3:
                method = source.choice(METHODS)
            case 9 if source.random() < 0.3 and headers:
                headers.pop(source.randrange(len(headers)))
    return Raw(seed.operation, method, path, query, tuple(headers), body)


def _bytes(body: bytes, source: random.Random) -> bytes:
    """Insert, replace, cut off or repeat something."""
    start = source.randrange(len(body) + 1)
    end = min(start + source.randrange(12), len(body))
    match source.randrange(4):
        case 0:
            return body[:start] + source.choice(TOKENS) + body[start:]
        case 1:
            return body[:start] + source.choice(TOKENS) + body[end:]
        case 2:
            return body[:start]
        case _:
            return body[:end] + body[start:]


def _path(path: str, source: random.Random) -> str:
    parts = path.split("/")
    numbered = [place for place, part in enumerate(parts) if part.isdigit() or part == "BTC"] or [len(parts) - 1]
    parts[source.choice(numbered)] = source.choice(IDS)
    return "/".join(parts)


async def put(app: Any, raw: Raw) -> Answer:
    """One request through the whole application, as a server would hand it over."""
    answer, sent = Answer(), False
    path = raw.path
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": raw.method, "scheme": "http",
        "path": unquote(path, errors="replace"), "raw_path": quote(path, safe="/%").encode(), "root_path": "",
        "query_string": raw.query, "headers": list(raw.headers), "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 8787), "state": {},
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": raw.body, "more_body": False}
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.lower(): value for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer


def wrong(raw: Raw, answer: Answer) -> str | None:
    """What is wrong with an answer; None when nothing is."""
    if not 200 <= answer.status < 500:
        return f"status {answer.status}: {answer.body[:200]!r}"
    if leak := LEAKS.search(answer.body):
        return f"leaks {leak.group()!r}: {answer.body[max(leak.start() - 80, 0) : leak.end() + 80]!r}"
    if answer.status >= 400 and raw.method != "HEAD":
        return _not_a_problem(answer)
    return None


def _not_a_problem(answer: Answer) -> str | None:
    if answer.headers.get(b"content-type") != b"application/problem+json":
        return f"{answer.status} of type {answer.headers.get(b'content-type')!r}: {answer.body[:200]!r}"
    body = json.loads(answer.body)
    if body["status"] != answer.status or not re.fullmatch(r"[a-z_]{3,40}", body["code"]) or not body["requestId"]:
        return f"no whole problem: {answer.body[:200]!r}"
    return None


def barrage(app: Any, seeds: Sequence[Seed], count: int, source: random.Random, *, at_once: int = 16) -> list[str]:
    """Put `count` mutated requests; returns what was wrong, each with the request that showed it."""
    found: list[str] = []

    async def work(share: int) -> None:
        for _ in range(share):
            raw = mutated(source.choice(seeds), source)
            answer = await put(app, raw)
            if (problem := wrong(raw, answer)) is not None:
                found.append(f"{problem} after {raw}")

    async def everything() -> None:
        await asyncio.gather(*(work(count // at_once) for _ in range(at_once)))

    asyncio.run(everything())
    return found
