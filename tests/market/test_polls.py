"""The polls bring what strategies name, whatever its size, and not without being told."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from clash_pipeline.market import polls
from clash_pipeline.market.defillama import store
from clash_pipeline.market.defillama.client import DefiLlamaClient
from clash_pipeline.market.polymarket import targets
from clash_pipeline.replay.clock import venue_clock
from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.hosting import hosted
from clash_pipeline.replay.synthetic import SyntheticMarket
from clash_pipeline.replay.venue import Venue
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database


@pytest.fixture
def venue() -> Iterator[VenueControls]:
    with hosted(Venue(SyntheticMarket(7, perps=3))) as controls:
        yield controls


@pytest.fixture
def few(settings: Settings, venue: VenueControls) -> Settings:
    """Settings that keep two protocols and speak to the replayed venues."""
    url = venue.base_url
    return settings.model_copy(
        update={
            "polymarket_gamma_url": f"{url}/gamma", "polymarket_clob_url": f"{url}/clob",
            "defillama_url": f"{url}/llama", "defillama_stablecoins_url": f"{url}/stablecoins",
            "defillama_pause_sec": 0.0, "defillama_protocols": 2, "defillama_chain_histories": 0,
            "defillama_chain_overviews": 0,
        }
    )  # fmt: skip


def protocols(market: Database) -> set[str]:
    with market.read() as connection:
        return {known.subject for known in store.subjects(connection, "protocol")}


async def by_size(few: Settings, connections: httpx.AsyncClient) -> list[str]:
    """The slugs of the venue's protocols, smallest first."""
    listed = (await DefiLlamaClient.from_settings(few, connections).protocols()).items
    return [one.slug for one in sorted(listed, key=lambda one: one.tvl_usd or 0)]


def test_a_small_protocol_that_a_strategy_names_is_stored_and_another_is_not(
    market: Database, few: Settings, venue: VenueControls
) -> None:
    async def polled() -> tuple[str, str]:
        async with httpx.AsyncClient() as client:
            smallest, second, *_ = await by_size(few, client)
            (poll,) = polls.defillama(
                market, client, venue_clock(venue.base_url), few, named=lambda: [("protocol", smallest)]
            )
            await poll.refresh(0)
        return smallest, second

    named, other = asyncio.run(polled())
    assert named in protocols(market)
    assert other not in protocols(market)


def test_a_market_that_a_strategy_names_is_asked_for_with_the_next_poll(
    market: Database, few: Settings, venue: VenueControls
) -> None:
    slugs: list[str] = []

    async def polled() -> None:
        async with httpx.AsyncClient() as client:
            poll = polls.polymarket(market, client, venue_clock(venue.base_url), few, named=lambda: slugs)[1]
            await poll.refresh(0)
            slugs.append("nobody-lists-this")
            await poll.refresh(0)

    asyncio.run(polled())
    with market.read() as connection:
        assert targets.problems(connection) == {"nobody-lists-this": "not_found"}
