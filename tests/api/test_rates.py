"""A8: so many requests a minute, exact at the boundary, whatever a client says of its address."""

import pytest

from clash_pipeline.api import rates
from clash_pipeline.api.rates import Allowance
from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import migrate_all
from tests.fakes.api_client import T0, Api, problem
from tests.fakes.wallet import Wallet


def test_the_allowance_is_there_at_once_and_not_one_more() -> None:
    allowance = Allowance(5)
    assert [allowance.take("a", T0) for _ in range(6)] == [None] * 5 + [12]
    assert allowance.take("b", T0) is None


def test_it_grows_back_evenly_and_the_wait_is_right() -> None:
    allowance = Allowance(5)
    for _ in range(5):
        allowance.take("a", T0)
    assert allowance.take("a", T0 + 11_999) == 1
    assert allowance.take("a", T0 + 12_000) is None
    assert allowance.take("a", T0 + 12_000) == 12
    assert [allowance.take("a", T0 + 12_000 + MINUTE_MS) for _ in range(6)] == [None] * 5 + [12]


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600])
def test_a_greedy_client_gets_the_allowance_and_what_grows_back(per_minute: int) -> None:
    allowance = Allowance(per_minute)
    asked = range(T0, T0 + 3 * MINUTE_MS + 1, 50)
    taken = sum(allowance.take("a", now_ms) is None for now_ms in asked)
    assert taken == per_minute * 4


def test_memory_is_bounded_under_a_flood_of_principals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "PRINCIPALS", 100)
    allowance = Allowance(1)
    for number in range(10_000):
        allowance.take(f"p{number}", T0)
    assert len(allowance._full_at) == 100


def _api(settings: Settings, **limits: object) -> Api:
    migrate_all(settings)
    wall = SettableClock(T0)
    return Api(Services(settings.model_copy(update=limits), SettableClock(T0), wall), wall)


def test_reads_and_writes_are_counted_apart(settings: Settings) -> None:
    api = _api(settings, api_reads_per_minute=3, api_writes_per_minute=2)
    for _ in range(3):
        problem(api.client.get("/api/v1/auth/me"), 401, "unauthorised")
    refused = api.client.get("/api/v1/auth/me")
    problem(refused, 429, "rate_limited")
    assert refused.headers["retry-after"] == "20"

    for _ in range(2):
        problem(api.client.post("/api/v1/auth/refresh", json={"refreshToken": "x"}), 401, "unauthorised")
    problem(api.client.post("/api/v1/auth/refresh", json={"refreshToken": "x"}), 429, "rate_limited")
    assert api.client.get("/healthz").status_code == 200
    api.wall.advance(20_000)
    problem(api.client.get("/api/v1/auth/me"), 401, "unauthorised")


def test_a_signed_in_user_is_counted_as_such(settings: Settings) -> None:
    api = _api(settings, api_reads_per_minute=2)
    mine, other = api.bearer(Wallet(1)), api.bearer(Wallet(2))
    assert [api.client.get("/api/v1/auth/me", headers=mine).status_code for _ in range(3)] == [200, 200, 429]
    assert api.client.get("/api/v1/auth/me", headers=other).status_code == 200


def test_challenges_are_counted_by_origin_and_by_wallet(settings: Settings) -> None:
    api = _api(settings, api_challenges_per_minute=2)
    body = {"address": Wallet(1).address, "chainId": 4326}
    answers = [api.client.post("/api/v1/auth/challenge", json=body).status_code for _ in range(3)]
    assert answers == [200, 200, 429]


@pytest.mark.parametrize("header", ["1.2.3.4", "1.2.3.4, 5.6.7.8", "unknown", "::1", "x" * 200])
def test_a_stranger_cannot_change_its_address(settings: Settings, header: str) -> None:
    api = _api(settings, api_reads_per_minute=1)
    api.client.get("/api/v1/auth/me")
    problem(api.client.get("/api/v1/auth/me", headers={"x-forwarded-for": header}), 429, "rate_limited")


def test_a_trusted_proxy_may_name_the_address(settings: Settings) -> None:
    api = _api(settings, api_reads_per_minute=1, api_trusted_proxies="testclient,10.0.0.1")
    first = {"x-forwarded-for": "203.0.113.7, 10.0.0.1"}
    problem(api.client.get("/api/v1/auth/me", headers=first), 401, "unauthorised")
    problem(api.client.get("/api/v1/auth/me", headers=first), 429, "rate_limited")
    spoofed = {"x-forwarded-for": "198.51.100.1, 203.0.113.7, 10.0.0.1"}
    problem(api.client.get("/api/v1/auth/me", headers=spoofed), 429, "rate_limited")
    other = {"x-forwarded-for": "203.0.113.8"}
    problem(api.client.get("/api/v1/auth/me", headers=other), 401, "unauthorised")
