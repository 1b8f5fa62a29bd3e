"""Patience with a polled venue: a pause between requests, and a few repeats of what is worth repeating."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from clash_pipeline.market.http import VenueHttp, VenueUnavailable

ATTEMPTS = 3
FIRST_BACKOFF_SEC = 1.0
LONGEST_WAIT_SEC = 20.0

log = structlog.get_logger(__name__)


class PacedHttp:
    """GETs at least `pause_sec` apart; transient failures are repeated, later each time or when the venue says.

    The pause protects the venue's own limit, so it counts real seconds, whatever clock the domain runs on.
    """

    def __init__(
        self,
        http: VenueHttp,
        *,
        pause_sec: float = 0,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._pause_sec = pause_sec
        self._attempts = attempts
        self._sleep = sleep
        self._monotonic = monotonic
        self._free_at = 0.0

    async def get_json(self, url: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer; raises as `VenueHttp.get_json`, transient failures only after the last attempt."""
        for attempt in range(1, self._attempts):
            try:
                return await self._once(url, params)
            except VenueUnavailable as error:
                wait_sec = _wait_sec(error, attempt)
                log.info("venue_retry", source=error.source, attempt=attempt, wait_sec=wait_sec, error=str(error))
                await self._sleep(wait_sec)
        return await self._once(url, params)

    async def _once(self, url: str, params: Mapping[str, Any] | None) -> Any:
        now = self._monotonic()
        starts_at = max(now, self._free_at)
        self._free_at = starts_at + self._pause_sec  # taken before waiting, so that concurrent callers queue up
        if starts_at > now:
            await self._sleep(starts_at - now)
        return await self._http.get_json(url, params)


def _wait_sec(error: VenueUnavailable, attempt: int) -> float:
    asked = None if error.retry_after_ms is None else error.retry_after_ms / 1000
    return min(LONGEST_WAIT_SEC, FIRST_BACKOFF_SEC * 2 ** (attempt - 1) if asked is None else asked)
