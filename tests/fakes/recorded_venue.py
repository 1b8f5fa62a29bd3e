"""The replayed venue over the recordings inside this process: bytes in and out, no port, and time that only we move."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import numpy as np

from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.market.gaps import Request
from clash_pipeline.market.http import VenueHttp
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.market.repair import Repairer
from clash_pipeline.market.weights import WeightBudget
from clash_pipeline.replay import info
from clash_pipeline.replay.sessions import Session
from clash_pipeline.replay.truth import MarketTruth, Minutes
from clash_pipeline.replay.venue import Venue
from clash_pipeline.storage.sqlite import Database

LIMIT = 1_100
"""Weight a minute that the product allows itself; the venue refuses above 1,200."""
PAGE_MINUTES = 4_900
"""A little less than the venue keeps, because its time goes on while all coins are asked for."""
SHOWN_AFTER_MS = 5 * MINUTE_MS
"""By then the venue shows every minute, silent ones included."""

Spans = Mapping[str, tuple[int, int]]


class RecordedVenue:
    """A venue with the product's own REST client on it; waiting for weight passes venue time."""

    def __init__(self, truth: MarketTruth, market: Database) -> None:
        self.venue = Venue(truth)
        self.asked: list[int] = []
        """The size of every answer, in rows that weigh."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        http = VenueHttp("hyperliquid", client, timeout_sec=10, max_bytes=16_000_000)
        budget = WeightBudget(market, "hyperliquid", LIMIT, self, sleep=self._wait)
        self.rest = HyperliquidRest(http, budget, "http://venue", self)

    @property
    def symbols(self) -> Sequence[str]:
        """Everything that has candles."""
        return [asset.symbol for asset in self.venue.market.trading]

    def now_ms(self) -> int:
        """Venue time; this object is the product's clock."""
        return self.venue.now_ms

    def turn_to(self, now_ms: int) -> None:
        """Set venue time without saying anything to anybody."""
        self.venue.now_ms = now_ms

    def listen(self, hear: Callable[[bytes, int], None]) -> Session:
        """Open a socket whose bytes are heard the moment they are sent, with the venue time of that moment."""
        ear = _Ear(self.venue, hear)
        self.venue.connect(ear)
        return ear

    async def backfill(self, market: Database, spans: Spans) -> int:
        """Ask for each coin's minutes in `[from, to)` while the venue still has them; returns the rows written."""
        repairer = Repairer(market, self.rest)
        begin = min(from_t for from_t, _ in spans.values())
        end = max(to_t for _, to_t in spans.values())
        written = 0
        for page_t in range(begin, end, PAGE_MINUTES * MINUTE_MS):
            until = min(page_t + PAGE_MINUTES * MINUTE_MS, end)
            self.turn_to(until + SHOWN_AFTER_MS)
            for request in _requests(spans, page_t, until):
                written += (await repairer.repair(request, self.now_ms)).rows
        return written

    def _answer(self, request: httpx.Request) -> httpx.Response:
        made = info.answer(self.venue, request.content)
        self.asked.append(made.rows)
        return httpx.Response(made.status, content=made.body, headers={"Content-Type": made.content_type})

    async def _wait(self, seconds: float) -> None:
        self.venue.now_ms += max(round(seconds * 1000), SECOND_MS)


def _requests(spans: Spans, from_t: int, to_t: int) -> Iterable[Request]:
    """The part of each span in a page; repair by itself asks for the minute after each request, too."""
    for symbol, (first_t, end_t) in spans.items():
        start, stop = max(first_t, from_t), min(end_t, to_t)
        if start < stop:
            yield Request(symbol, start, stop - MINUTE_MS, ())


class _Ear(Session):
    def __init__(self, venue: Venue, hear: Callable[[bytes, int], None]) -> None:
        super().__init__(venue.connections_total + 1, self._nowhere)
        self._venue = venue
        self._hear = hear

    def push(self, message: str | bytes) -> None:
        self._hear(message.encode() if isinstance(message, str) else message, self._venue.now_ms)

    async def _nowhere(self, _: object) -> None:
        raise AssertionError("everything is heard at once")


class AlteredTruth:
    """A market in which one number of one minute is the next float up, and all else as it was."""

    def __init__(self, truth: MarketTruth, symbol: str, t: int, field: str) -> None:
        self._truth = truth
        self._cell = (symbol, t, field)

    def minutes(self, symbol: str, from_t: int, to_t: int) -> Minutes:
        found = self._truth.minutes(symbol, from_t, to_t)
        altered, t, field = self._cell
        if symbol != altered or not from_t <= t < to_t:
            return found
        column = getattr(found, field).copy()
        row = (t - found.t0) // MINUTE_MS
        column[row] = np.nextafter(column[row], np.inf)
        return replace(found, **{field: column})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._truth, name)
