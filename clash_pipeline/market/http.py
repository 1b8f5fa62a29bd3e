"""One bounded way to ask a venue over HTTP: no redirects, a size limit, a total time, and errors sorted by kind."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) clash-of-clones/0.1"
"""DefiLlama's front refuses clients without an ordinary agent (sources 3.3)."""


class VenueError(Exception):
    """A venue did not give a usable answer; the message is one line and names the source."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source


class VenueUnavailable(VenueError):
    """Transient: time-out, 429, 5xx, refused connection. Asking again later can help."""

    def __init__(self, source: str, message: str, retry_after_ms: int | None = None, status: int | None = None) -> None:
        super().__init__(source, message)
        self.retry_after_ms = retry_after_ms
        self.status = status


class VenueRefused(VenueError):
    """Permanent: the venue will not answer this request; `status` is its HTTP status."""

    def __init__(self, source: str, message: str, status: int) -> None:
        super().__init__(source, message)
        self.status = status


class VenueMalformed(VenueError):
    """The answer is not what the venue documents: no JSON, cut off, or larger than we read."""


class VenueTooLarge(VenueMalformed):
    """The answer is larger than we read; asking for less of it may help."""


class VenueHttp:
    """JSON over HTTP from one source; the client (and with it the connections) belongs to the caller."""

    def __init__(self, source: str, client: httpx.AsyncClient, *, timeout_sec: float, max_bytes: int) -> None:
        self.source = source
        self._client = client
        self._timeout_sec = timeout_sec
        self._max_bytes = max_bytes

    async def get_json(self, url: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer of a GET.

        Raises:
            VenueUnavailable, VenueRefused, VenueMalformed: see there.
        """
        return self._decoded(await self._body("GET", url, params=params))

    async def post_json(self, url: str, body: Any) -> Any:
        """The decoded answer of a POST of a JSON body; raises as `get_json`."""
        return self._decoded(await self.post_bytes(url, body))

    async def post_bytes(self, url: str, body: Any) -> bytes:
        """The raw answer of a POST of a JSON body, for callers with a decoder of their own; raises as `get_json`."""
        return await self._body(
            "POST", url, content=msgspec.json.encode(body), headers={"Content-Type": "application/json"}
        )

    async def _body(self, method: str, url: str, **request: Any) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await self._exchange(method, url, **request)
        except TimeoutError:
            raise VenueUnavailable(self.source, f"no answer from {url} within {self._timeout_sec:g} s") from None
        except httpx.InvalidURL as error:
            raise VenueRefused(self.source, f"{url} is not a usable address: {error}", 0) from None
        except httpx.HTTPError as error:
            raise VenueUnavailable(self.source, f"{url}: {type(error).__name__} {error}".rstrip()) from None

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str] | None = None, **request: Any) -> bytes:
        sent = {"User-Agent": USER_AGENT, "Accept": "application/json", **(headers or {})}
        async with self._client.stream(method, url, headers=sent, follow_redirects=False, **request) as response:
            self._check(url, response)
            return await self._bounded(url, response)

    def _check(self, url: str, response: httpx.Response) -> None:
        status = response.status_code
        if status == 429 or status >= 500:
            raise VenueUnavailable(self.source, f"{url} answered {status}", _retry_after_ms(response), status)
        if status != 200:
            raise VenueRefused(self.source, f"{url} answered {status}", status)

    async def _bounded(self, url: str, response: httpx.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > self._max_bytes:
                raise VenueTooLarge(self.source, f"{url} sent more than {self._max_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    def _decoded(self, body: bytes) -> Any:
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise VenueMalformed(self.source, f"the answer is not JSON: {body[:60]!r}") from None


def _retry_after_ms(response: httpx.Response) -> int | None:
    text = response.headers.get("Retry-After", "")
    return int(text) * 1000 if text.isascii() and text.isdigit() and len(text) <= 5 else None
