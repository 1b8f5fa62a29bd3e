"""A3: every operation of the contract for every kind of asker; foreign and absent things answer alike."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from tests.api.test_openapi import written
from tests.fakes.api_client import T0, Api
from tests.fakes.stocked_arena import StockedArena
from tests.fakes.wallet import Wallet

EXISTING = {
    "cloneId": "1", "runId": "1", "accountId": "1", "symbol": "BTC", "kind": "packet", "number": "1", "profileId": "1",
    "reportId": "1", "purchaseId": "1", "auditionId": "1", "raceId": "3", "payableId": "4",
    "flagId": "1",
}  # fmt: skip
ABSENT = dict.fromkeys(("cloneId", "accountId", "purchaseId", "auditionId", "payableId"), "999999")
Headers = dict[str, Any]
OWNED = frozenset(ABSENT)
PUBLIC_THINGS = frozenset({"reportProfile"})
"""What a signed-in user may do to somebody else's clone, because it is public."""
UNIQUE = frozenset({"requestId"})


def operations() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Method, path, kind of access and the operation itself."""
    for path, methods in written()["paths"].items():
        for method, operation in methods.items():
            kinds = [next(iter(scheme)) for scheme in operation["security"]]
            yield method, path, kinds[0] if kinds else "public", operation


def listed(kind: str) -> list[Any]:
    """The operations of one kind of access, as parameters of a test."""
    return [
        pytest.param(method, path, operation, id=operation["operationId"])
        for method, path, found, operation in operations()
        if found == kind
    ]


@pytest.fixture(scope="module")
def house(stocked_copy: Callable[[], Settings]) -> StockedArena:
    """One system for all of it: a refused request changes nothing."""
    made = StockedArena(stocked_copy())
    made.service("health")  # service routes exist
    return made


def ask(
    house: StockedArena, method: str, path: str, operation: dict[str, Any], headers: Headers, **other: str
) -> httpx.Response:
    """The operation with its example, on things that exist or on others."""
    names = EXISTING | other
    content = operation.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("example")
    sent = {"idempotency-key": "authorisation-0001", "if-match": "*", "accept": "*/*, text/event-stream", **headers}
    query = "?source=hyperliquid&channel=candles_1m" if path.endswith("/series") else ""
    kind = {} if body is not None or not content else {"content-type": "image/png"}
    return house.api.client.request(
        method, path.format(**names) + query, headers=sent | kind, json=body, content=None if body or not kind else b"x"
    )


def _body(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name not in UNIQUE}


def _nobodies(house: StockedArena) -> dict[str, Headers]:
    """Headers that prove nothing, each in its own way."""
    house.wall.set(T0 - 11 * MINUTE_MS)
    expired = house.bearer(Wallet(31))
    house.wall.set(T0)
    gone = house.bearer(Wallet(30))
    house.api.client.post("/api/v1/auth/logout", headers=gone)
    return {
        "anonymous": {},
        "bad token": {"authorization": "Bearer x.y.z"},
        "other scheme": {"authorization": "Basic dXNlcjpwYXNz"},
        "not ascii": {"authorization": "Bearer \u00e9".encode("latin-1")},
        "logged out": gone,
        "expired": expired,
        "service token": house.service("accounts"),
        "service token without a use": house.service("economy"),
        "user id header": {"x-user-id": "1"},
        "bad service token": {"x-service-token": "clash_" + "0" * 64},
    }


@pytest.fixture(scope="module")
def nobodies(house: StockedArena) -> dict[str, Headers]:
    """The same, made once; the expired one is made to expire."""
    return _nobodies(house)


@pytest.mark.parametrize(("method", "path", "operation"), listed("userToken"))
def test_a_users_route_refuses_everybody_else_alike(
    house: StockedArena, nobodies: dict[str, Headers], method: str, path: str, operation: dict[str, Any]
) -> None:
    bodies = []
    for name, headers in nobodies.items():
        answer = ask(house, method, path, operation, headers)
        assert answer.status_code == 401, (name, answer.text)
        bodies.append(_body(answer))
    assert all(body == bodies[0] for body in bodies)


@pytest.mark.parametrize(("method", "path", "operation"), listed("userToken"))
def test_what_is_somebody_elses_is_as_absent_as_nothing(
    house: StockedArena, method: str, path: str, operation: dict[str, Any]
) -> None:
    if not any(name in path for name in OWNED) or operation["operationId"] in PUBLIC_THINGS:
        return
    stranger = house.bearer(Wallet(40))
    foreign = ask(house, method, path, operation, stranger)
    absent = ask(house, method, path, operation, stranger, **ABSENT)
    assert foreign.status_code == absent.status_code == 404, foreign.text
    assert _body(foreign) == _body(absent)
    ignored = UNIQUE | {"x-request-id", "date"}
    assert {k: v for k, v in foreign.headers.items() if k not in ignored} == {
        k: v for k, v in absent.headers.items() if k not in ignored
    }


@pytest.mark.parametrize(("method", "path", "operation"), listed("serviceToken"))
def test_a_service_route_needs_a_token_with_its_scope(
    house: StockedArena, nobodies: dict[str, Headers], method: str, path: str, operation: dict[str, Any]
) -> None:
    assert ask(house, method, path, operation, {}).status_code == 401
    assert ask(house, method, path, operation, {"x-service-token": "clash_" + "0" * 64}).status_code == 401
    assert ask(house, method, path, operation, house.bearer()).status_code == 403
    assert ask(house, method, path, operation, nobodies["service token without a use"]).status_code == 403


def test_service_routes_do_not_exist_without_any_token(settings: Settings) -> None:
    clock = SettableClock(T0)
    api = Api(Services(settings, clock, clock), clock)
    user = api.bearer(Wallet(1))
    for method, path, kind, _ in operations():
        if kind == "serviceToken":
            for headers in ({}, user):
                assert api.client.request(method, path.format(**EXISTING), headers=headers).status_code == 404, path


@pytest.mark.parametrize(("method", "path", "operation"), listed("public"))
def test_a_public_route_asks_for_nobody(house: StockedArena, method: str, path: str, operation: dict[str, Any]) -> None:
    anonymous = ask(house, method, path, operation, {})
    assert anonymous.status_code not in (401, 403) or operation["operationId"] in ("verify", "refresh")


def test_every_operation_has_an_entry() -> None:
    kinds = {kind for _, _, kind, _ in operations()}
    assert kinds == {"public", "userToken", "serviceToken"}
    for _, path, kind, operation in operations():
        names = {part.split("}")[0] for part in path.split("{")[1:]}
        assert names <= EXISTING.keys(), f"{operation['operationId']} takes something that this table does not know"
        if kind == "public":
            assert operation["operationId"] in OPEN, f"{operation['operationId']} is open to everybody: list it here"


OPEN = frozenset(
    {
        "challenge", "verify", "refresh", "listAssets", "assetTaxonomy", "listCandles", "listIndicators", "getAsset",
        "searchMarkets", "listSubjects", "getProfile", "getImage", "listLeaders", "ingestionHealth",
        "streamIngestion", "healthz", "readyz", "listPrices", "listSlots", "listWaiting", "getCareer", "listFamous",
        "listOffers", "getSettlement",
        "listRaces", "getRace", "getStandings", "getEquity", "listPayouts", "streamStandings",
    }
)  # fmt: skip
"""Everything that anybody may ask; what is added to the contract without a token must be added here by hand."""


def test_control_an_unowned_route_is_found(house: StockedArena, monkeypatch: pytest.MonkeyPatch) -> None:
    from clash_pipeline.clones import clones

    monkeypatch.setattr(clones, "owned", lambda connection, clone_id, owner: clones.get(connection, clone_id))
    with pytest.raises(AssertionError):
        test_what_is_somebody_elses_is_as_absent_as_nothing(
            house, "get", "/api/v1/clones/{cloneId}", {"operationId": "getClone"}
        )
