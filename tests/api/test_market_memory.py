"""Assets, charts, Polymarket search, DefiLlama subjects and the health of ingestion over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from clash_pipeline.settings import Settings
from tests.fakes.api_client import problem
from tests.fakes.stocked_api import StockedApi


@pytest.fixture(scope="module")
def house(stocked_copy: Callable[[], Settings]) -> StockedApi:
    """One system for all of it: nothing here changes anything."""
    return StockedApi(stocked_copy())


def read(house: StockedApi, path: str, **query: Any) -> Any:
    """What anybody gets."""
    answer = house.api.client.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(("query", "symbols"), [
    ({}, ["BTC", "ETH", "PURR/USDC"]), ({"kind": "spot"}, ["PURR/USDC"]), ({"category": "meme"}, ["PURR/USDC"]),
    ({"category": "hyperliquid_native"}, ["PURR/USDC"]), ({"search": "et"}, ["ETH"]), ({"search": "nothing"}, []),
])  # fmt: skip
def test_the_registry_is_searched(house: StockedApi, query: dict[str, str], symbols: list[str]) -> None:
    assert [asset["symbol"] for asset in read(house, "assets", **query)["items"]] == symbols


def test_the_registry_comes_in_pages(house: StockedApi) -> None:
    first = read(house, "assets", limit=2)
    rest = read(house, "assets", limit=2, cursor=first["nextCursor"])
    assert [asset["symbol"] for asset in first["items"] + rest["items"]] == ["BTC", "ETH", "PURR/USDC"]
    assert rest["nextCursor"] is None


@pytest.mark.parametrize("path", ["PURR/USDC", "PURR%2FUSDC"])
def test_a_symbol_with_a_slash_is_one_symbol(house: StockedApi, path: str) -> None:
    assert read(house, f"assets/{path}")["symbol"] == "PURR/USDC"
    assert read(house, f"assets/{path}/candles")["items"] == []


@pytest.mark.parametrize("symbol", ["NOPE", "btc", "..%2Fclones", "BTC%00", "x" * 41, "candles"])
def test_what_is_not_listed_is_absent(house: StockedApi, symbol: str) -> None:
    problem(house.api.client.get(f"/api/v1/assets/{symbol}"), 404, "not_found")


def test_candles_are_read_backwards_in_pages(house: StockedApi) -> None:
    newest = read(house, "assets/BTC/candles", limit=3)
    assert [candle["t"][11:16] for candle in newest["items"]] == ["09:17", "09:18", "09:19"]
    assert newest["items"][-1] == {
        "t": "2026-03-12T09:19:00Z", "o": "100", "h": "100", "l": "100", "c": "100", "v": "10", "n": 1, "isFinal": True,
    }  # fmt: skip
    older = read(house, "assets/BTC/candles", limit=3, cursor=newest["nextCursor"])
    assert [candle["t"][11:16] for candle in older["items"]] == ["09:14", "09:15", "09:16"]
    hours = read(house, "assets/BTC/candles", interval="1h")["items"]
    assert [hour["t"] for hour in hours] == ["2026-03-12T08:20:00Z"]


def test_a_range_leaves_its_end_out(house: StockedApi) -> None:
    query = {"from": "2026-03-12T09:15:00Z", "to": "2026-03-12T11:17:00+02:00"}
    found = read(house, "assets/BTC/candles", **query)["items"]
    assert [candle["t"][11:16] for candle in found] == ["09:15", "09:16"]
    assert [each["rsi14"] for each in read(house, "assets/BTC/indicators")["items"]] == [60.0, 60.0]


@pytest.mark.parametrize("query", [
    {"from": "2026-03-12T09:15:00Z", "to": "2026-03-12T09:15:00Z"}, {"from": "yesterday"}, {"from": "1773307200000"},
    {"from": "2026-03-12T09:15:00"}, {"to": "9999-12-31T23:59:59Z"}, {"limit": "0"}, {"limit": "1501"},
    {"interval": "5m"}, {"cursor": "AAAA"}, {"symbol": "ETH"},
])  # fmt: skip
def test_a_wrong_range_is_refused(house: StockedApi, query: dict[str, str]) -> None:
    answer = house.api.client.get("/api/v1/assets/BTC/candles", params=query)
    assert answer.status_code == 422
    assert answer.json()["code"] in ("value", "type", "cursor_invalid", "unknown_parameter")


def test_a_cursor_of_one_asset_is_none_of_another(house: StockedApi) -> None:
    cursor = read(house, "assets/BTC/candles", limit=1)["nextCursor"]
    answer = house.api.client.get("/api/v1/assets/ETH/candles", params={"cursor": cursor})
    problem(answer, 422, "cursor_invalid")


def test_the_taxonomy_counts_what_is_listed(house: StockedApi) -> None:
    groups = {group["name"]: group for group in read(house, "assets/taxonomy")["categories"]}
    assert (groups["crypto_major"]["title"], groups["crypto_major"]["assets"]) == ("Majors", 2)


@pytest.mark.parametrize(("query", "slugs"), [
    ({}, ["btc-above-1", "btc-above-2", "btc-above-3"]), ({"search": "bitcoin 200,000"}, ["btc-above-2"]),
    ({"symbol": "BTC"}, ["btc-above-1"]), ({"symbol": "ETH"}, []), ({"search": "100%"}, []),
])  # fmt: skip
def test_polymarket_is_searched(house: StockedApi, query: dict[str, str], slugs: list[str]) -> None:
    found = read(house, "memory/polymarket/markets", **query)["items"]
    assert [market["slug"] for market in found] == slugs


def test_polymarket_comes_in_pages_soonest_end_first(house: StockedApi) -> None:
    first = read(house, "memory/polymarket/markets", limit=2)
    rest = read(house, "memory/polymarket/markets", cursor=first["nextCursor"])
    assert [market["marketId"] for market in first["items"] + rest["items"]] == ["1", "2", "3"]
    assert first["items"][0]["outcomes"] == [{"name": "Yes", "price": "0.4"}, {"name": "No", "price": "0.6"}]
    assert (first["items"][0]["symbols"], first["items"][0]["endsAt"]) == (["BTC"], "2026-03-12T10:20:00Z")


def test_subjects_are_listed(house: StockedApi) -> None:
    first = read(house, "memory/defillama/subjects", scope="chain", limit=1)
    rest = read(house, "memory/defillama/subjects", scope="chain", cursor=first["nextCursor"])
    assert [each["subject"] for each in first["items"] + rest["items"]] == ["Ethereum", "Solana"]
    assert read(house, "memory/defillama/subjects", search="sol")["items"][0]["newestAt"] == "2026-03-12T08:20:00Z"


# ingestion


def test_health_is_public_and_says_no_more_than_it_should(house: StockedApi) -> None:
    found = read(house, "ingestion/health")
    candles = next(each for each in found["channels"] if each["channel"] == "candles_1m")
    assert (found["status"], candles["status"], candles["ageSec"], candles["lagP99Ms"]) == ("degraded", "ok", 54, 60)
    assert not {"lastError", "rejections"} & candles.keys()


def test_operators_see_details_and_the_series(house: StockedApi) -> None:
    operator = house.service("ingestion")
    details = house.api.client.get("/api/v1/ingestion/channels", headers=operator).json()["items"]
    assert {"lastError", "rejections", "openGaps"} <= details[0].keys()
    query = {"source": "hyperliquid", "channel": "candles_1m", "stepSec": 60}
    series = house.api.client.get("/api/v1/ingestion/series", params=query, headers=operator).json()
    assert [(step["t"][11:16], step["rowsWritten"], step["covered"]) for step in series["items"]] == [
        ("09:17", 2, 2), ("09:18", 2, 2), ("09:19", 2, 2),
    ]  # fmt: skip
    absent = house.api.client.get("/api/v1/ingestion/series", params=query | {"channel": "x"}, headers=operator)
    problem(absent, 404, "not_found")
    long = house.api.client.get(
        "/api/v1/ingestion/series", params=query | {"from": "2020-01-01T00:00:00Z"}, headers=operator
    )
    problem(long, 422, "value")
