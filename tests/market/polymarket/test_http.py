"""The product's client and transport against a real HTTP server on loopback: paging, and every way it can misbehave."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from clash_pipeline.clock import HOUR_MS, SettableClock
from clash_pipeline.market.http import (
    USER_AGENT,
    VenueHttp,
    VenueMalformed,
    VenueRefused,
    VenueTooLarge,
    VenueUnavailable,
)
from clash_pipeline.market.pacing import PacedHttp
from clash_pipeline.market.polymarket.client import PolymarketClient
from clash_pipeline.market.polymarket.refresh import refresh_discovery
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.conftest import NOW
from tests.fakes import loopback as venue_answers
from tests.fakes.gamma import list_assets, raw_event, raw_market
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
    return server


def asking(
    venue: Loopback, ask: Callable[[PolymarketClient], Awaitable[Any]], page_size: int = 2, timeout_sec: float = 5
) -> Any:
    async def run() -> Any:
        async with httpx.AsyncClient(trust_env=False) as connections:
            http = VenueHttp("polymarket", connections, timeout_sec=timeout_sec, max_bytes=LIMIT)
            waits: list[float] = []

            async def sleep(seconds: float) -> None:
                waits.append(seconds)

            client = PolymarketClient(
                PacedHttp(http, sleep=sleep), gamma_url=venue.url, clob_url=venue.url, page_size=page_size
            )
            return await ask(client)

    return asyncio.run(run())


def event(place: int) -> Any:
    return raw_event(f"e{place}", "Bitcoin?", raw_market(str(place), f"Bitcoin above {place}?", end_at=NOW + HOUR_MS))


def discover(venue: Loopback, market: Database, clock: SettableClock, settings: Settings) -> Any:
    with market.write() as connection:
        list_assets(connection, BTC=["Bitcoin"])
    return asking(venue, lambda client: refresh_discovery(market, client, clock=clock, settings=settings))


def test_keyset_pages_to_the_end(venue: Loopback, market: Database, clock: SettableClock, settings: Settings) -> None:
    venue.answers["/events/keyset"] = [
        as_json({"events": [event(1), event(2)], "next_cursor": "b=="}),
        as_json({"events": [event(3)]}),
    ]
    assert discover(venue, market, clock, settings).covered == 1
    assert [query.get("after_cursor") for _, query in venue.asked] == [None, "b=="]
    assert venue.asked[0][1] == {"tag_slug": "crypto", "closed": "false", "limit": "2"}
    assert venue.agents == {USER_AGENT}


def test_the_old_paging_where_there_is_no_keyset(
    venue: Loopback, market: Database, clock: SettableClock, settings: Settings
) -> None:
    venue.answers["/events"] = [as_json([event(1), event(2)]), as_json([event(3)]), as_json([])]
    assert discover(venue, market, clock, settings).covered == 1
    assert [query.get("offset") for path, query in venue.asked if path == "/events"] == ["0", "2", "3"]


def test_a_busy_venue_is_asked_again(
    venue: Loopback, market: Database, clock: SettableClock, settings: Settings
) -> None:
    venue.answers["/events/keyset"] = [venue_answers.busy, venue_answers.broken, as_json({"events": [event(1)]})]
    assert discover(venue, market, clock, settings).covered == 1
    assert venue.paths().count("/events/keyset") == 3


@pytest.mark.parametrize(
    ("answer", "error", "requests"),
    [
        (venue_answers.busy, VenueUnavailable, 3),
        (venue_answers.broken, VenueUnavailable, 3),
        (venue_answers.cut, VenueUnavailable, 3),
        (venue_answers.html, VenueMalformed, 1),
        (venue_answers.moved, VenueRefused, 1),
        (as_json({"unexpected": True}), VenueMalformed, 1),
        (as_json(None), VenueMalformed, 1),
    ],
)
def test_every_way_to_misbehave_has_its_error(
    venue: Loopback, answer: Any, error: type[Exception], requests: int
) -> None:
    venue.answers["/events/keyset"] = answer
    with pytest.raises(error) as caught:
        asking(venue, lambda client: client.events("crypto"))
    assert str(caught.value).startswith("polymarket: ")
    assert "\n" not in str(caught.value)
    assert venue.paths() == ["/events/keyset"] * requests, "and a redirect leads nowhere"


def test_a_gigabyte_is_not_read(venue: Loopback) -> None:
    venue.answers["/public-search"] = venue_answers.huge
    with pytest.raises(VenueTooLarge, match=f"more than {LIMIT} bytes"):
        asking(venue, lambda client: client.search("bitcoin"))


def test_a_slow_answer_is_given_up(venue: Loopback) -> None:
    venue.answers["/public-search"] = venue_answers.slow
    with pytest.raises(VenueUnavailable, match=r"no answer .* within 0.1 s"):
        asking(venue, lambda client: client.search("bitcoin"), timeout_sec=0.1)


def test_a_page_too_large_is_asked_for_in_halves(venue: Loopback) -> None:
    venue.answers["/events/keyset"] = [venue_answers.huge, venue_answers.huge, as_json({"events": [event(1)]})]
    page = asking(venue, lambda client: client.events("crypto"), page_size=100)
    assert len(page.events) == 1
    assert [query["limit"] for _, query in venue.asked] == ["100", "50", "25"]


def test_what_is_not_there_is_none(venue: Loopback) -> None:
    assert asking(venue, lambda client: client.market("nowhere")) is None
    assert asking(venue, lambda client: client.book("1")) is None
    venue.answers["/midpoint"] = as_json({"mid": "0.5"})
    assert asking(venue, lambda client: client.midpoint("1")) == "0.5"


def test_a_slug_cannot_leave_its_place_in_the_address(venue: Loopback) -> None:
    asking(venue, lambda client: client.event("../markets?x=1"))
    path, query = venue.asked[0]
    assert path.startswith("/events/slug/")
    assert query == {}


def test_a_venue_that_is_not_there_is_unavailable() -> None:
    nowhere = Loopback()
    nowhere.url = "http://127.0.0.1:9"
    with pytest.raises(VenueUnavailable):
        asking(nowhere, lambda client: client.events("crypto"))
