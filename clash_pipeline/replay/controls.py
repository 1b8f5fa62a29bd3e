"""The controls of a running venue, over one kept-alive connection per thread."""

import http.client
import os
import threading
from typing import Any
from urllib.parse import urlsplit

import msgspec

TIMEOUT_SEC = 120.0
"""A step of many hours answers only when its last frame was handed over."""


class VenueGone(ConnectionError):
    """The venue does not answer on its controls; names the address."""


class _Connection(http.client.HTTPConnection):
    """Closes itself when the thread it belongs to is gone."""

    def __del__(self) -> None:
        self.close()


class VenueControls:
    """GET and POST of `/clock`, `/stats` and `/faults`; threads and forked processes each get their own connection."""

    def __init__(self, base_url: str, timeout_sec: float = TIMEOUT_SEC) -> None:
        parts = urlsplit(base_url.removesuffix("/").removesuffix("/clock"))
        self.base_url = f"{parts.scheme}://{parts.netloc}"
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._timeout_sec = timeout_sec
        self._local = threading.local()
        self.moved_to: int | None = None
        """Where `advance` moved the time last; None before it did."""

    def now_ms(self) -> int:
        """Venue time.

        Raises:
            VenueGone: nobody answers, or somebody who is no replayed venue.
        """
        try:
            return int(self.ask("GET", "/clock")["nowMs"])
        except (AttributeError, KeyError, TypeError, ValueError, msgspec.DecodeError):
            raise VenueGone(f"{self.base_url}/clock tells no time: it is not a replayed venue") from None

    def advance(self, to_ms: int) -> int:
        """Move stepped time; returns when every frame due by then was handed to the sockets."""
        self.moved_to = int(self.ask("POST", "/clock", {"toMs": to_ms})["nowMs"])
        return self.moved_to

    def stats(self) -> dict[str, Any]:
        """Counts since the start."""
        return dict(self.ask("GET", "/stats"))

    def add_faults(self, specification: str) -> list[dict[str, Any]]:
        """Switch faults on; offsets count from now."""
        return list(self.ask("POST", "/faults", {"faults": specification}))

    def clear_faults(self) -> None:
        """Behave from now on."""
        self.ask("POST", "/faults", {"clear": True})

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer.

        Raises:
            VenueGone: no connection, also not on a second try.
            ValueError: the venue refused what was asked; the message is the venue's.
        """
        sent = None if body is None else msgspec.json.encode(body)
        status, answer = self._exchanged(method, path, sent)
        value = msgspec.json.decode(answer)
        if status != 200:
            raise ValueError(f"{path} answered {status}: {value.get('error', value)}")
        return value

    def _exchanged(self, method: str, path: str, sent: bytes | None) -> tuple[int, bytes]:
        for is_last in (False, True):
            connection = self._connection()
            try:
                connection.request(method, path, sent, {"Content-Type": "application/json"})
                response = connection.getresponse()
                return response.status, response.read()
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                if is_last or isinstance(error, TimeoutError):
                    raise VenueGone(f"the replayed venue at {self.base_url}{path} does not answer: {error}") from None
        raise AssertionError("unreachable")

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.pid = os.getpid()
            self._local.connection = _Connection(*self._address, timeout=self._timeout_sec)
        connection: http.client.HTTPConnection = self._local.connection
        return connection
