"""Gamma of the replayed Polymarket: events, markets, search and tags, by keyset or by the old offsets."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from clash_pipeline.clock import DAY_MS, HOUR_MS, iso, parse_time
from clash_pipeline.replay import odds
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.questions import Event, Question, Questions
from clash_pipeline.replay.recorded_answers import RecordedAnswers

EVENTS_A_PAGE = 500
MARKETS_A_PAGE = 100
WINDOWS_SHOWN_MS = 2 * HOUR_MS
"""General listings show the recurring windows only this far ahead; by slug or series all that are listed answer."""
IMAGE = "https://polymarket-upload.s3.us-east-2.amazonaws.com/{}+fullsize.png"
TAG_IDS = {
    "crypto": "21", "crypto-prices": "1312", "bitcoin": "235", "ethereum": "39", "solana": "818", "xrp": "101267",
    "recurring": "101757", "up-or-down": "102127", "weekly": "102264", "multi-strikes": "102516",
    "hide-from-new": "102169", "monthly": "102265", "politics": "2",
}  # fmt: skip
"""Ids of recorded tags where there are some (crypto, crypto-prices, bitcoin, recurring, weekly, …), else made up."""

ASKING_FOR_ONE = ("slug", "id", "condition_ids", "clob_token_ids")
"""Filters that name what they want; such a query sees everything that is listed."""

Query = Mapping[str, str]
Item = dict[str, Any]


class BadQuery(ValueError):
    """A query the venue answers with 422."""


class Gamma:
    """Discovery answers at a moment."""

    def __init__(self, market: LiveMarket, questions: Questions, recorded: RecordedAnswers) -> None:
        self._market = market
        self._questions = questions
        self._recorded = recorded

    def events(self, query: Query, now_ms: int, *, is_search: bool = False) -> list[Item]:
        """All events that a query's filters let through, sorted as it asks."""
        found = [
            self.event(event, now_ms) for event in self._questions.listed(now_ms) if _may_match(event, query, now_ms)
        ]
        found += _recorded(self._recorded.events, query, now_ms, is_search)
        return _sorted([item for item in found if _matches(item, query)], query)

    def markets(self, query: Query, now_ms: int) -> list[Item]:
        """All markets that a query's filters let through, each with its event."""
        found = [
            self.market(question, event, now_ms)
            for event in self._questions.listed(now_ms)
            if _tag_matches(event.tags, query) and _is_shown(event, query, now_ms)
            for question in event.questions
            if _may_be(question, query, now_ms)
        ]
        found += _recorded(self._recorded.markets, query, now_ms, False)
        return _sorted([item for item in found if _matches(item, query)], query)

    def search(self, query: Query, now_ms: int) -> Item:
        """`/public-search`: events whose title or slug holds all words; recorded ones whenever they match."""
        words = query.get("q", "").lower().split()
        shown = {"closed": "false"} if query.get("events_status", "active") == "active" else {}
        found = [item for item in self.events(shown, now_ms, is_search=True) if words and _has_words(item, words)]
        size = _number(query.get("limit_per_type"), 10, 50)
        start = (_number(query.get("page"), 1, 10_000) - 1) * size
        page = found[start : start + size]
        return {"events": page, "pagination": {"hasMore": start + size < len(found), "totalResults": len(found)}}

    def tags(self) -> list[Item]:
        """The recorded tags, and those of the replayed events."""
        made = [_tag(slug) for slug in TAG_IDS]
        known = {tag["id"] for tag in made}
        return made + [tag for tag in self._recorded.tags if tag["id"] not in known]

    def event(self, event: Event, now_ms: int) -> Item:
        """An event with its markets and tags."""
        body = self._event_body(event, now_ms)
        body["markets"] = [self._market_body(question, event, now_ms) for question in event.questions]
        body["tags"] = [_tag(slug) for slug in event.tags]
        return body

    def market(self, question: Question, event: Event, now_ms: int) -> Item:
        """A market with its event (which then carries no markets)."""
        return self._market_body(question, event, now_ms) | {"events": [self._event_body(event, now_ms)]}

    def _event_body(self, event: Event, now_ms: int) -> Item:
        amounts = [odds.turnover(question, now_ms) for question in event.questions]
        volume, liquidity = (round(sum(column), 6) for column in zip(*amounts, strict=True))
        listed, image = iso(event.listed_ms), IMAGE.format(event.symbol or "USA")
        body: Item = {
            "id": event.event_id, "ticker": event.slug, "slug": event.slug, "title": event.title,
            "description": _description(event), "startDate": listed, "creationDate": listed,
            "endDate": iso(event.end_ms), "image": image, "icon": image, "active": True,
            "closed": now_ms >= event.end_ms, "archived": False, "new": False, "featured": False, "restricted": True,
            "liquidity": liquidity, "volume": volume, "openInterest": 0, "createdAt": listed, "updatedAt": iso(now_ms),
            "competitive": 0.97, "volume24hr": volume, "volume1wk": volume, "volume1mo": volume, "volume1yr": volume,
            "enableOrderBook": True, "liquidityClob": liquidity, "negRisk": False, "commentCount": 0, "cyom": False,
            "showAllOutcomes": True, "showMarketImages": event.family != "strikes", "enableNegRisk": False,
            "automaticallyActive": True, "negRiskAugmented": False, "pendingDeployment": False, "deploying": False,
            "requiresTranslation": False,
        }  # fmt: skip
        if event.family in ("window", "hourly"):
            body |= {"resolutionSource": _resolution(event), "startTime": iso(event.start_ms)}
            body["series"] = [_series(event, now_ms)]
        if event.series is not None:
            body["seriesSlug"] = event.series
        if now_ms >= event.end_ms:
            body["closedTime"] = iso(event.end_ms + 15_000).replace("T", " ").replace("Z", "+00")
        return body

    def _market_body(self, question: Question, event: Event, now_ms: int) -> Item:
        quote = odds.quote(self._market, question, now_ms)
        volume, liquidity = odds.turnover(question, now_ms)
        listed, image = iso(question.listed_ms), IMAGE.format(event.symbol or "USA")
        is_closed = now_ms >= question.end_ms
        body: Item = {
            "id": question.market_id, "question": question.text, "conditionId": question.condition_id,
            "slug": question.slug, "endDate": iso(question.end_ms), "liquidity": str(liquidity), "startDate": listed,
            "image": image, "icon": image, "description": _description(event),
            "outcomes": _text(question.outcomes), "outcomePrices": _text(quote.prices()), "volume": str(volume),
            "active": True, "closed": is_closed, "marketMakerAddress": "", "createdAt": listed,
            "updatedAt": iso(now_ms), "new": False, "featured": False, "archived": False, "restricted": True,
            "groupItemThreshold": "0", "questionID": "0x" + question.condition_id[:1:-1], "enableOrderBook": True,
            "orderPriceMinTickSize": quote.tick / 10_000, "orderMinSize": 5, "volumeNum": volume,
            "liquidityNum": liquidity, "endDateIso": iso(question.end_ms)[:10], "startDateIso": listed[:10],
            "hasReviewedDates": True, "volume24hr": volume, "volume1wk": volume, "volume1mo": volume,
            "volume1yr": volume, "clobTokenIds": _text(question.token_ids), "volume24hrClob": volume,
            "volume1wkClob": volume, "volume1moClob": volume, "volume1yrClob": volume, "volumeClob": volume,
            "liquidityClob": liquidity, "acceptingOrders": not is_closed, "negRisk": False, "ready": False,
            "funded": False, "acceptingOrdersTimestamp": listed, "cyom": False, "competitive": 0.97,
            "pagerDutyNotificationEnabled": False, "approved": True, "rewardsMinSize": 50, "rewardsMaxSpread": 4.5,
            "spread": (quote.ask - quote.bid) / 10_000, "lastTradePrice": quote.bid / 10_000,
            "bestBid": quote.bid / 10_000, "bestAsk": quote.ask / 10_000, "automaticallyActive": True,
            "clearBookOnStart": event.family == "strikes", "manualActivation": False, "negRiskOther": False,
            "umaResolutionStatuses": '["resolved"]' if is_closed else "[]", "pendingDeployment": False,
            "deploying": False, "rfqEnabled": False, "holdingRewardsEnabled": False,
            "feesEnabled": event.family == "window", "requiresTranslation": False,
            "feeType": "crypto_fees" if event.family == "window" else None,
        }  # fmt: skip
        if question.rule == "up":
            body |= {"resolutionSource": _resolution(event), "eventStartTime": iso(question.start_ms)}
            body |= {"showGmpSeries": False, "showGmpOutcome": False, "makerBaseFee": 1000, "takerBaseFee": 1000}
            body["makerRebatesFeeShareBps"] = 10_000
        if question.group:
            body |= {"groupItemTitle": question.group, "umaBond": "500", "umaReward": "2", "customLiveness": 0}
            body |= {"submitted_by": "0x" + "91" * 20, "resolvedBy": "0x" + "65" * 20}
            body |= {"negRiskRequestID": "", "deployingTimestamp": listed}
        if is_closed:
            body["closedTime"] = iso(question.end_ms + 15_000).replace("T", " ").replace("Z", "+00")
        return body


def page(items: list[Item], name: str, query: Query, most: int) -> Item:
    """One keyset page; `after_cursor` is the only name of the cursor, and an offset is refused (sources 2.2).

    Raises:
        BadQuery: an offset, or a cursor that was not given out.
    """
    if "offset" in query:
        raise BadQuery("offset is not supported here: use after_cursor")
    start = _after(items, query.get("after_cursor"))
    size = _number(query.get("limit"), min(most, 20), most)
    chosen = items[start : start + size]
    body: Item = {name: chosen}
    if start + size < len(items) and chosen:
        body["next_cursor"] = base64.urlsafe_b64encode(chosen[-1]["id"].encode()).decode()
    return body


def offset_page(items: list[Item], query: Query, most: int) -> list[Item]:
    """One page of the old lists."""
    start = _number(query.get("offset"), 0, 1_000_000)
    return items[start : start + _number(query.get("limit"), min(most, 20), most)]


def _after(items: list[Item], cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        last = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise BadQuery("after_cursor is not valid") from None
    places = [index for index, item in enumerate(items) if item["id"] == last]
    return places[0] + 1 if places else len(items)


def _recorded(items: list[Item], query: Query, now_ms: int, is_search: bool) -> list[Item]:
    """Recorded items: by name always, in lists only once they were put up, and by tag where they carry tags."""
    if is_search or any(name in query for name in ASKING_FOR_ONE):
        return items
    listed = [item for item in items if parse_time(item["startDate"]) <= now_ms]
    if "tag_slug" not in query and "tag_id" not in query:
        return listed
    wanted = {query.get("tag_slug"), query.get("tag_id")} - {None}
    return [item for item in listed if any({tag["slug"], tag["id"]} & wanted for tag in item.get("tags", []))]


def _may_match(event: Event, query: Query, now_ms: int) -> bool:
    """Leave out, before anything is rendered, what the cheap filters refuse."""
    if query.get("slug", event.slug) != event.slug or query.get("id", event.event_id) != event.event_id:
        return False
    if query.get("closed") == "false" and now_ms >= event.end_ms:
        return False
    return _tag_matches(event.tags, query) and _is_shown(event, query, now_ms)


def _may_be(question: Question, query: Query, now_ms: int) -> bool:
    if query.get("slug", question.slug) != question.slug or query.get("id", question.market_id) != question.market_id:
        return False
    if "condition_ids" in query and question.condition_id not in query["condition_ids"].split(","):
        return False
    return query.get("closed") != "false" or now_ms < question.end_ms


def _is_shown(event: Event, query: Query, now_ms: int) -> bool:
    if query.get("series_id") is not None:
        return event.series_id == query["series_id"]
    asks_for_one = any(name in query for name in ASKING_FOR_ONE)
    return asks_for_one or event.family != "window" or event.start_ms <= now_ms + WINDOWS_SHOWN_MS


def _tag_matches(tags: tuple[str, ...], query: Query) -> bool:
    if "tag_slug" in query:
        return query["tag_slug"] in tags
    return "tag_id" not in query or query["tag_id"] in {TAG_IDS[slug] for slug in tags}


def _matches(item: Item, query: Query) -> bool:
    for name in ("closed", "active", "archived"):
        if name in query and str(item.get(name, False)).lower() != query[name].lower():
            return False
    for name, field in (("slug", "slug"), ("id", "id"), ("condition_ids", "conditionId")):
        if name in query and item.get(field) not in query[name].split(","):
            return False
    if "clob_token_ids" in query and not any(
        t in item.get("clobTokenIds", "") for t in query["clob_token_ids"].split(",")
    ):
        return False
    return _within_dates(item, query)


def _within_dates(item: Item, query: Query) -> bool:
    for name, field in (("start_date", "startDate"), ("end_date", "endDate"), ("start_time", "startTime")):
        low, high = query.get(f"{name}_min"), query.get(f"{name}_max")
        if (low or high) and field not in item:
            return False
        if low and parse_time(item[field]) < parse_time(low):
            return False
        if high and parse_time(item[field]) > parse_time(high):
            return False
    return True


def _sorted(items: list[Item], query: Query) -> list[Item]:
    """By id unless asked otherwise; markets' `volume` and `liquidity` sort as the text they are (sources 2.2)."""
    order = query.get("order", "id")
    key: Callable[[Item], Any] = _by_id if order == "id" else lambda item: _sortable(item.get(order))
    return sorted(sorted(items, key=_by_id), key=key, reverse=query.get("ascending", "true").lower() == "false")


def _by_id(item: Item) -> int:
    return int(item["id"])


def _sortable(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool) or value is None:
        return 0, bool(value)
    return (1, value) if isinstance(value, (int, float)) else (2, str(value))


def _has_words(item: Item, words: list[str]) -> bool:
    text = f"{item['title']} {item['slug']}".lower()
    return all(word in text for word in words)


def _series(event: Event, now_ms: int) -> Item:
    return {
        "id": event.series_id, "ticker": event.series, "slug": event.series,
        "title": (event.series or "").replace("-", " ").title(), "seriesType": "single", "recurrence": event.recurrence,
        "image": "", "icon": "", "active": True, "closed": False, "archived": False, "featured": False,
        "restricted": True, "createdAt": iso(event.listed_ms - 90 * DAY_MS), "updatedAt": iso(now_ms),
        "volume24hr": 42_805.5, "volume": 64_234.2, "liquidity": 6_011.6, "commentCount": 27,
        "requiresTranslation": False,
    }  # fmt: skip


def _tag(slug: str) -> Item:
    return {
        "id": TAG_IDS[slug], "label": slug.replace("-", " ").title(), "slug": slug, "forceShow": False,
        "createdAt": "2023-11-02T21:03:54.564Z", "updatedAt": "2025-03-09T22:28:03.349847Z",
        "requiresTranslation": False,
    }  # fmt: skip


def _resolution(event: Event) -> str:
    if event.family == "hourly":
        return f"https://www.binance.com/en/trade/{event.symbol}_USDT"
    return f"https://data.chain.link/streams/{event.symbol.lower()}-usd"


def _description(event: Event) -> str:
    rules = {
        "window": '"Up" if the price at the end of the range is greater than or equal to the price at its beginning.',
        "hourly": '"Up" if the close of the hour is greater than or equal to its open.',
        "strikes": '"Yes" if the price at noon in New York is higher than the one in the title.',
        "monthly": '"Yes" as soon as the price touches the one in the title.',
    }
    return f"A replayed market. It resolves to {rules.get(event.family, 'what is decided.')}"


def _number(text: str | None, default: int, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadQuery(f"{text[:20]!r} is not a number")
    return min(int(text), most)


def _text(value: object) -> str:
    """JSON inside a string, as Gamma sends lists."""
    return msgspec.json.encode(value).decode().replace('","', '", "')
