"""The way to an endpoint over HTTP: no redirects, a bounded body, a time for all of it."""

import time
from collections.abc import Callable

import httpx

from clash_pipeline.economy.chain.rpc import EndpointSilent, EndpointWrong

HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


class HttpLink:
    """One endpoint's address; the client, and with it the connections, belongs to the caller.

    An answer that trickles is given up at the first piece after `timeout_sec`, so a call lasts at most twice that.
    """

    def __init__(
        self,
        name: str,
        url: str,
        client: httpx.Client,
        *,
        timeout_sec: float,
        max_bytes: int,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._url = url
        self._client = client
        self._timeout_sec = timeout_sec
        self._max_bytes = max_bytes
        self._elapsed = elapsed

    def exchange(self, body: bytes) -> bytes:
        """The answer to a body.

        Raises:
            EndpointSilent: no connection, no answer in time, 429, or 5xx.
            EndpointWrong: another status than 200, or more bytes than are read.
        """
        until = self._elapsed() + self._timeout_sec
        try:
            with self._client.stream(
                "POST", self._url, content=body, headers=HEADERS, follow_redirects=False, timeout=self._timeout_sec
            ) as response:
                self._check(response.status_code)
                return self._bounded(response, until)
        except httpx.HTTPError as error:
            raise EndpointSilent(self.name, type(error).__name__) from None

    def _check(self, status: int) -> None:
        if status == 429 or status >= 500:
            raise EndpointSilent(self.name, f"answered {status}")
        if status != 200:
            raise EndpointWrong(self.name, f"answered {status}")

    def _bounded(self, response: httpx.Response, until: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            size += len(part)
            if size > self._max_bytes:
                raise EndpointWrong(self.name, f"sent more than {self._max_bytes} bytes")
            if self._elapsed() > until:
                raise EndpointSilent(self.name, f"no whole answer within {self._timeout_sec:g} s")
            parts.append(part)
        return b"".join(parts)
