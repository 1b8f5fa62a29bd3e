"""The server: uvicorn on one loop, with a time for the head of a request, which uvicorn itself leaves open (09 F11)."""

import asyncio
from typing import Any

import h11
import msgspec
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from clash_pipeline.api.limits import HEADER_BYTES
from clash_pipeline.api.problems import MEDIA_TYPE
from clash_pipeline.settings import Settings

KEEP_ALIVE_SEC = 5
SHUTDOWN_SEC = 10
CONNECTIONS = 2_000


def config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How the application is served; the head of a request must arrive as fast as its body."""

    class Protocol(HeadTimeoutProtocol):
        """With this system's time."""

        head_sec = settings.api_receive_sec

    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SEC,
        timeout_graceful_shutdown=SHUTDOWN_SEC,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )


class HeadTimeoutProtocol(H11Protocol):
    """Closes connections whose head, or whose body that nobody asked for, takes too long; says malformed heads well."""

    head_sec: float = 10

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came; its first head must follow."""
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It went."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes: the rest of a head, of a body, or the start of the next head."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._expect_head()
        elif self.conn.their_state is not h11.IDLE and not self._owes_a_body():
            self._stop_timer()

    def on_response_complete(self) -> None:
        """The answer is out; what was not asked for of the request may still come, but not for ever."""
        super().on_response_complete()
        if self._owes_a_body():
            self._expect_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or a head that is too large."""
        code = "malformed_request"
        body = {"type": f"urn:clash:problem:{code}", "title": "The request cannot be read", "status": 400, "code": code,
                "detail": f"This is not an HTTP request with at most {HEADER_BYTES:,} bytes of headers."}  # fmt: skip
        content = msgspec.json.encode(body)
        headers: list[tuple[str, str]] = [
            ("content-type", MEDIA_TYPE),
            ("content-length", str(len(content))),
            ("connection", "close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            events: list[Any] = [
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=content),
                h11.EndOfMessage(),
            ]
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _owes_a_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_sec, self._too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
