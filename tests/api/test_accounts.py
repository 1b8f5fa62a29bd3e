"""Prop accounts over HTTP: what their owner reads, and what operators do to them."""

from typing import Any

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.prop.marks import mark
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import one
from tests.fakes import market_rows
from tests.fakes.api_client import problem
from tests.fakes.stocked_api import StockedApi

KEY = {"idempotency-key": "accounts-000000001"}


@pytest.fixture
def house(stocked: Settings) -> StockedApi:
    """A system in which account 1 holds two positions and account 2 has ended."""
    return StockedApi(stocked)


def read(house: StockedApi, path: str, **query: Any) -> Any:
    """What the owner of clone 1 gets."""
    answer = house.api.client.get(f"/api/v1/{path}", params=query, headers=house.bearer())
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_account_adds_up(house: StockedApi) -> None:
    """100,000 less two fees of 8.99999856 and 8.9982 is the balance; equity is that and the unrealized part."""
    account = read(house, "accounts/1")
    assert (account["startBalanceUsd"], account["balanceUsd"], account["feesUsd"]) == (
        "100000", "99982.0018036", "17.9981964",
    )  # fmt: skip
    assert (account["equityUsd"], account["unrealizedUsd"], account["returnPct"]) == (
        "99966.0098036", "-15.992", "-0.033991",
    )  # fmt: skip
    assert (account["room"]["positions"], account["room"]["ordersThisHour"], account["halted"]) == (8, 58, None)
    positions = read(house, "accounts/1/positions")["items"]
    assert [(held["symbol"], held["side"], held["entryPrice"], held["markPrice"]) for held in positions] == [
        ("BTC", "long", "100.04", "100"),
        ("ETH", "long", "100.04", "100"),
    ]


def test_orders_fills_and_ledger_tell_one_story_in_pages(house: StockedApi) -> None:
    orders = read(house, "accounts/1/orders")["items"]
    fills = read(house, "accounts/1/fills")["items"]
    ledger = read(house, "accounts/1/ledger")["items"]
    assert [order["fillId"] for order in orders] == [fill["id"] for fill in fills]
    assert [order["runId"] for order in orders] == [fill["runId"] for fill in fills] == [2, 1]
    assert [order["size"] for order in orders] == [fill["size"] for fill in fills]
    booked = {group["refId"]: group["lines"] for group in ledger if group["refType"] == "fill"}
    assert {fill["id"]: f"-{fill['feeUsd']}" for fill in fills} == {
        fill: line["amountUsd"] for fill, (line,) in booked.items()
    }
    for what in ("orders", "fills", "ledger"):
        first = read(house, f"accounts/1/{what}", limit=1)
        rest = read(house, f"accounts/1/{what}", cursor=first["nextCursor"])
        assert first["items"] + rest["items"] == read(house, f"accounts/1/{what}")["items"]


def test_the_equity_series_is_read_backwards_in_pages(house: StockedApi) -> None:
    for minute in range(1, 4):
        house.clock.advance(MINUTE_MS)
        for symbol in ("BTC", "ETH"):
            market_rows.context(house.services.market, symbol, house.clock.now_ms(), mark=str(100 + minute))
        mark(house.services.clash, house.services.market, 1, house.clock.now_ms())
    newest = read(house, "accounts/1/snapshots", limit=2)
    older = read(house, "accounts/1/snapshots", limit=2, cursor=newest["nextCursor"])
    assert [point["t"][11:16] for point in older["items"] + newest["items"]] == ["09:20", "09:21", "09:22", "09:23"]
    assert older["nextCursor"] is None
    assert newest["items"][-1]["equityUsd"] == read(house, "accounts/1")["equityUsd"]


def test_a_sandbox_is_opened_once(house: StockedApi) -> None:
    client, me = house.api.client, house.bearer()
    made = client.post("/api/v1/clones/1/accounts", headers=me | KEY)
    assert (made.status_code, made.json()["id"]) == (201, 1)
    other = house.bearer(house.other)
    fresh = client.post("/api/v1/clones/2/accounts", headers=other | KEY)
    assert (fresh.status_code, fresh.json()["id"], fresh.json()["state"]) == (201, 3, "active")
    listed = client.get("/api/v1/clones/2/accounts", headers=other).json()["items"]
    assert [(account["id"], account["state"]) for account in listed] == [(3, "active"), (2, "completed")]


def test_a_result_is_there_when_the_account_has_ended(house: StockedApi) -> None:
    client = house.api.client
    problem(client.get("/api/v1/accounts/1/result", headers=house.bearer()), 404, "not_found")
    result = client.get("/api/v1/accounts/2/result", headers=house.bearer(house.other)).json()
    assert (result["state"], result["reason"], result["finalEquityUsd"], result["pnlUsd"]) == (
        "completed", "admin: a test", "100000", "0",
    )  # fmt: skip
    with house.services.clash.read() as connection:
        assert result["hash"] == one(connection, "SELECT hash FROM prop_results WHERE account_id = 2")


# operators


def act(house: StockedApi, headers: dict[str, str], account: int, name: str) -> Any:
    """One act on an account."""
    body = {"act": name, "reason": "for a test"}
    return house.api.client.post(f"/api/v1/operator/accounts/{account}/acts", json=body, headers=headers)


def test_an_operators_acts_are_kept_with_who_and_why(house: StockedApi) -> None:
    operator = house.service("accounts")
    states = [act(house, operator, 1, name).json()["state"] for name in ("pause", "pause", "lock", "unlock", "resume")]
    assert states == ["paused", "paused", "locked", "paused", "active"]
    halted = act(house, operator, 1, "halt").json()["halted"]
    assert halted == "this account: for a test"
    assert act(house, operator, 1, "release").json()["halted"] is None
    problem(act(house, operator, 2, "pause"), 409, "state_conflict")
    acts = house.api.client.get("/api/v1/operator/acts?limit=3", headers=operator).json()["items"]
    assert [(each["act"], each["outcome"], each["actor"]) for each in acts] == [
        ("pause", "refused", "service:accounts"),
        ("release", "done", "service:accounts"),
        ("halt", "done", "service:accounts"),
    ]


def test_ending_an_account_closes_everything_for_good(house: StockedApi) -> None:
    operator = house.service("accounts")
    assert act(house, operator, 1, "liquidate").json()["state"] == "liquidated"
    assert act(house, operator, 1, "liquidate").json()["state"] == "liquidated"
    problem(act(house, operator, 1, "complete"), 409, "state_conflict")
    assert read(house, "accounts/1/positions")["items"] == []
    assert read(house, "accounts/1/result")["fills"] == 4


def test_the_switch_of_all_accounts(house: StockedApi) -> None:
    operator = house.service("accounts")

    def switch(name: str) -> Any:
        body = {"act": name, "reason": "the venue is down"}
        return house.api.client.post("/api/v1/operator/acts", json=body, headers=operator).json()

    assert switch("halt") == {"isHalted": True, "hasChanged": True}
    assert switch("halt") == {"isHalted": True, "hasChanged": False}
    assert read(house, "accounts/1")["halted"] == "all accounts: the venue is down"
    assert switch("release") == {"isHalted": False, "hasChanged": True}


def test_an_act_needs_a_reason_and_an_account(house: StockedApi) -> None:
    operator = house.service("accounts")
    body = {"act": "pause", "reason": ""}
    problem(house.api.client.post("/api/v1/operator/accounts/1/acts", json=body, headers=operator), 422, "value")
    problem(act(house, operator, 999, "pause"), 404, "not_found")
    problem(act(house, operator, 1, "give_money"), 422, "value")
