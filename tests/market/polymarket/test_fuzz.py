"""Mutated Gamma messages on the whole way to the rows: no exception, no half row, each one counted (09 §3.4 D5)."""

import asyncio
import json
import random
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from clash_pipeline.clock import HOUR_MS, SettableClock
from clash_pipeline.market.http import VenueHttp, VenueMalformed
from clash_pipeline.market.polymarket import wire
from clash_pipeline.market.polymarket.refresh import refresh_discovery
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database
from tests.conftest import NOW
from tests.fakes.gamma import list_assets, raw_event, raw_market
from tests.fakes.mutation import mutated

PAGE = 500
KNOWN_IDS = 2_000
"""Few enough ids that most messages update a row that another one wrote."""


class FuzzedGamma:
    """A client whose pages are mutated events; it checks that no entry of a page is lost without a word."""

    def __init__(self, seeds: list[bytes], count: int) -> None:
        self._source = random.Random(5)
        self._seeds = seeds
        self._left = count
        self._page = 0
        self.messages = 0
        self.undecodable: list[bytes] = []
        self.refused = 0

    async def events(self, tag: str, cursor: str | None = None) -> wire.Page:
        self._page += 1
        entries = [raw_event(f"page-{self._page}", "A page of its own", raw_market(f"9{self._page}", "Bitcoin?"))]
        count = min(PAGE, self._left)
        for is_json, message in mutated(self._source, self._seeds, count):
            if is_json:
                self._number(message)
                entries.append(message)
            else:
                self.undecodable.append(message)
        self._left -= count
        self.messages += count
        page = wire.page({"events": entries, **({"next_cursor": str(self._page)} if self._left else {})})
        lost = len(entries) - len(page.events) - sum(r.reason.startswith("event_") for r in page.refused)
        assert lost == 0, f"{lost} messages were neither taken nor refused"
        self.refused += len(page.refused)
        return page

    async def search(self, query: str) -> wire.Page:
        return wire.page([])

    async def event(self, slug: str) -> None:
        return None

    market = event

    def _number(self, message: Any) -> None:
        """Give the event and its markets ids of their own where the mutation left these alone."""
        if isinstance(message, dict) and message.get("id") == "1":
            message["id"] = str(self._source.randrange(KNOWN_IDS))
            for market in message.get("markets") or [] if isinstance(message.get("markets"), list) else []:
                if isinstance(market, dict) and market.get("id") == "7":
                    market["id"] = str(self._source.randrange(KNOWN_IDS))


def half_rows(connection: Connection) -> list[str]:
    """Everything in the tables that is not a whole, clean row."""
    found = [f"orphan of {tuple(row)}" for row in connection.execute("PRAGMA foreign_key_check")]
    columns = "market_id, slug, question, outcomes, token_ids, prices, end_at FROM polymarket_markets"
    for market_id, slug, question, *lists, end_at in connection.execute(f"SELECT {columns}"):
        outcomes, token_ids, prices = (json.loads(text) for text in lists)
        texts = [question, *outcomes]
        is_whole = (
            market_id and slug
            and all(text and text == text.strip() and _is_visible(text) for text in texts)
            and len(token_ids) in (0, len(outcomes)) and len(prices) in (0, len(outcomes))
            and all(0 <= Decimal(price) <= 1 for price in prices)
            and (end_at is None or 0 <= end_at < 2**43)
        )  # fmt: skip
        if not is_whole:
            found.append(f"market {market_id}: {question[:40]!r} {lists}")
    for event_id, title, tags in connection.execute("SELECT event_id, title, tags FROM polymarket_events"):
        if not (event_id and title and _is_visible(title) and isinstance(json.loads(tags), list)):
            found.append(f"event {event_id}")
    links = "polymarket_market_asset_links LEFT JOIN polymarket_markets USING (market_id) WHERE slug IS NULL"
    found += [f"link of {row[0]}" for row in connection.execute(f"SELECT market_id FROM {links}")]
    return found


def _is_visible(text: str) -> bool:
    return len(text.encode()) <= wire.TITLE_BYTES and not any(
        unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in text
    )


def seeds() -> list[bytes]:
    strike = raw_market("7", "Will Bitcoin be above $1?", end_at=NOW + HOUR_MS)
    window = raw_market(
        "7", "Bitcoin Up or Down", slug="btc-updown-5m-1773307200", eventStartTime="2026-03-12T09:20:00Z",
        endDate="2026-03-12T09:25:00Z", outcomes='["Up", "Down"]', closedTime="2026-03-19 23:20:15+00",
    )  # fmt: skip
    events = [
        raw_event("1", "Bitcoin above ___?", strike),
        raw_event("1", "Up or down", window, startTime="2026-03-12T09:20:00Z", seriesSlug="btc-up-or-down-5m"),
        raw_event("1", "Two of them", strike, strike | {"id": "8", "closed": True}, tags=("politics",)),
    ]
    return [msgspec.json.encode(event) for event in events]


def recorded_seeds(recordings: Path) -> list[bytes]:
    folder = recordings / "polymarket"
    found = json.loads((folder / "gamma_public_search_bitcoin_above.json").read_text())["events"]
    found += json.loads((folder / "gamma_event_dem_nominee_2028.json").read_text())
    for event in found:
        event["id"] = "1"
    return [msgspec.json.encode(event) for event in found]


def check(market: Database, clock: SettableClock, settings: Settings, seeds: list[bytes], count: int) -> None:
    with market.write() as connection:
        list_assets(connection, BTC=["Bitcoin"], ETH=["Ethereum"])
    gamma = FuzzedGamma(seeds, count)
    patient = settings.model_copy(update={"polymarket_max_pages": 10_000, "polymarket_searches": 0})
    report = asyncio.run(refresh_discovery(market, gamma, clock=clock, settings=patient))  # type: ignore[arg-type]
    assert gamma.messages == count
    with market.read() as connection:
        counted, sampled = connection.execute(
            "SELECT sum(count), count(*) FILTER (WHERE sample <> '') FROM ingestion_rejections"
        ).fetchone()
        reasons = connection.execute("SELECT count(*) FROM ingestion_rejections").fetchone()[0]
        assert half_rows(connection) == []
    assert report.rejected == counted == gamma.refused
    assert sampled == reasons > 15, "every reason has a sample, and the mess reached most of them"
    assert report.rows > KNOWN_IDS
    refuse_undecodable(gamma.undecodable[:300])


def refuse_undecodable(bodies: list[bytes]) -> None:
    """What is no JSON never gets further than the transport, which says so."""
    assert bodies
    answers = iter(bodies)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=next(answers)))

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport) as connections:
            http = VenueHttp("polymarket", connections, timeout_sec=5, max_bytes=1_000_000)
            refused = 0
            for _ in bodies:
                try:
                    await http.get_json("http://gamma/")
                except VenueMalformed:
                    refused += 1
            return refused

    assert asyncio.run(ask()) == len(bodies)


def test_fifty_thousand_mutated_messages(market: Database, clock: SettableClock, settings: Settings) -> None:
    check(market, clock, settings, seeds(), 50_000)


@pytest.mark.recordings
def test_mutated_recordings(market: Database, clock: SettableClock, settings: Settings, recordings: Path) -> None:
    check(market, clock, settings, recorded_seeds(recordings), 3_000)


@pytest.mark.soak
def test_a_million_mutated_messages(market: Database, clock: SettableClock, settings: Settings) -> None:
    check(market, clock, settings, seeds(), 1_000_000)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE polymarket_markets SET prices = '[\"0.5\"]'",
        'UPDATE polymarket_markets SET prices = \'["0.5", "7"]\'',
        "UPDATE polymarket_markets SET question = 'a' || char(0x202E)",
        "UPDATE polymarket_markets SET token_ids = '[\"1\"]'",
        "DELETE FROM polymarket_markets",
        "UPDATE polymarket_events SET title = ''",
    ],
)
def test_the_check_notices_a_half_row(market: Database, clock: SettableClock, settings: Settings, damage: str) -> None:
    """The negative control: a whole row passes, one damaged place of it does not."""
    gamma = FuzzedGamma([msgspec.json.encode(raw_event("1", "Bitcoin?", raw_market("7", "Bitcoin?")))], 0)
    with market.write() as connection:
        list_assets(connection, BTC=["Bitcoin"])
    asyncio.run(refresh_discovery(market, gamma, clock=clock, settings=settings))  # type: ignore[arg-type]
    with market.write() as connection:
        assert half_rows(connection) == []
        connection.execute(damage)
        assert half_rows(connection) != []
