"""Clones, drafts and versions as their owner meets them over HTTP."""

from typing import Any

import pytest

from clash_pipeline.clones import entitlements, holds
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.settings import Settings
from tests.fakes.api_client import T0, problem
from tests.fakes.stocked_api import StockedApi

KEY = {"idempotency-key": "clones-0000000001"}
GRAPH = simple_graph(("BTC", "ETH"), prompt="Calmly.").wire()


@pytest.fixture
def house(stocked: Settings) -> StockedApi:
    """A system in which clone 1 trades."""
    return StockedApi(stocked)


@pytest.fixture
def me(house: StockedApi) -> dict[str, str]:
    """The owner of clone 1."""
    return house.bearer()


def created(house: StockedApi, me: dict[str, str], **body: Any) -> dict[str, Any]:
    """A new clone."""
    answer = house.api.client.post("/api/v1/clones", json={"name": "New"} | body, headers=me | KEY)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_new_clone_is_empty_and_its_repeat_is_the_same(house: StockedApi, me: dict[str, str]) -> None:
    first = created(house, me)
    assert (first["productState"], first["hasDraft"], first["version"]) == ("setup_required", False, None)
    again = house.api.client.post("/api/v1/clones", json={"name": "New"}, headers=me | KEY)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first, "true")
    assert len(house.api.client.get("/api/v1/clones", headers=me).json()["items"]) == 2


def test_a_clone_with_a_graph_trades_at_once_or_is_not_there(house: StockedApi, me: dict[str, str]) -> None:
    wrong = simple_graph(("BTC", "NOPE")).wire()
    refused = house.api.client.post("/api/v1/clones", json={"name": "New", "graph": wrong}, headers=me | KEY)
    assert problem(refused, 422, "graph_invalid")["problems"][0]["code"] == "symbol_unknown"
    assert len(house.api.client.get("/api/v1/clones", headers=me).json()["items"]) == 1
    made = created(house, me, graph=GRAPH)
    assert (made["isTrading"], made["version"], made["productState"]) == (True, 1, "configured")
    accounts = house.api.client.get(f"/api/v1/clones/{made['id']}/accounts", headers=me).json()["items"]
    assert [(account["kind"], account["state"]) for account in accounts] == [("sandbox", "active")]


def test_the_list_comes_in_pages(house: StockedApi, me: dict[str, str]) -> None:
    for number in range(4):
        key = {"idempotency-key": f"clones-page-{number:08}"}
        house.api.client.post("/api/v1/clones", json={"name": f"Clone {number}"}, headers=me | key)
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = house.api.client.get("/api/v1/clones", params=query, headers=me).json()
        seen += [clone["name"] for clone in page["items"]]
        if (cursor := page["nextCursor"]) is None:
            break
    assert seen[1:] == ["Clone 0", "Clone 1", "Clone 2", "Clone 3"]
    problem(house.api.client.get("/api/v1/clones?cursor=abc", headers=me), 422, "cursor_invalid")


def test_a_change_is_made_whole_or_not_at_all(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    answer = client.patch("/api/v1/clones/1", json={"name": "Renamed", "modelTier": 3}, headers=me)
    assert "tier" in problem(answer, 409, "tier_exceeded")["detail"]
    assert client.get("/api/v1/clones/1", headers=me).json()["name"] != "Renamed"
    with house.services.clash.write() as connection:
        entitlements.grant(connection, 1, "pro", 3, source="debug", ref="test", now_ms=T0)
    changed = client.patch("/api/v1/clones/1", json={"name": "Renamed", "modelTier": 3}, headers=me).json()
    assert (changed["name"], changed["modelTier"], changed["entitlement"]["isMock"]) == ("Renamed", 3, True)
    grants = client.get("/api/v1/clones/1/entitlement", headers=me).json()["grants"]
    assert [(grant["source"], grant["capacityTier"], grant["isLive"]) for grant in grants] == [("debug", "pro", True)]


@pytest.mark.parametrize("body", [{}, {"name": None}, {"isTrading": None}])
def test_a_change_of_nothing_is_refused(house: StockedApi, me: dict[str, str], body: dict[str, Any]) -> None:
    problem(house.api.client.patch("/api/v1/clones/1", json=body, headers=me), 422, "value")


def test_a_taken_name_and_a_hold_are_conflicts(house: StockedApi, me: dict[str, str]) -> None:
    created(house, me)
    answer = house.api.client.patch("/api/v1/clones/1", json={"name": "New"}, headers=me)
    assert "New" not in problem(answer, 409, "name_taken")["detail"]
    with house.services.clash.write() as connection:
        holds.place(connection, 1, "audition", "7", now_ms=T0)
    problem(house.api.client.patch("/api/v1/clones/1", json={"isTrading": False}, headers=me), 409, "clone_held")
    held = house.api.client.get("/api/v1/clones/1", headers=me).json()["holds"]
    assert held == [{"reason": "audition", "ref": "7", "since": "2026-03-12T09:20:00Z"}]


def test_a_draft_is_saved_over_the_version_that_was_read(house: StockedApi, me: dict[str, str]) -> None:
    client, clone_id = house.api.client, created(house, me)["id"]
    path = f"/api/v1/clones/{clone_id}/draft"
    empty = client.get(path, headers=me)
    assert (empty.json()["graph"], empty.headers["etag"]) == (None, '"none"')
    problem(client.put(path, json=GRAPH, headers=me), 428, "if_match_required")
    saved = client.put(path, json=GRAPH, headers=me | {"if-match": '"none"'})
    assert (saved.json()["graph"], saved.json()["canPublish"]) == (GRAPH, True)
    stale = client.put(path, json=GRAPH, headers=me | {"if-match": '"none"'})
    problem(stale, 412, "stale")
    assert stale.headers["etag"] == saved.headers["etag"]
    assert client.get(path, headers=me | {"if-none-match": saved.headers["etag"]}).status_code == 304
    again = client.put(path, json=GRAPH, headers=me | {"if-match": saved.headers["etag"]})
    assert again.headers["etag"] == saved.headers["etag"]


def test_all_problems_come_at_once_and_the_draft_stays(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    before = client.get("/api/v1/clones/1/draft", headers=me)
    wrong = simple_graph(("BTC", "NOPE"), cadence_sec=300).wire()
    wrong["edges"].append({"id": "e1", "source": "prompt-1", "target": "assets-1"})
    answer = client.put("/api/v1/clones/1/draft", json=wrong, headers=me | {"if-match": "*"})
    found = problem(answer, 422, "graph_invalid")["problems"]
    assert {each["code"] for each in found} >= {"symbol_unknown", "duplicate_id"}
    assert all(each["pointer"].startswith("/") and each["message"] for each in found)
    assert client.get("/api/v1/clones/1/draft", headers=me).headers["etag"] == before.headers["etag"]
    said = client.post("/api/v1/clones/1/draft/validation", json=wrong, headers=me).json()
    assert (said["problems"], said["canSave"]) == (found, False), "in one form, whether refused or only asked"


def test_an_unfinished_draft_is_kept_and_not_published(house: StockedApi, me: dict[str, str]) -> None:
    client, clone_id = house.api.client, created(house, me)["id"]
    problem(client.post(f"/api/v1/clones/{clone_id}/versions", headers=me | KEY), 409, "no_draft")
    unfinished = {"version": 1, "nodes": GRAPH["nodes"][:1], "layout": {"nodes": {"stream-1": {"x": 0.5, "y": -3}}}}
    saved = client.put(f"/api/v1/clones/{clone_id}/draft", json=unfinished, headers=me | {"if-match": "*"}).json()
    assert (saved["canPublish"], saved["graph"]["layout"]) == (False, unfinished["layout"])
    assert all(each["isIncomplete"] for each in saved["problems"])
    problem(client.post(f"/api/v1/clones/{clone_id}/versions", headers=me | KEY), 422, "graph_invalid")


def test_publishing_twice_is_one_version(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    second = simple_graph(("BTC",), prompt="Other.").wire()
    client.put("/api/v1/clones/1/draft", json=second, headers=me | {"if-match": "*"})
    made = client.post("/api/v1/clones/1/versions", headers=me | KEY)
    same = client.post("/api/v1/clones/1/versions", headers=me | {"idempotency-key": "clones-another-key"})
    assert (made.status_code, made.json()["number"], same.json()["number"]) == (201, 2, 2)
    listed = client.get("/api/v1/clones/1/versions", headers=me).json()["items"]
    assert [(version["number"], version["isActive"]) for version in listed] == [(2, True), (1, False)]
    whole = client.get("/api/v1/clones/1/versions/2", headers=me).json()
    assert (whole["graph"], whole["symbols"], whole["branches"][0]["id"]) == (second, ["BTC"], "prompt-1")
    problem(client.get("/api/v1/clones/1/versions/3", headers=me), 404, "not_found")


def test_the_latest_data_of_a_block(house: StockedApi, me: dict[str, str]) -> None:
    client = house.api.client
    reads = client.get("/api/v1/clones/1/draft/latest?node=stream-1", headers=me).json()["reads"]
    wanted = ("BTC", "ohlcv", 60)
    candles = [read for read in reads if (read["symbol"], read["channel"], read["granularitySec"]) == wanted]
    assert [(read["newest"]["c"], read["newestAt"], read["problem"]) for read in candles] == [
        ("100", "2026-03-12T09:19:00Z", None)
    ]
    problem(client.get("/api/v1/clones/1/draft/latest?node=none", headers=me), 404, "not_found")
    same = client.post("/api/v1/memory/latest", json={"graph": GRAPH}, headers=me).json()["reads"]
    assert {read["symbol"] for read in same} == {"BTC", "ETH"}
