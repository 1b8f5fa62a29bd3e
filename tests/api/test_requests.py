"""What any route does with requests that are not as they should be (09 §6.1), and that none of them is a 500 (A1)."""

import os
import random
import threading

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.identity import service_tokens, sessions
from clash_pipeline.market import health
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage.errors import StorageBusy, StorageFull
from tests.fakes.api_client import T0, Api, problem
from tests.fakes.wallet import Wallet

CHALLENGE = "/api/v1/auth/challenge"
JSON = {"content-type": "application/json"}
GOOD = b'{"address": "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf", "chainId": 4326}'


def post(api: Api, content: bytes, headers: dict[str, str] = JSON):  # type: ignore[no-untyped-def]
    return api.client.post(CHALLENGE, content=content, headers=headers)


def test_the_good_one_is_good(api: Api) -> None:
    assert post(api, GOOD).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", GOOD[:-1], GOOD + b"x", GOOD + GOOD, b"\xef\xbb\xbf" + GOOD, GOOD.decode().encode("utf-16"),
        GOOD.decode().encode("utf-32"), b'{"address": "\xff"}', b'{"address": "\\ud800", "chainId": 4326}', b"NaN",
        b'{"chainId": NaN}', b'{"chainId": -Infinity}', b'{"chainId": 1e400}', b'{"chainId": ' + b"9" * 5_000 + b"}",
        b'{"chainId": 1e-400}', b"<html>", b"address=1&chainId=2", b'{"a": tru}', b"{'a': 1}", b"{\"a\": 1,}",
    ],
)  # fmt: skip
def test_what_is_not_json_is_malformed(api: Api, content: bytes) -> None:
    answer = post(api, content)
    if content == b"":
        problem(answer, 422, "missing")
    else:
        problem(answer, 400, "malformed_json")


def test_a_key_given_twice_is_refused(api: Api) -> None:
    problem(post(api, b'{"chainId": 4326, "chainId": 1}'), 400, "duplicate_key")


@pytest.mark.parametrize("content", [b"[" * 33 + b"]" * 33, b"[" * 100_000, b"[" + b"1," * 10_001 + b"1]"])
def test_what_is_too_complex_is_refused(api: Api, content: bytes) -> None:
    problem(post(api, content), 400, "too_complex")


def test_brackets_inside_text_do_not_count(api: Api) -> None:
    content = b'{"address": "' + b"[" * 40 + b'", "chainId": 4326}'
    problem(post(api, content), 422, "address_invalid")


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"content-type": "text/plain"}, {"content-type": "multipart/form-data"},
        {**JSON, "content-encoding": "gzip"}, {"content-type": "application/jsonp"},
    ],
)  # fmt: skip
def test_another_content_type_is_refused(api: Api, headers: dict[str, str]) -> None:
    problem(post(api, GOOD, headers), 415, "unsupported_media_type")


def test_unknown_and_missing_fields_are_named(api: Api) -> None:
    unknown = problem(post(api, GOOD[:-1] + b', "isAdmin": true}'), 422, "unknown_field")
    assert unknown["pointer"] == "/isAdmin"
    missing = problem(post(api, b"{}"), 422, "missing")
    assert [entry["pointer"] for entry in missing["errors"]] == ["/address", "/chainId"]


def test_a_value_is_never_echoed(api: Api) -> None:
    secret = "hunter2-do-not-echo"
    for body in (f'{{"address": "{secret}", "chainId": 4326}}', f'{{"address": 1, "chainId": "{secret}"}}'):
        assert secret not in post(api, body.encode()).text


def test_query_parameters_are_known_and_stand_once(api: Api) -> None:
    problem(api.client.get("/healthz?x=1"), 422, "unknown_parameter")
    problem(api.client.get("/api/v1/auth/me?limit=1", headers=api.bearer(Wallet(1))), 422, "unknown_parameter")


def test_paths_and_methods_that_do_not_exist(api: Api) -> None:
    problem(api.client.get("/api/v1/nothing"), 404, "not_found")
    problem(api.client.get("/openapi.json"), 404, "not_found")
    refused = api.client.get(CHALLENGE)
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_bytes(api: Api) -> None:
    large = b'{"address": "' + b"a" * 300_000 + b'"}'
    refused = post(api, large)
    problem(refused, 413, "body_too_large")
    assert refused.headers["connection"] == "close"

    def parts():  # type: ignore[no-untyped-def]
        for _ in range(30):
            yield b" " * 10_000

    problem(api.client.post(CHALLENGE, content=parts(), headers=JSON), 413, "body_too_large")


def test_headers_over_the_limit_are_refused(api: Api) -> None:
    problem(api.client.get("/healthz", headers={"x-long": "a" * 17_000}), 431, "headers_too_large")


def test_every_answer_has_its_security_headers(api: Api) -> None:
    for answer in (api.client.get("/healthz"), api.client.get("/nothing"), post(api, b"{")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


def test_health_says_whether_the_databases_answer(api: Api) -> None:
    assert api.client.get("/healthz").json() == {"status": "ok"}
    assert api.client.get("/readyz").json() == {"status": "ok"}


TOKENS = [
    b"NaN", b"Infinity", b"1e999", b'"\\ud800"', b"\0", b"\xff", b"\xef\xbb\xbf", b"9" * 400, b"1.0", b"[" * 40, b"{}",
    b'"a":1,"a":2', b"null", b"true", b'""', b"-0", b"\\", b'"', b"\xe2\x80\xae",
]  # fmt: skip


def _mutated(source: random.Random, content: bytes) -> bytes:
    for _ in range(source.randint(1, 5)):
        place = source.randrange(len(content) + 1)
        act = source.randrange(3)
        if act == 0:
            content = content[:place] + source.choice(TOKENS) + content[place:]
        elif act == 1:
            content = content[:place] + content[place + source.randint(1, 8) :]
        else:
            content = content[:place] + bytes([source.randrange(256)]) + content[place + 1 :]
    return content


@pytest.mark.goal
def test_no_bytes_are_answered_with_a_server_error(api: Api) -> None:
    """A1 for the routes of sign-in through a client; `test_fuzz.py` has the many, of every route."""
    source = random.Random(11)
    seeds = [
        (CHALLENGE, GOOD),
        ("/api/v1/auth/verify", b'{"message": "x", "signature": "0x00"}'),
        ("/api/v1/auth/refresh", b'{"refreshToken": "x"}'),
    ]
    for _ in range(50_000 if os.environ.get("CLASH_SOAK") else 200):
        path, seed = source.choice(seeds)
        answer = api.client.post(path, content=_mutated(source, seed), headers=JSON)
        assert answer.status_code < 500, (path, answer.text)
        if answer.status_code >= 400:
            problem(answer, answer.status_code, answer.json()["code"])


def test_control_a_bug_in_a_route_is_a_500_that_says_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from clash_pipeline.identity import challenges

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr(challenges, "issue", broken)
    answer = post(api, GOOD)
    assert "42" not in problem(answer, 500, "internal_error")["detail"]
    assert "42" not in answer.text


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "application/json, text/event-stream"])
def test_an_answer_has_its_time_whatever_a_client_says_that_it_takes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    let_go = threading.Event()
    wall = SettableClock(T0)
    api = Api(Services(settings.model_copy(update={"api_answer_sec": 0.2}), SettableClock(T0), wall), wall)
    monkeypatch.setattr(health, "read", lambda *_: let_go.wait(20))
    try:
        answer = api.client.get("/api/v1/ingestion/health", headers={"accept": accept})
    finally:
        let_go.set()
    problem(answer, 503, "answer_too_slow")


@pytest.mark.parametrize("error", [StorageBusy("busy"), StorageFull("full")])
def test_a_store_that_cannot_say_who_asks_is_no_defect_of_ours(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    me = api.bearer(Wallet(1))

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sessions, "of_access_token", broken)
    answer = api.client.get("/api/v1/auth/me", headers=me)
    problem(answer, 503, "storage_busy" if isinstance(error, StorageBusy) else "storage_full")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/api/v1/operator/acts", None, "storage_busy"),
        ("POST", "/api/v1/operator/acts", {"act": "halt", "reason": "drill"}, "outcome_unknown"),
    ],
)
def test_a_use_that_cannot_be_written_down_is_not_told_of(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: object, code: str
) -> None:
    _, text = service_tokens.create(
        api.services.clash, "desk", ("accounts",), secret=bytes(32), actor="test", now_ms=T0
    )

    def busy(*_: object, **__: object) -> None:
        raise StorageBusy("somebody else writes")

    monkeypatch.setattr(service_tokens, "used", busy)
    answer = api.client.request(method, path, json=body, headers={"x-service-token": text})
    problem(answer, 503, code)
