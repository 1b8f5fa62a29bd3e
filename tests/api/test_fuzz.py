"""A1 and A11: whatever bytes come, no answer is ours to be ashamed of."""

import asyncio
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio.to_thread
import pytest
from fastapi import FastAPI

from clash_pipeline.settings import Settings
from tests.api.test_authorisation import EXISTING, operations
from tests.fakes import pictures
from tests.fakes.fuzzing import Answer, Raw, Seed, barrage, put, wrong
from tests.fakes.stocked_arena import StockedArena
from tests.fakes.wallet import Wallet

SEED = int(os.environ.get("CLASH_FUZZ_SEED", "20260312"))
TOKENS = (b"authorization", b"x-service-token")
SLOW = frozenset({"dryRunDraft", "streamFills", "streamIngestion", "submitImage", "metrics"})
"""Each takes tens of milliseconds: asked for one time in fifty."""


@pytest.fixture
def house(arena_copy: Callable[[], Settings]) -> StockedArena:
    """The system under fire; artifacts are in a folder of this test."""
    return StockedArena(arena_copy())


def seeds(house: StockedArena) -> list[Seed]:
    """A good request of every operation, as the owner, as an operator, or as nobody."""
    user, service = house.bearer(), house.service()
    found = []
    for method, path, kind, operation in operations():
        name = operation["operationId"]
        own = {"userToken": user, "serviceToken": service}.get(kind, {})
        if name == "logout":  # that of somebody whom nothing else depends on
            own = house.bearer(Wallet(77))
        content = operation.get("requestBody", {}).get("content", {})
        example = content.get("application/json", {}).get("example")
        body = b"" if example is None else json.dumps(example).encode()
        if "image/png" in content:
            body = pictures.encoded(pictures.picture(), "PNG")
        kinds = {"content-type": "image/png" if "image/png" in content else "application/json"} if content else {}
        sent = {**own, **kinds, "idempotency-key": "fuzz-000000000001", "if-match": "*"}
        if "/live/" in path:
            sent["accept"] = "text/event-stream"
        headers = tuple((key.encode(), value.encode()) for key, value in sent.items())
        seed = Seed(name, method.upper(), path.format(**EXISTING), headers, body)
        found += [seed] if name in SLOW else [seed] * 50
    return found


def fire(house: StockedArena, count: int, part: int = 0) -> None:
    """So many requests, none with an answer that is wrong; of four, one comes with a good token."""
    known = seeds(house)
    unknown = [replace(seed, headers=tuple(pair for pair in seed.headers if pair[0] not in TOKENS)) for seed in known]
    shown = random.Random(SEED + part)
    found = barrage(house.api.app, known, count // 4, shown) + barrage(house.api.app, unknown, count * 3 // 4, shown)
    assert found == [], f"seed {SEED + part}: {len(found)} of {count}, first {found[0]}"


async def here(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
    """In place of `anyio.to_thread.run_sync`: no other thread, which takes longer than most requests."""
    return function(*arguments)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_fifty_thousand_raw_requests(house: StockedArena, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """The first quarter in as many threads as the server has, where requests meet; the others one after the other."""
    if part > 0:
        monkeypatch.setattr(anyio.to_thread, "run_sync", here)
    fire(house, 12_500, part)


@pytest.mark.soak
def test_a_million_raw_requests(house: StockedArena) -> None:
    fire(house, 1_000_000)


def test_the_seeds_are_good(house: StockedArena) -> None:
    """What is mutated begins as requests that work, so that the fuzz reaches past the doors."""
    shape, state = {"refresh", "getIngestionSeries"}, {
        "getResult", "getSettlement", "quote", "submitDeposit", "submitAudition", "retryAudition", "authorisePayable",
        "listRaceFills",
    }  # fmt: skip
    refused = {}
    for seed in {seed.operation: seed for seed in seeds(house)}.values():
        raw = Raw(seed.operation, seed.method, seed.path, b"", seed.headers, seed.body)
        answer = asyncio.run(put(house.api.app, raw))
        if answer.status >= 400:
            refused[seed.operation] = answer.status
    assert refused.keys() - {"verify"} == shape | state
    assert {refused[name] for name in state} <= {404, 409}, "what is stored refuses them, not their form"


def test_control_a_defect_is_found(house: StockedArena) -> None:
    def broken(app: FastAPI) -> None:
        app.router.routes.insert(0, next(iter(_failing().router.routes)))

    broken(house.api.app)
    assert any("status 500" in line for line in barrage(house.api.app, seeds(house), 400, random.Random(SEED)))


def _failing() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.api_route("/api/v1/clones", methods=["GET", "POST"])
    def fail() -> None:
        raise RuntimeError("a defect")

    return app


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (500, b"application/problem+json", b"{}"),
        (400, b"application/json", b"{}"),
        (422, b"application/problem+json", b'{"status":400,"code":"value","requestId":"1"}'),
        (404, b"application/problem+json", b'{"status":404,"code":"No Code","requestId":"1"}'),
        (200, b"application/json", b'{"at":"/srv/clash/x.py"}'),
        (200, b"application/json", b'"canary-4f1d7c-2"'),
        (422, b"application/problem+json", b'{"detail":"near SELECT name"}'),
    ],
)
def test_control_bad_answers_are_recognised(status: int, kind: bytes, body: bytes) -> None:
    raw = Raw("x", "GET", "/", b"", (), b"")
    assert wrong(raw, Answer(status, {b"content-type": kind}, body)) is not None
