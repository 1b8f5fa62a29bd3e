"""A3: every operation of the contract for every kind of asker; foreign and absent things answer alike."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from clash_pipeline.api.routing import GuardedRoute
from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.identity import service_tokens
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from tests.api.test_openapi import written
from tests.fakes.api_client import T0, Api
from tests.fakes.stocked_arena import StockedArena
from tests.fakes.wallet import Wallet

pytestmark = pytest.mark.goal

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
LIVE = frozenset({"service token", "service token without a use"})
"""Those who are somebody, though no user."""


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
def house(arena_copy: Callable[[], Settings]) -> StockedArena:
    """One system for all of it: a refused request changes nothing."""
    made = StockedArena(arena_copy())
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
    gone, revoked = house.bearer(Wallet(30)), house.bearer(Wallet(32))
    house.api.client.post("/api/v1/auth/logout", headers=gone)
    ended = house.service("arena"), house.service("health", "arena")
    with house.services.clash.write() as connection:
        connection.execute(
            "UPDATE auth_sessions SET revoked_at = ?, revoked_reason = 'operator' WHERE address = ?",
            (T0, Wallet(32).address),
        )
        connection.execute("UPDATE service_tokens SET expires_at = ? WHERE name = 'health-arena'", (T0,))
    service_tokens.revoke(house.services.clash, "arena", now_ms=T0)
    return {
        "anonymous": {},
        "bad token": {"authorization": "Bearer x.y.z"},
        "other scheme": {"authorization": "Basic dXNlcjpwYXNz"},
        "not ascii": {"authorization": "Bearer \u00e9".encode("latin-1")},
        "logged out": gone,
        "expired": expired,
        "revoked": revoked,
        "revoked service token": ended[0],
        "expired service token": ended[1],
        "service token": house.service("accounts"),
        "service token without a use": house.service("economy"),
        "user id header": {"x-user-id": "1"},
        "bad service token": {"x-service-token": "clash_" + "0" * 64},
    }


@pytest.fixture(scope="module", autouse=True)
def nobodies(house: StockedArena) -> dict[str, Headers]:
    """The same, made once, before anybody asks for anything: for the expired one time is turned back, rates with it."""
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


def owned() -> list[Any]:
    """The operations on what belongs to one user."""
    return [
        each
        for each in listed("userToken")
        if any(name in each.values[1] for name in OWNED) and each.id not in PUBLIC_THINGS
    ]


@pytest.mark.parametrize(("method", "path", "operation"), owned())
def test_what_is_somebody_elses_is_as_absent_as_nothing(
    house: StockedArena, method: str, path: str, operation: dict[str, Any]
) -> None:
    stranger = house.bearer(Wallet(40))
    foreign = ask(house, method, path, operation, stranger)
    absent = ask(house, method, path, operation, stranger, **ABSENT)
    _are_alike(foreign, absent)


def inner() -> list[Any]:
    """Those on something that belongs to a clone, by an id of its own."""
    return [each for each in owned() if "{cloneId}" in each.values[1] and "{runId}" in each.values[1]]


@pytest.mark.parametrize(("method", "path", "operation"), inner())
def test_what_belongs_to_anothers_clone_is_not_found_through_ones_own(
    house: StockedArena, method: str, path: str, operation: dict[str, Any]
) -> None:
    """Run 1 is of clone 1; the owner of clone 2 asks for it as if it were theirs."""
    other = house.bearer(house.other)
    foreign = ask(house, method, path, operation, other, cloneId="2", runId="1")
    absent = ask(house, method, path, operation, other, cloneId="2", runId="999999")
    _are_alike(foreign, absent)
    assert ask(house, method, path, operation, house.bearer()).status_code < 400


def _are_alike(foreign: httpx.Response, absent: httpx.Response) -> None:
    assert foreign.status_code == absent.status_code == 404, foreign.text
    assert _body(foreign) == _body(absent)
    ignored = UNIQUE | {"x-request-id", "date"}
    assert {k: v for k, v in foreign.headers.items() if k not in ignored} == {
        k: v for k, v in absent.headers.items() if k not in ignored
    }


@pytest.fixture(scope="module")
def lacking(house: StockedArena) -> dict[str, Headers]:
    """For each scope the token that has every other one."""
    scopes = service_tokens.SCOPES
    return {scope: house.service(*(other for other in scopes if other != scope)) for scope in scopes}


def scope_of(house: StockedArena, method: str, path: str) -> str:
    """The scope that the application asks for."""
    routes = (route for route in house.api.app.router.routes if isinstance(route, GuardedRoute))
    found = next(route for route in routes if route.path_format == path and method.upper() in (route.methods or ()))
    return found.access.partition(":")[2]


@pytest.mark.parametrize(("method", "path", "operation"), listed("serviceToken"))
def test_a_service_route_needs_a_token_with_its_scope(
    house: StockedArena,
    nobodies: dict[str, Headers],
    lacking: dict[str, Headers],
    method: str,
    path: str,
    operation: dict[str, Any],
) -> None:
    bodies = []
    for name, headers in nobodies.items():
        if name not in LIVE:
            answer = ask(house, method, path, operation, headers)
            assert answer.status_code == 401, (name, answer.text)
            bodies.append(_body(answer))
    assert all(body == bodies[0] for body in bodies)
    assert ask(house, method, path, operation, house.bearer()).status_code == 403
    assert ask(house, method, path, operation, lacking[scope_of(house, method, path)]).status_code == 403


def test_service_routes_do_not_exist_without_any_token(settings: Settings) -> None:
    clock = SettableClock(T0)
    api = Api(Services(settings, clock, clock), clock)
    user = api.bearer(Wallet(1))
    for method, path, kind, _ in operations():
        if kind == "serviceToken":
            for headers in ({}, user):
                assert api.client.request(method, path.format(**EXISTING), headers=headers).status_code == 404, path


REFUSES_ANYBODY = {"verify": {401}, "refresh": {401}, "getSettlement": {404}, "listRaceFills": {404}}
"""What the example or the race on sale has no answer for; never 403."""


@pytest.mark.parametrize(("method", "path", "operation"), listed("public"))
def test_a_public_route_asks_for_nobody(house: StockedArena, method: str, path: str, operation: dict[str, Any]) -> None:
    anonymous = ask(house, method, path, operation, {})
    expected = REFUSES_ANYBODY.get(operation["operationId"], {200, 304})
    assert anonymous.status_code in expected, anonymous.text


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
        "listRaces", "getRace", "getStandings", "getEquity", "listPayouts", "listRaceFills", "streamStandings",
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
