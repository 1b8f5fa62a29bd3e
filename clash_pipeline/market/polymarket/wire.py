"""Gamma and CLOB answers into cleaned values, without I/O (sources 2.2 to 2.5).

`closed` decides whether a market is closed; `endDate` does not. The window of a recurring market starts at
`eventStartTime`; `startDate` is only its listing, a day earlier.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.market.decoding import (
    Malformed,
    Refused,
    decimal_text,
    each,
    flag,
    identity,
    listing,
    mapping,
    moment,
    number,
    sample,
    words,
)
from clash_pipeline.market.http import VenueMalformed
from clash_pipeline.market.text import key

SOURCE = "polymarket"
TITLE_BYTES = 512
OUTCOME_BYTES = 128
MOST_OUTCOMES = 64
MOST_TAGS = 64
PRICE_SUM_TOLERANCE = Decimal("0.05")
LAST_CURSOR = "LTE="

_TOKEN = re.compile(r"\d{1,78}", re.ASCII)
_CONDITION = re.compile(r"0x[0-9a-fA-F]{64}")
_RECURRING = re.compile(r"([a-z0-9]{1,12})-updown-(\d{1,3})(m|h)-(\d{10})", re.ASCII)
_UNIT_MS = {"m": MINUTE_MS, "h": HOUR_MS}


class Market(NamedTuple):
    """One question. Prices and token ids stand in the order of the outcomes; times are epoch ms.

    `start_at` is when the window the question asks about begins; None is a market that is open since it was listed.
    """

    market_id: str
    event_id: str | None
    condition_id: str | None
    slug: str
    question: str
    outcomes: tuple[str, ...]
    token_ids: tuple[str, ...]
    prices: tuple[str, ...]
    start_at: int | None
    end_at: int | None
    is_active: bool
    is_closed: bool
    best_bid: str | None
    best_ask: str | None
    last_price: str | None
    volume: float | None
    liquidity: float | None


class Event(NamedTuple):
    """A page of Polymarket: one or more markets under one title, with the venue's own tags."""

    event_id: str
    slug: str
    title: str
    tags: tuple[str, ...]
    series_slug: str | None
    start_at: int | None
    end_at: int | None
    is_active: bool
    is_closed: bool
    volume: float | None
    liquidity: float | None
    markets: tuple[Market, ...]


class Page(NamedTuple):
    """Events understood, entries refused, and where the next page starts (None: this was the last).

    `loose` are markets that named no event.
    """

    events: tuple[Event, ...]
    refused: tuple[Refused, ...]
    next_cursor: str | None = None
    loose: tuple[Market, ...] = ()

    @property
    def markets(self) -> tuple[Market, ...]:
        """Every market of the page."""
        return (*self.loose, *(market for event in self.events for market in event.markets))


class Quote(NamedTuple):
    """Best bid and ask of one outcome; None is an empty side."""

    best_bid: str | None
    best_ask: str | None
    last_price: str | None


class Window(NamedTuple):
    """A recurring up/down market's coin and window, as its slug says."""

    coin: str
    start_at: int
    end_at: int


def page(raw: object) -> Page:
    """A page of events: keyset (`events`, `next_cursor`), search (`events`, `pagination`) or the old bare list.

    Raises:
        VenueMalformed: neither of these.
    """
    try:
        entries, cursor = _entries_of(raw)
        refused: list[Refused] = []
        decoded = each(entries, partial(_event, refused), "event_form")
    except Malformed as problem:
        raise VenueMalformed(SOURCE, f"a page without events ({problem}): {sample(raw)[:80]}") from None
    return Page(decoded.items, (*decoded.refused, *refused), cursor)


def event_answer(raw: object) -> Page:
    """The answer of `/events/slug/{slug}`: one event."""
    return page([raw])


def market_answer(raw: object) -> Page:
    """The answer of `/markets/slug/{slug}`: one market, inside its event where it names one."""
    try:
        found = mapping(raw, "market_form")
        parents = listing(found.get("events"), "market_events")
        if parents:
            return page([dict(mapping(parents[0], "market_events")) | {"markets": [raw]}])
        return Page((), (), loose=(_market(None, found),))
    except Malformed as problem:
        return Page((), (Refused(str(problem), sample(raw)),))


def window_of(slug: str) -> Window | None:
    """The window of a recurring up/down slug; its epoch is the window's start in seconds."""
    match = _RECURRING.fullmatch(slug)
    if match is None:
        return None
    start_at = int(match[4]) * SECOND_MS
    return Window(match[1], start_at, start_at + int(match[2]) * _UNIT_MS[match[3]])


def recurring_slug(coin: str, minutes: int, now_ms: int) -> str:
    """The slug of the up/down market whose window holds `now_ms`."""
    length_ms = minutes * MINUTE_MS
    start_sec = (now_ms - now_ms % length_ms) // SECOND_MS
    return f"{coin}-updown-{f'{minutes // 60}h' if minutes % 60 == 0 else f'{minutes}m'}-{start_sec}"


def is_flagged(prices: tuple[str, ...]) -> bool:
    """Whether outcome prices fail to sum to 1 within 0.05; no prices are no quote worth trusting either."""
    return not prices or abs(sum(map(Decimal, prices), start=Decimal(-1))) > PRICE_SUM_TOLERANCE


def book(raw: object) -> Quote:
    """The highest bid and lowest ask of a CLOB book, whichever way its levels are sorted.

    Raises:
        VenueMalformed: not a book.
    """
    try:
        found = mapping(raw, "book_form")
        if "bids" not in found and "asks" not in found:  # an empty book says so
            raise Malformed("book_sides")
        return Quote(
            _best(found.get("bids"), max),
            _best(found.get("asks"), min),
            decimal_text(found.get("last_trade_price"), "book_last_price"),
        )
    except Malformed as problem:
        raise VenueMalformed(SOURCE, f"not a book ({problem}): {sample(raw)[:80]}") from None


def midpoint(raw: object) -> str | None:
    """The `mid` of a CLOB midpoint answer.

    Raises:
        VenueMalformed: not such an answer.
    """
    try:
        return decimal_text(mapping(raw, "midpoint_form").get("mid"), "midpoint")
    except Malformed as problem:
        raise VenueMalformed(SOURCE, f"not a midpoint ({problem}): {sample(raw)[:80]}") from None


def _entries_of(raw: object) -> tuple[object, str | None]:
    if isinstance(raw, list):
        return raw, None
    found = mapping(raw, "page_form")
    cursor = found.get("next_cursor")
    if cursor in (None, "", LAST_CURSOR):
        return found.get("events"), None
    if not isinstance(cursor, str) or len(cursor) > 2_000 or not cursor.isascii() or not cursor.isprintable():
        raise Malformed("page_cursor")
    return found.get("events"), cursor


def _event(refused: list[Refused], raw: Mapping[str, Any]) -> Event:
    """One event; its malformed markets go to `refused`, the others stay."""
    event = Event(
        event_id=identity(raw.get("id"), "event_id"),
        slug=identity(raw.get("slug"), "event_slug"),
        title=words(raw.get("title"), "event_title", max_bytes=TITLE_BYTES),
        tags=_tags(raw.get("tags")),
        series_slug=_series(raw),
        start_at=moment(raw.get("startTime"), "event_start"),
        end_at=moment(raw.get("endDate"), "event_end"),
        is_active=flag(raw.get("active"), "event_active", absent=True),
        is_closed=flag(raw.get("closed"), "event_closed", absent=False)
        or flag(raw.get("archived"), "event_archived", absent=False),
        volume=number(raw.get("volume"), "event_volume", low=0),
        liquidity=number(raw.get("liquidity"), "event_liquidity", low=0),
        markets=(),
    )
    markets = each(listing(raw.get("markets"), "event_markets"), partial(_market, event), "market_form")
    refused += markets.refused
    return event._replace(markets=markets.items)


def _market(event: Event | None, raw: Mapping[str, Any]) -> Market:
    slug = identity(raw.get("slug"), "market_slug")
    outcomes = _outcomes(raw.get("outcomes"))
    start_at, end_at = _span(event, slug, raw)
    return Market(
        market_id=identity(raw.get("id"), "market_id"),
        event_id=event and event.event_id,
        condition_id=_condition(raw.get("conditionId")),
        slug=slug,
        question=words(raw.get("question"), "market_question", max_bytes=TITLE_BYTES),
        outcomes=outcomes,
        token_ids=_token_ids(raw.get("clobTokenIds"), outcomes),
        prices=_prices(raw.get("outcomePrices"), outcomes),
        start_at=start_at,
        end_at=end_at,
        is_active=flag(raw.get("active"), "market_active", absent=True),
        is_closed=flag(raw.get("closed"), "market_closed", absent=False)
        or flag(raw.get("archived"), "market_archived", absent=False)
        or (event is not None and event.is_closed),
        best_bid=decimal_text(raw.get("bestBid"), "market_best_bid"),
        best_ask=decimal_text(raw.get("bestAsk"), "market_best_ask"),
        last_price=decimal_text(raw.get("lastTradePrice"), "market_last_price"),
        volume=_either(raw, "volumeNum", "volume"),
        liquidity=_either(raw, "liquidityNum", "liquidity"),
    )


def _span(event: Event | None, slug: str, raw: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Start and end of the window; a start that is not before the end is no window (seen on election events)."""
    window = window_of(slug)
    ends = (moment(raw.get("endDate"), "market_end"), window and window.end_at, event and event.end_at)
    starts = (moment(raw.get("eventStartTime"), "market_start"), window and window.start_at, event and event.start_at)
    end_at = next((at for at in ends if at), None)
    start_at = next((at for at in starts if at), None)
    return (start_at if start_at and end_at and start_at < end_at else None), end_at


def _outcomes(value: object) -> tuple[str, ...]:
    entries = listing(value, "market_outcomes")
    if len(entries) > MOST_OUTCOMES:
        raise Malformed("market_outcomes")
    return tuple(words(entry, "market_outcomes", max_bytes=OUTCOME_BYTES) for entry in entries)


def _token_ids(value: object, outcomes: tuple[str, ...]) -> tuple[str, ...]:
    entries = listing(value, "market_token_ids")
    if any(not isinstance(entry, str) or not _TOKEN.fullmatch(entry) for entry in entries):
        raise Malformed("market_token_ids")
    if entries and len(entries) != len(outcomes):
        raise Malformed("market_token_ids")
    return tuple(entries)


def _prices(value: object, outcomes: tuple[str, ...]) -> tuple[str, ...]:
    prices = tuple(decimal_text(entry, "market_prices") for entry in listing(value, "market_prices"))
    known = tuple(price for price in prices if price is not None)
    if len(known) != len(prices) or (prices and len(prices) != len(outcomes)):
        raise Malformed("market_prices")
    return known


def _condition(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _CONDITION.fullmatch(value):
        raise Malformed("market_condition")
    return value


def _either(raw: Mapping[str, Any], first: str, second: str) -> float | None:
    """`volumeNum` where it is there, else the text form `volume`."""
    found = number(raw.get(first), f"market_{second}", low=0)
    return number(raw.get(second), f"market_{second}", low=0) if found is None else found


def _tags(value: object) -> tuple[str, ...]:
    entries = listing(value, "event_tags")[:MOST_TAGS]
    slugs = (entry.get("slug") if isinstance(entry, dict) else entry for entry in entries)
    return tuple(sorted({slug for slug in slugs if isinstance(slug, str) and key(slug, max_bytes=100)}))


def _series(raw: Mapping[str, Any]) -> str | None:
    named = raw.get("seriesSlug")
    if named is None and isinstance(listed := raw.get("series"), list) and listed and isinstance(listed[0], dict):
        named = listed[0].get("slug")
    return key(named) if isinstance(named, str) else None


def _best(levels: object, pick: Callable[..., str | None]) -> str | None:
    entries = (mapping(level, "book_level") for level in listing(levels, "book_levels"))
    prices = (decimal_text(entry.get("price"), "book_price") for entry in entries)
    return pick((price for price in prices if price is not None), key=Decimal, default=None)
