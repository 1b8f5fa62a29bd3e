"""DefiLlama's client against a real HTTP server on loopback, and every way that can misbehave."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.market.defillama.client import DefiLlamaClient
from clash_pipeline.market.defillama.refresh import refresh_all
from clash_pipeline.market.http import (
    USER_AGENT,
    VenueHttp,
    VenueMalformed,
    VenueRefused,
    VenueTooLarge,
    VenueUnavailable,
)
from clash_pipeline.market.pacing import PacedHttp
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import loopback as venue_answers
from tests.fakes.llama import raw_answers
from tests.fakes.loopback import Loopback, as_json, loopback

LIMIT = 200_000


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


@pytest.fixture
def venue(server: Loopback) -> Loopback:
    server.answers.clear()
    server.asked.clear()
    answers = raw_answers()
    server.answers |= {path: as_json(answer) for path, answer in answers.items()}
    server.answers["/overview/fees"] = lambda request: as_json(
        answers[f"/overview/fees?{request.query_params['dataType']}"]
    )(request)
    return server


def asking(venue: Loopback, ask: Callable[[DefiLlamaClient], Awaitable[Any]]) -> tuple[Any, list[float]]:
    """The outcome, and how long the client would have waited."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> Any:
        async with httpx.AsyncClient(trust_env=False) as connections:
            http = VenueHttp("defillama", connections, timeout_sec=5, max_bytes=LIMIT)
            paced = PacedHttp(http, pause_sec=1, sleep=sleep, monotonic=lambda: sum(waits))
            return await ask(DefiLlamaClient(paced, base_url=venue.url, stablecoins_url=venue.url))

    return asyncio.run(run()), waits


def test_a_refresh_asks_each_endpoint_about_once_a_second(
    venue: Loopback, market: Database, clock: SettableClock, settings: Settings
) -> None:
    reports, waits = asking(venue, lambda client: refresh_all(market, client, clock, settings))
    assert {report.error for report in reports.values()} == {None}
    assert len(venue.asked) > 8
    assert sum(waits) == len(venue.asked) - 1
    assert venue.agents == {USER_AGENT}
    fees = [query["dataType"] for path, query in venue.asked if path == "/overview/fees"]
    assert fees == ["dailyFees", "dailyRevenue"]
    overviews = [query for path, query in venue.asked if path.startswith("/overview")]
    assert all(
        query["excludeTotalDataChart"] == query["excludeTotalDataChartBreakdown"] == "true" for query in overviews
    )


@pytest.mark.parametrize(
    ("answer", "error", "requests"),
    [
        (venue_answers.busy, VenueUnavailable, 3),
        (venue_answers.broken, VenueUnavailable, 3),
        (venue_answers.cut, VenueUnavailable, 3),
        (venue_answers.html, VenueMalformed, 1),
        (venue_answers.huge, VenueTooLarge, 1),
        (venue_answers.moved, VenueRefused, 1),
        (venue_answers.missing, VenueRefused, 1),
        (as_json({"message": "Upgrade"}), VenueMalformed, 1),
    ],
)
def test_every_way_to_misbehave_has_its_error(
    venue: Loopback, answer: Any, error: type[Exception], requests: int
) -> None:
    venue.answers["/protocols"] = answer
    with pytest.raises(error) as caught:
        asking(venue, lambda client: client.protocols())
    assert str(caught.value).startswith("defillama: ")
    assert venue.paths() == ["/protocols"] * requests


def test_an_empty_list_is_an_answer(
    venue: Loopback, market: Database, clock: SettableClock, settings: Settings
) -> None:
    venue.answers["/protocols"] = as_json([])
    reports, _ = asking(venue, lambda client: refresh_all(market, client, clock, settings))
    assert reports["capital_base"].error is None
