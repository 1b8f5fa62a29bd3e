"""`POST /info` of the replayed Hyperliquid: bodies checked, weight counted, answers in the wire format."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from clash_pipeline.replay import contexts, history, weight
from clash_pipeline.replay.venue import Venue

BAD_BODY = "Failed to deserialize the JSON body into the target type"
TIME_LIMIT = 2**63


class Answer(NamedTuple):
    """Status, body, and the rows that weigh."""

    status: int
    body: bytes
    rows: int = 0
    content_type: str = "application/json"
    retry_after_sec: int | None = None


class BadBody(ValueError):
    """The body is not a request the venue knows."""


def answer(venue: Venue, body: bytes) -> Answer:
    """Answer one request; counts its weight and refuses what goes above the limit."""
    try:
        request = _request(body)
        kind = request["type"]
        made = KINDS[kind](venue, request)
    except BadBody:
        return Answer(422, BAD_BODY.encode(), content_type="text/plain; charset=utf-8")
    venue.requests[f"info/{kind}"] += 1
    if not venue.weight.spend(weight.of(kind, made.rows), venue.now_ms):
        wait = venue.weight.retry_after_sec(venue.now_ms)
        return Answer(429, b"null", retry_after_sec=wait if venue.weight.refused % 2 else None)
    return made


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBody from None
    if not isinstance(request, dict) or request.get("type") not in KINDS or not isinstance(request.get("dex", ""), str):
        raise BadBody
    return request


def _encoded(value: Any) -> Answer:
    return Answer(200, msgspec.json.encode(value), len(value) if isinstance(value, list) else 0)


def _main_dex(make: Callable[[Venue], Any]) -> Callable[[Venue, dict[str, Any]], Answer]:
    """An answer about the one dex that exists here; any other name gives 500 with an empty body (sources 1.7)."""

    def made(venue: Venue, request: dict[str, Any]) -> Answer:
        return Answer(500, b"") if request.get("dex") else _encoded(make(venue))

    return made


def _candle_snapshot(venue: Venue, request: dict[str, Any]) -> Answer:
    asked = request.get("req")
    if not isinstance(asked, dict) or asked.get("interval") not in history.INTERVALS:
        raise BadBody
    coin, start, end = _coin(asked), _time(asked, "startTime"), _time(asked, "endTime", TIME_LIMIT)
    asset = venue.market.by_symbol.get(coin)
    if asset is None:
        return Answer(500, b"null")
    rows = history.snapshot(venue.market, asset, asked["interval"], start, end, venue.now_ms)
    return Answer(200, f"[{','.join(rows)}]".encode(), len(rows))


def _funding_history(venue: Venue, request: dict[str, Any]) -> Answer:
    coin, start, end = _coin(request), _time(request, "startTime"), _time(request, "endTime", TIME_LIMIT)
    if coin not in venue.market.by_symbol:
        return Answer(200, b"null")
    return _encoded(contexts.funding_history(venue.market, coin, start, end, venue.now_ms))


def _book(venue: Venue, request: dict[str, Any]) -> Answer:
    asset = venue.market.by_symbol.get(_coin(request))
    if request.get("mantissa") == 1:
        return Answer(500, b"null")
    return Answer(200, b"null") if asset is None else _encoded(contexts.book(venue.market, asset, venue.now_ms))


def _coin(fields: dict[str, Any]) -> str:
    coin = fields.get("coin")
    if not isinstance(coin, str):
        raise BadBody
    return coin


def _time(fields: dict[str, Any], name: str, default: int | None = None) -> int:
    value = fields.get(name, default)
    if value is None and default is not None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TIME_LIMIT:
        raise BadBody
    return value


KINDS: dict[str, Callable[[Venue, dict[str, Any]], Answer]] = {
    "meta": _main_dex(lambda venue: venue.market.truth.meta()),
    "spotMeta": lambda venue, _: _encoded(venue.market.truth.spot_meta()),
    "metaAndAssetCtxs": _main_dex(lambda venue: contexts.meta_and_contexts(venue.market, venue.now_ms)),
    "spotMetaAndAssetCtxs": lambda venue, _: _encoded(contexts.spot_meta_and_contexts(venue.market, venue.now_ms)),
    "allMids": _main_dex(lambda venue: venue.market.mids(venue.now_ms)),
    "predictedFundings": lambda venue, _: _encoded(contexts.predicted_fundings(venue.market, venue.now_ms)),
    "fundingHistory": _funding_history,
    "candleSnapshot": _candle_snapshot,
    "l2Book": _book,
}
