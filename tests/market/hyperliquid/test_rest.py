"""Each question costs what the venue documents, and its answer is what was asked for."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.market.http import VenueHttp, VenueMalformed, VenueRefused, VenueUnavailable
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest, funding_weight, snapshot_weight
from clash_pipeline.market.hyperliquid.wire import Rejections
from clash_pipeline.market.weights import WeightBudget
from clash_pipeline.storage.sqlite import Database
from tests.market.hyperliquid.conftest import RestOf

T = 1_753_099_200_000
ROW = {"T": 0, "s": "BTC", "i": "1m", "o": "2.0", "c": "2.0", "h": "2.0", "l": "2.0", "v": "1.0", "n": 1}


def minute(t: int, **changes: object) -> dict[str, Any]:
    return {**ROW, "t": t, "T": t + MINUTE_MS - 1, **changes}


def spent(market: Database) -> int:
    with market.read() as connection:
        return int(connection.execute("SELECT coalesce(sum(weight), 0) FROM rest_weight_spent").fetchone()[0])


def test_weights_are_those_of_the_documentation() -> None:
    assert [snapshot_weight(rows) for rows in (0, 1, 60, 61, 1_440, 5_000)] == [20, 21, 21, 22, 44, 104]
    assert [funding_weight(rows) for rows in (0, 20, 21, 500)] == [20, 21, 22, 45]


def test_a_snapshot_is_paid_by_its_rows_and_holds_only_what_was_asked(rest_of: RestOf, market: Database) -> None:
    """The first row is the candle that contains startTime, and an answer may run on."""
    rest = rest_of({"candleSnapshot": [minute(T + offset * MINUTE_MS) for offset in (2, -1, 0, 1, 3)]})
    found = asyncio.run(rest.candle_snapshot("BTC", "1m", T, T + 3 * MINUTE_MS))
    assert [candle.t for candle in found] == [T, T + MINUTE_MS, T + 2 * MINUTE_MS]
    assert rest.info.asked == [  # type: ignore[attr-defined]
        {"type": "candleSnapshot",
         "req": {"coin": "BTC", "interval": "1m", "startTime": T, "endTime": T + 3 * MINUTE_MS - 1}},
    ]  # fmt: skip
    assert spent(market) == 21


@pytest.mark.parametrize("rows", [0, 30])
def test_an_empty_or_short_snapshot_is_an_answer_and_costs_less(rest_of: RestOf, market: Database, rows: int) -> None:
    rest = rest_of({"candleSnapshot": [minute(T + offset * MINUTE_MS) for offset in range(rows)]})
    assert len(asyncio.run(rest.candle_snapshot("BTC", "1m", T, T + 1_440 * MINUTE_MS))) == rows
    assert spent(market) == snapshot_weight(rows)


def test_a_bad_row_is_handed_over_and_the_others_arrive(rest_of: RestOf) -> None:
    rejected: Rejections = []
    rest = rest_of({"candleSnapshot": [minute(T), minute(T + MINUTE_MS, s="ETH")]})
    found = asyncio.run(rest.candle_snapshot("BTC", "1m", T, T + HOUR_MS, rejected=rejected))
    assert [candle.t for candle in found] == [T]
    assert [refusal.reason for refusal in rejected] == ["wrong_symbol"]
    with pytest.raises(VenueMalformed, match="wrong_symbol"):
        asyncio.run(rest.candle_snapshot("BTC", "1m", T, T + HOUR_MS))


def test_an_answer_of_another_shape_is_a_venue_error(rest_of: RestOf) -> None:
    rest = rest_of({"meta": {"universe": 5}, "candleSnapshot": {"error": "?"}})
    with pytest.raises(VenueMalformed, match="bad_meta"):
        asyncio.run(rest.meta())
    with pytest.raises(VenueMalformed, match="bad_candle"):
        asyncio.run(rest.candle_snapshot("BTC", "1m", T, T + HOUR_MS))


@pytest.mark.recordings
def test_every_other_question_costs_20_and_the_mids_cost_2(recorded_rest: HyperliquidRest, market: Database) -> None:
    async def ask() -> None:
        rest = recorded_rest
        for question in (rest.meta, rest.spot_meta, rest.meta_and_asset_ctxs, rest.spot_meta_and_asset_ctxs):
            await question()
        await rest.predicted_fundings()
        await rest.all_mids()

    asyncio.run(ask())
    assert spent(market) == 5 * 20 + 2


def paid_hours(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"coin": "BTC", "fundingRate": "0.0000125", "premium": "0.0", "time": T + (first + i) * HOUR_MS + 45}
        for i in range(count)
    ]


def test_funding_history_is_paged_at_500_rows(rest_of: RestOf, market: Database) -> None:
    def page(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        history = paid_hours(0, 1_100)
        return [row for row in history if body["startTime"] <= row["time"] <= body["endTime"]][:500]

    rest = rest_of({"fundingHistory": page})
    found = asyncio.run(rest.funding_history("BTC", T, T + 1_100 * HOUR_MS))
    assert found is not None
    assert [row.time for row in found] == [row["time"] for row in paid_hours(0, 1_100)]
    assert len(rest.info.asked) == 3  # type: ignore[attr-defined]
    assert spent(market) == 45 + 45 + 25


def test_a_venue_that_repeats_a_full_page_does_not_hold_us_for_ever(rest_of: RestOf) -> None:
    rest = rest_of({"fundingHistory": paid_hours(0, 500)})
    found = asyncio.run(rest.funding_history("BTC", T, T + 5_000 * HOUR_MS))
    assert found is not None
    assert len(found) == 500


def test_a_coin_that_is_not_listed_has_no_history(rest_of: RestOf) -> None:
    assert asyncio.run(rest_of({"fundingHistory": b"null"}).funding_history("NOPE", T, T + HOUR_MS)) is None


def test_a_429_stops_everybody_until_the_venue_allows_more(
    rest_of: RestOf, market: Database, clock: SettableClock
) -> None:
    refusal = VenueUnavailable("hyperliquid", "/info answered 429", retry_after_ms=20_000, status=429)
    with pytest.raises(VenueUnavailable, match="429"):
        asyncio.run(rest_of({"meta": refusal}).meta())
    assert WeightBudget(market, "hyperliquid", 1_100, clock).try_spend(2) == 20_001


# --- 09 §6.6, over HTTP ---------------------------------------------------------------------------------------------


def over_http(market: Database, clock: SettableClock, answer: httpx.Response | Exception, **limits: Any) -> Any:
    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask() -> Any:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            http = VenueHttp("hyperliquid", client, **{"timeout_sec": 5, "max_bytes": 8_388_608, **limits})
            budget = WeightBudget(market, "hyperliquid", 1_100, clock)
            return await HyperliquidRest(http, budget, "http://venue", clock).meta()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(429, headers={"Retry-After": "7"}), VenueUnavailable),
        (httpx.Response(500), VenueUnavailable),
        (httpx.Response(503, text="busy"), VenueUnavailable),
        (httpx.ConnectError("refused"), VenueUnavailable),
        (httpx.ReadTimeout("slow"), VenueUnavailable),
        (httpx.Response(200, text="<html>maintenance</html>"), VenueMalformed),
        (httpx.Response(200, content=b'{"universe":[{"na'), VenueMalformed),
        (httpx.Response(200, json=[]), VenueMalformed),
        (httpx.Response(200, json={"universe": []}), VenueMalformed),
        (httpx.Response(302, headers={"Location": "http://elsewhere/"}), VenueRefused),
        (httpx.Response(422, text="Failed to deserialize the JSON body into the target type"), VenueRefused),
    ],
)
def test_an_unusable_answer_is_sorted_and_never_taken(
    market: Database, clock: SettableClock, answer: httpx.Response | Exception, error: type[Exception]
) -> None:
    with pytest.raises(error):
        over_http(market, clock, answer)


def test_a_huge_answer_is_not_read_to_its_end(market: Database, clock: SettableClock) -> None:
    with pytest.raises(VenueMalformed, match="more than 65536 bytes"):
        over_http(market, clock, httpx.Response(200, content=b" " * 10**6), max_bytes=65_536)


@pytest.mark.recordings
def test_a_usable_answer_arrives_over_http(market: Database, clock: SettableClock, recordings: Path) -> None:
    body = (recordings / "hyperliquid" / "meta.json").read_bytes()
    assert len(over_http(market, clock, httpx.Response(200, content=body)).perps) == 223


def test_questions_are_posted_to_info_as_json(market: Database, clock: SettableClock) -> None:
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"BTC": "5.0"})

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
            http = VenueHttp("hyperliquid", client, timeout_sec=5, max_bytes=65_536)
            await HyperliquidRest(http, WeightBudget(market, "x", 100, clock), "http://venue/", clock).all_mids()

    asyncio.run(ask())
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://venue/info")
    assert msgspec.json.decode(seen[0].content) == {"type": "allMids"}
