"""Decisions with their reasons, artifacts and dry runs as the owner of a clone meets them over HTTP."""

import hashlib
import threading
import time
from typing import Any

import pytest

from clash_pipeline.decisions import dry_run as dry
from clash_pipeline.decisions import runs
from clash_pipeline.settings import Settings
from tests.fakes.api_client import problem
from tests.fakes.stocked_api import StockedApi

KEY = {"idempotency-key": "decisions-00000001"}


@pytest.fixture
def house(stocked: Settings) -> StockedApi:
    """A system in which clone 1 decided twice."""
    return StockedApi(stocked)


@pytest.fixture
def me(house: StockedApi) -> dict[str, str]:
    """The owner of clone 1."""
    return house.bearer()


def test_decisions_come_newest_first_with_their_reasons(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    page = client.get("/api/v1/clones/1/decisions?limit=1", headers=me).json()
    assert [(run["id"], run["symbol"], run["state"], run["reason"]) for run in page["items"]] == [
        (2, "ETH", "completed", "filled")
    ]
    rest = client.get("/api/v1/clones/1/decisions", params={"cursor": page["nextCursor"]}, headers=me).json()
    assert ([run["id"] for run in rest["items"]], rest["nextCursor"]) == ([1], None)
    only = client.get("/api/v1/clones/1/decisions?symbol=BTC&state=completed", headers=me).json()["items"]
    assert [run["id"] for run in only] == [1]
    problem(client.get("/api/v1/clones/1/decisions?state=lost", headers=me), 422, "value")


def test_a_cursor_of_another_list_is_refused(house: StockedApi, me: dict[str, str]) -> None:
    cursor = house.api.client.get("/api/v1/clones/1/decisions?limit=1", headers=me).json()["nextCursor"]
    problem(house.api.client.get(f"/api/v1/accounts/1/fills?cursor={cursor}", headers=me), 422, "cursor_invalid")


def test_one_decision_with_answer_figures_and_fill(house: StockedApi, me: dict[str, str]) -> None:
    run = house.api.client.get("/api/v1/clones/1/decisions/1", headers=me).json()
    assert (run["answer"]["action"], run["answerMissing"]) == ("open_long", None)
    assert run["answer"]["rationale"]
    (action,) = run["actions"]
    figures = {figure["name"]: figure["value"] for figure in action["figures"]}
    assert (action["status"], figures["price"]) == ("filled", "100")
    assert action["fills"][0]["notionalUsd"] == "19999.9968"
    assert [artifact["kind"] for artifact in run["artifacts"]] == ["packet", "prompt", "response"]


def test_an_artifact_is_what_its_hash_says(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    listed = {each["kind"]: each for each in client.get("/api/v1/clones/1/decisions/1", headers=me).json()["artifacts"]}
    for kind, said in listed.items():
        sent = client.get(f"/api/v1/clones/1/decisions/1/artifacts/{kind}", headers=me)
        assert hashlib.sha256(sent.content).hexdigest() == said["sha256"]
        assert (len(sent.content), sent.headers["etag"]) == (said["sizeBytes"], f'"{said["sha256"]}"')
        assert sent.headers["cache-control"].startswith("private")
        asked = me | {"if-none-match": sent.headers["etag"]}
        known = client.get(f"/api/v1/clones/1/decisions/1/artifacts/{kind}", headers=asked)
        assert known.status_code == 304
    problem(client.get("/api/v1/clones/1/decisions/1/artifacts/trace", headers=me), 404, "not_found")


def test_a_damaged_artifact_is_never_sent(house: StockedApi, me: dict[str, str]) -> None:
    with house.services.clash.read() as connection:
        key = runs.artifacts_of(connection, 1)["response"].key
    house.services.store.put(key, b"damaged", if_absent=False)
    answer = house.api.client.get("/api/v1/clones/1/decisions/1/artifacts/response", headers=me)
    problem(answer, 503, "store_unavailable")
    run = house.api.client.get("/api/v1/clones/1/decisions/1", headers=me).json()
    assert (run["answer"], run["answerMissing"]) == (None, "store_unavailable")


def test_a_run_of_another_clone_is_absent(house: StockedApi, me: dict[str, str]) -> None:
    other = house.bearer(house.other)
    problem(house.api.client.get("/api/v1/clones/2/decisions/1", headers=other), 404, "not_found")
    problem(house.api.client.get("/api/v1/clones/1/decisions/1", headers=other), 404, "not_found")


def test_a_dry_run_says_everything_and_changes_no_account(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    before = client.get("/api/v1/accounts/1/ledger", headers=me).json()
    body = {"engine": "rules", "withPackets": True}
    made = client.post("/api/v1/clones/1/dry-runs", json=body, headers=me | KEY)
    assert made.status_code == 201, made.text
    runs = made.json()["runs"]
    assert [(run["symbol"], run["effective"], run["answer"]["action"]) for run in runs] == [
        ("BTC", "open_long", "open_long"),
        ("ETH", "open_long", "open_long"),
    ]
    assert all(run["packet"]["schema"] == "decision_v1" and run["prompt"]["system"] for run in runs)
    assert {line["kind"] for line in made.json()["ledger"]} == {"fee"}
    assert client.get("/api/v1/accounts/1/ledger", headers=me).json() == before
    again = client.post("/api/v1/clones/1/dry-runs", json=body, headers=me | KEY)
    assert (again.json(), again.headers["idempotency-replayed"]) == (made.json(), "true")
    assert [run["id"] for run in client.get("/api/v1/clones/1/dry-runs", headers=me).json()["items"]] == [2, 1]


def test_a_dry_run_that_takes_long_is_asked_for_again(stocked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may take two seconds here, and the model takes until it is let go."""
    house = StockedApi(stocked.model_copy(update={"api_answer_sec": 2}))
    me = house.bearer()
    let_go, quick = threading.Event(), dry.dry_run

    def slow(*parts: Any, **more: Any) -> Any:
        assert let_go.wait(30)
        return quick(*parts, **more)

    monkeypatch.setattr(dry, "dry_run", slow)

    def ask() -> Any:
        return house.api.client.post("/api/v1/clones/1/dry-runs", json={}, headers=me | KEY)

    with house.api.client:  # one event loop for all three requests
        waiting = problem(ask(), 503, "dry_run_running")
        assert "same key" in waiting["detail"]
        assert problem(ask(), 409, "request_in_progress")
        let_go.set()
        deadline = time.monotonic() + 30
        while (answer := ask()).status_code != 201:
            assert time.monotonic() < deadline, answer.text
    assert answer.headers["idempotency-replayed"] == "true"
    assert len(answer.json()["runs"]) == 2


def test_a_draft_that_is_missing_or_wrong_is_refused(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    made = client.post("/api/v1/clones", json={"name": "Empty"}, headers=me | KEY).json()
    path = f"/api/v1/clones/{made['id']}/dry-runs"
    problem(client.post(path, json={}, headers=me | KEY), 404, "not_found")
    problem(client.post(path, json={"graph": {"version": 2}}, headers=me | KEY), 422, "graph_invalid")
