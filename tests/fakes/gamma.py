"""Gamma and the CLOB by hand: events in memory, answered in the venue's own shapes, with switchable failures."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from clash_pipeline.clock import iso
from clash_pipeline.market.http import VenueMalformed, VenueRefused
from clash_pipeline.market.polymarket.client import PolymarketClient
from clash_pipeline.storage.sqlite import Connection

Raw = dict[str, Any]


def raw_market(market_id: str, question: str, **changes: Any) -> Raw:
    """A market as Gamma writes it; `end_at` in epoch ms; a change to None leaves the key out."""
    end_at = changes.pop("end_at", None)
    made: Raw = {
        "id": market_id,
        "slug": f"market-{market_id}",
        "question": question,
        "conditionId": "0x" + market_id.zfill(64),
        "outcomes": '["Yes", "No"]',
        "outcomePrices": '["0.6", "0.4"]',
        "clobTokenIds": f'["{market_id}1", "{market_id}2"]',
        "active": True,
        "closed": False,
        "volume": "12.5",
        "volumeNum": 12.5,
        "liquidity": "100.5",
        "liquidityNum": 100.5,
        "bestBid": 0.59,
        "bestAsk": 0.61,
        "lastTradePrice": 0.6,
    }
    if end_at is not None:
        made["endDate"] = iso(end_at)
    return {name: value for name, value in (made | changes).items() if value is not None}


def raw_event(event_id: str, title: str, *markets: Raw, tags: tuple[str, ...] = ("crypto",), **changes: Any) -> Raw:
    """An event as Gamma writes it."""
    made = {
        "id": event_id,
        "slug": f"event-{event_id}",
        "title": title,
        "active": True,
        "closed": False,
        "volume": 10,
        "liquidity": 20.5,
        "tags": [{"id": str(place), "slug": tag, "label": tag} for place, tag in enumerate(tags)],
        "markets": list(markets),
    }
    return made | changes


class FakeGamma:
    """Answers `get_json` as Gamma and the CLOB would. What is asked is remembered as path and query."""

    def __init__(self, *events: Raw, page_size: int = 2) -> None:
        self.events = list(events)
        self.books: dict[str, Any] = {}
        self.found: dict[str, list[Raw]] = {}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.failures: dict[str, Exception] = {}
        self.has_keyset = True
        self.repeats_cursor = False
        self._page_size = page_size

    def client(self, *, page_size: int = 2) -> PolymarketClient:
        """A product client that asks this venue."""
        return PolymarketClient(self, gamma_url="gamma:", clob_url="clob:", page_size=page_size)  # type: ignore[arg-type]

    def paths(self) -> list[str]:
        """The paths asked for, in order."""
        return [path for path, _ in self.asked]

    async def get_json(self, url: str, params: Mapping[str, Any] | None = None) -> Any:
        path = unquote(url.split(":", 1)[1])
        self.asked.append((path, dict(params or {})))
        for part, failure in self.failures.items():
            if part in path or part in str((params or {}).get("after_cursor", "")):
                raise failure
        if path == "/events/keyset":
            return self._keyset(dict(params or {}))
        if path == "/events":
            start = int((params or {}).get("offset", 0))
            return self._open()[start : start + self._page_size]
        if path == "/public-search":
            events = self.found.get((params or {})["q"], [])
            return {"events": events, "pagination": {"hasMore": False, "totalResults": len(events)}}
        if path == "/book":
            return self._one(self.books.get((params or {})["token_id"]), path)
        kind, _, slug = path.removeprefix("/").partition("/slug/")
        return self._one(self._by_slug(kind, slug), path)

    def _keyset(self, params: Mapping[str, Any]) -> Any:
        if not self.has_keyset:
            raise VenueRefused("polymarket", "/events/keyset answered 404", 404)
        start = int(params.get("after_cursor", "c0")[1:])
        shown = self._open()[start : start + self._page_size]
        following = 0 if self.repeats_cursor else start + self._page_size
        is_last = start + self._page_size >= len(self.events) and not self.repeats_cursor
        return {"events": shown} | ({} if is_last else {"next_cursor": f"c{following}"})

    def _open(self) -> list[Raw]:
        return [event for event in self.events if event.get("closed") is not True]

    def _by_slug(self, kind: str, slug: str) -> Raw | None:
        if kind == "events":
            return next((event for event in self.events if event["slug"] == slug), None)
        for event in self.events:
            for market in event["markets"]:
                if market["slug"] == slug:
                    bare = {name: value for name, value in event.items() if name not in ("markets", "tags")}
                    return market | {"events": [bare]}
        return None

    def _one(self, found: Any, path: str) -> Any:
        if found is None:
            raise VenueRefused("polymarket", f"{path} answered 404", 404)
        if found == "malformed":
            raise VenueMalformed("polymarket", "the answer is not JSON")
        return found


def list_assets(connection: Connection, **terms: list[str]) -> None:
    """Put assets and their search terms into the registry."""
    for place, (symbol, words) in enumerate(terms.items()):
        connection.execute(
            """
            INSERT INTO hyperliquid_assets (symbol, display_name, kind, venue_index, sz_decimals, max_leverage,
              margin_tiers, is_only_isolated, is_delisted, base_token, quote_token, channels, category, subcategory,
              search_terms, first_seen_at, known_at)
            VALUES (:symbol, :symbol, 'perp', :place, 2, 10, '[]', 0, 0, :symbol, 'USDC', '[]', 'x', 'y', :terms, 0, 0)
            """,
            {"symbol": symbol, "place": place, "terms": json.dumps(words)},
        )
