"""A8: so many requests a minute, exact at the boundary, whatever a client says of its address."""

import tracemalloc

import pytest

from clash_pipeline.api import rates
from clash_pipeline.api.rates import Allowance
from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import migrate_all
from tests.fakes.api_client import T0, Api, problem
from tests.fakes.wallet import Wallet

pytestmark = pytest.mark.goal


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


def test_lines_that_proxies_add_are_read_as_one_list(settings: Settings) -> None:
    """Some proxies append a line; what the client wrote into its own one decides nothing."""
    api = _api(settings, api_reads_per_minute=1, api_trusted_proxies="testclient")

    def ask(written: str, added: str):  # type: ignore[no-untyped-def]
        lines = [("x-forwarded-for", written), ("x-forwarded-for", added)]
        return api.client.get("/api/v1/auth/me", headers=lines)

    problem(ask("198.51.100.1", "203.0.113.7"), 401, "unauthorised")
    problem(ask("198.51.100.2", "203.0.113.7"), 429, "rate_limited")
    problem(ask("198.51.100.2", "203.0.113.8"), 401, "unauthorised")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True), ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True), ("203.0.113.7", "203.0.113.8", False),
        ("nonsense", "unknown", True), ("fe80::1%eth0", "fe80::2", True),
    ],
)  # fmt: skip
def test_a_customer_with_many_addresses_is_one(settings: Settings, one: str, other: str, is_same: bool) -> None:
    api = _api(settings, api_reads_per_minute=1, api_trusted_proxies="testclient")
    statuses = [
        api.client.get("/api/v1/auth/me", headers={"x-forwarded-for": address}).status_code for address in (one, other)
    ]
    assert statuses == [401, 429 if is_same else 401]


@pytest.mark.soak
def test_memory_is_bounded_under_a_million_principals() -> None:
    allowance = Allowance(60)
    tracemalloc.start()
    try:
        for number in range(1_000_000):
            allowance.take(f"address:{number}", T0 + number)
        size = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(allowance._full_at) == rates.PRINCIPALS
    assert size < 64 * 1024 * 1024


def test_control_without_a_bound_memory_would_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "PRINCIPALS", 10**9)
    allowance = Allowance(1)
    for number in range(10_000):
        allowance.take(f"p{number}", T0)
    assert len(allowance._full_at) == 10_000


def test_control_a_believed_stranger_would_have_all_the_requests_it_likes(settings: Settings) -> None:
    api = _api(settings, api_reads_per_minute=1, api_trusted_proxies="testclient")
    for number in range(3):
        answer = api.client.get("/api/v1/auth/me", headers={"x-forwarded-for": f"203.0.113.{number}"})
        problem(answer, 401, "unauthorised")
