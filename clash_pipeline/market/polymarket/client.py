"""The requests Polymarket answers without a key: Gamma for what exists, the CLOB for prices (sources 2.1 to 2.5)."""

from typing import Any
from urllib.parse import quote

import httpx

from clash_pipeline.market.http import VenueHttp, VenueRefused, VenueTooLarge
from clash_pipeline.market.pacing import PacedHttp
from clash_pipeline.market.polymarket import wire
from clash_pipeline.settings import Settings

KEYSET_GONE = frozenset({404, 405, 410, 422})
"""Answers of a venue without keyset paging; the old paging is tried then."""
OFFSET_PREFIX = "\n"
"""Marks the cursors this client makes for the old paging; the venue's own are printable."""
SEARCH_LIMIT = 20


class PolymarketClient:
    """Reads Gamma and the CLOB; every method raises the `VenueError`s of its transport."""

    def __init__(self, http: PacedHttp, *, gamma_url: str, clob_url: str, page_size: int = 100) -> None:
        self._http = http
        self._gamma = gamma_url.rstrip("/")
        self._clob = clob_url.rstrip("/")
        self._page_size = page_size

    @classmethod
    def from_settings(cls, settings: Settings, connections: httpx.AsyncClient) -> "PolymarketClient":
        """The client of the addresses in the settings; `connections` stays the caller's to close."""
        http = VenueHttp(
            wire.SOURCE, connections, timeout_sec=settings.http_timeout_sec, max_bytes=settings.http_max_bytes
        )
        return cls(
            PacedHttp(http),
            gamma_url=str(settings.polymarket_gamma_url),
            clob_url=str(settings.polymarket_clob_url),
            page_size=settings.polymarket_page_size,
        )

    async def events(self, tag: str, cursor: str | None = None) -> wire.Page:
        """One page of the open events of a tag, from a cursor of the page before.

        Uses keyset paging; where the venue has none, the old offset paging, whose cursors this client makes itself.
        A page too large to read is asked for again in halves, and so are the pages after it.
        """
        while True:
            try:
                return await self._events(tag, cursor, self._page_size)
            except VenueTooLarge:
                if self._page_size == 1:
                    raise
                self._page_size //= 2

    async def search(self, query: str) -> wire.Page:
        """The open events that public search finds."""
        params = {"q": query, "events_status": "active", "limit_per_type": SEARCH_LIMIT, "search_profiles": "false"}
        return wire.page(await self._http.get_json(f"{self._gamma}/public-search", params))

    async def event(self, slug: str) -> wire.Page | None:
        """An event by slug, or None where there is none."""
        raw = await self._found(f"{self._gamma}/events/slug/{quote(slug, safe='')}")
        return None if raw is None else wire.event_answer(raw)

    async def market(self, slug: str) -> wire.Page | None:
        """A market by slug (with its event around it), or None where there is none."""
        raw = await self._found(f"{self._gamma}/markets/slug/{quote(slug, safe='')}")
        return None if raw is None else wire.market_answer(raw)

    async def book(self, token_id: str) -> wire.Quote | None:
        """Best bid and ask of an outcome's token, or None where it has no book."""
        raw = await self._found(f"{self._clob}/book", {"token_id": token_id})
        return None if raw is None else wire.book(raw)

    async def midpoint(self, token_id: str) -> str | None:
        """The midpoint of an outcome's token, or None where it has no book."""
        raw = await self._found(f"{self._clob}/midpoint", {"token_id": token_id})
        return None if raw is None else wire.midpoint(raw)

    async def _events(self, tag: str, cursor: str | None, size: int) -> wire.Page:
        if cursor is not None and cursor.startswith(OFFSET_PREFIX):
            return await self._events_by_offset(tag, int(cursor.removeprefix(OFFSET_PREFIX)), size)
        params = _open_events(tag, size) | ({"after_cursor": cursor} if cursor else {})
        try:
            return wire.page(await self._http.get_json(f"{self._gamma}/events/keyset", params))
        except VenueRefused as refused:
            if cursor is not None or refused.status not in KEYSET_GONE:
                raise
            return await self._events_by_offset(tag, 0, size)

    async def _events_by_offset(self, tag: str, offset: int, size: int) -> wire.Page:
        params = _open_events(tag, size) | {"offset": offset}
        raw = await self._http.get_json(f"{self._gamma}/events", params)
        count = len(raw) if isinstance(raw, list) else 0  # not by `size`: the venue may give fewer than asked
        return wire.page(raw)._replace(next_cursor=f"{OFFSET_PREFIX}{offset + count}" if count else None)

    async def _found(self, url: str, params: dict[str, Any] | None = None) -> Any:
        try:
            return await self._http.get_json(url, params)
        except VenueRefused as refused:
            if refused.status == 404:
                return None
            raise


def _open_events(tag: str, size: int) -> dict[str, Any]:
    return {"tag_slug": tag, "closed": "false", "limit": size}
