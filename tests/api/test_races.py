"""Races over HTTP: what everybody sees while one is live and after it, and what operators do to one (11, 10)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from clash_pipeline.settings import Settings
from tests.fakes.api_client import problem
from tests.fakes.stocked_arena import LIVE, ON_SALE, SETTLED, StockedArena


@pytest.fixture(scope="module")
def house(arena_copy: Callable[[], Settings]) -> StockedArena:
    """One system; only race 3 is changed."""
    return StockedArena(arena_copy())


def read(house: StockedArena, path: str, headers: dict[str, str] | None = None) -> Any:
    answer = house.api.client.get(f"/api/v1/{path}", headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_one_race_is_over_one_live_and_one_on_sale(house: StockedArena) -> None:
    assert [(race["id"], race["state"]) for race in read(house, "races")["items"]] == [
        (ON_SALE, "accumulating"), (LIVE, "live"), (SETTLED, "settled"),
    ]  # fmt: skip
    first = read(house, "races?limit=1")
    assert [race["id"] for race in read(house, f"races?limit=1&cursor={first['nextCursor']}")["items"]] == [LIVE]
    assert [move["state"] for move in read(house, f"races/{LIVE}")["moves"]] == ["accumulating", "launching", "live"]


def test_a_live_race_shows_rank_and_equity_and_nothing_else(house: StockedArena) -> None:
    shown = read(house, f"races/{LIVE}/standings")
    leader = shown["items"][0]
    assert leader.keys() == {
        "rank", "cloneId", "name", "equityUsd", "returnPct", "isLiquidated", "finishedAs", "markedAt",
    }  # fmt: skip
    assert [one["rank"] for one in shown["items"]] == [1, 2, 3, 4, 5]
    assert leader["cloneId"] == house.racer  # short, and the price fell
    assert {one["finishedAs"] for one in shown["items"]} == {None}


def test_a_settled_race_shows_its_order_of_finish_its_curves_and_its_payouts(house: StockedArena) -> None:
    final = read(house, f"races/{SETTLED}/standings")["items"]
    assert [one["cloneId"] for one in final][:2] == [house.racer, house.house[0]]
    assert [one["finishedAs"] for one in final] == ["active", "active", "inactive", "inactive", "inactive"]
    curves = {path["cloneId"]: path["points"] for path in read(house, f"races/{SETTLED}/equity")["items"]}
    assert curves[house.racer][-1]["equityUsd"] == final[0]["equityUsd"]
    rows = read(house, f"races/{SETTLED}/payouts?limit=200")["items"]
    settled = read(house, f"races/{SETTLED}/settlement")
    owed = sum(int(row["amountWei"]) for row in rows)
    kept = sum(int(royalty["wei"]) for royalty in settled["royalties"] if royalty["creator"] == "house")
    assert kept > 0  # the house takes the royalties of its own clones without a row
    assert owed + kept + int(settled["rakeWei"]) == int(settled["poolWei"])


def test_what_a_clone_did_is_shown_after_the_settlement_only(house: StockedArena) -> None:
    path = f"races/{SETTLED}/clones/{house.racer}/fills"
    last, first = read(house, path)["items"]
    assert (first["action"], first["side"], first["positionSize"]) == ("open_long", "buy", first["size"])
    assert (last["side"], last["size"], last["positionSize"]) == ("sell", first["size"], "0")
    assert [read(house, f"{path}?limit=1")["items"], len(read(house, f"{path}?limit=1")["nextCursor"]) > 0] == [
        [last],
        True,
    ]
    for race_id in (LIVE, ON_SALE):
        live = house.api.client.get(f"/api/v1/races/{race_id}/clones/{house.racer}/fills")
        assert "follow after the settlement" in problem(live, 409, "state_conflict")["detail"]
    problem(house.api.client.get(f"/api/v1/races/{SETTLED}/clones/{house.candidate}/fills"), 404, "not_found")


def test_standings_come_as_events(house: StockedArena) -> None:
    with house.api.client.stream(
        "GET", f"/api/v1/live/races/{LIVE}/standings", headers={"accept": "text/event-stream"}
    ) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith(("event", "data"))]
    assert lines[0] == "event: standings"
    assert json.loads(lines[1].removeprefix("data: "))["raceId"] == LIVE
    assert len(lines) == 2  # once, because nothing changed
    problem(house.api.client.get("/api/v1/live/races/99/standings"), 404, "not_found")


def test_an_operator_takes_a_clone_out_of_a_field_once(house: StockedArena) -> None:
    act = {"act": "remove", "cloneId": house.house[3], "reason": "leaked"}
    path, headers = f"/api/v1/operator/races/{ON_SALE}/acts", house.service("arena")
    answers = [house.api.client.post(path, json=act, headers=headers) for _ in range(2)]
    assert [answer.json()["hasChanged"] for answer in answers] == [True, False]
    assert house.house[3] not in {offer["cloneId"] for offer in read(house, f"races/{ON_SALE}/offers")["items"]}
    bare = house.api.client.post(path, json={"act": "remove", "reason": "x"}, headers=headers)
    assert problem(bare, 422, "missing")["pointer"] == "/cloneId"


def test_a_flag_is_judged_once(house: StockedArena) -> None:
    headers = house.service("arena", "economy")
    (flag,) = read(house, "operator/arena/flags", headers)["items"]
    assert flag["correlation"] == "0.9812"
    said = [
        house.api.client.post(
            f"/api/v1/operator/arena/flags/{flag['id']}/verdict", json={"verdict": verdict}, headers=headers
        ).json()["verdict"]
        for verdict in ("Both are ours.", "Another opinion.")
    ]
    assert said == ["Both are ours."] * 2
