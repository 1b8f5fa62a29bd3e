"""A series is what its declared model says, field by field, though no point of it becomes one."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from clash_pipeline.api import series
from clash_pipeline.api.routes.races import EquityPoint
from clash_pipeline.settings import Settings
from tests.fakes.stocked_arena import SETTLED, StockedArena

SERIES = {
    "/api/v1/accounts/{accountId}/snapshots": "/api/v1/accounts/1/snapshots",
    "/api/v1/races/{raceId}/equity": f"/api/v1/races/{SETTLED}/equity",
    "/api/v1/assets/{symbol}/candles": "/api/v1/assets/BTC/candles",
    "/api/v1/assets/{symbol}/indicators": "/api/v1/assets/BTC/indicators",
}


@pytest.fixture(scope="module")
def house(arena_copy: Callable[[], Settings]) -> StockedArena:
    """One system for all of it: nothing here changes anything."""
    return StockedArena(arena_copy())


def checker(house: StockedArena, path: str) -> Draft202012Validator:
    """What an answer of a route must be: as declared, with no other fields."""
    document = house.api.app.openapi()
    schemas = {
        name: schema | {"additionalProperties": False} if "properties" in schema else schema
        for name, schema in document["components"]["schemas"].items()
    }
    declared = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**declared, "components": {"schemas": schemas}})


@pytest.mark.parametrize("path", SERIES)
def test_a_series_keeps_to_the_declared_model(house: StockedArena, path: str) -> None:
    answer = house.api.client.get(SERIES[path], headers=house.bearer())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["items"]
    assert list(checker(house, path).iter_errors(answer.json())) == []


@pytest.mark.parametrize(
    "change", [{"t": 1}, {"drawdown": 0}, {"equityUsd": "1e5"}, {"more": 1}, {"carried": None}], ids=str
)
def test_control_another_point_is_noticed(house: StockedArena, change: dict[str, Any]) -> None:
    path = "/api/v1/accounts/{accountId}/snapshots"
    whole = house.api.client.get(SERIES[path], headers=house.bearer()).json()
    whole["items"][0] |= change
    assert not checker(house, path).is_valid(whole)


def test_a_point_has_the_fields_of_its_model_and_no_others() -> None:
    point = series.struct_of(EquityPoint)
    made = point(t="2026-03-12T09:20:00Z", equity_usd="1")
    assert msgspec.json.encode(made) == b'{"t":"2026-03-12T09:20:00Z","equityUsd":"1"}'
    with pytest.raises(TypeError):
        point(t="2026-03-12T09:20:00Z")
    with pytest.raises(TypeError):
        point(t="2026-03-12T09:20:00Z", equity_usd="1", more=1)
