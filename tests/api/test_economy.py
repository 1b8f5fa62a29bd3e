"""Buying over HTTP: quotes, deposits, tickets with what they may pay, settlement, and what is owed (09 §6.3)."""

from collections.abc import Callable
from typing import Any

import pytest

from clash_pipeline.settings import Settings
from tests.fakes.api_client import problem
from tests.fakes.stocked_arena import CHAIN, ON_SALE, StockedArena

QUOTE = {"purpose": "audition", "capacityTier": "pro", "modelTier": 3}


@pytest.fixture(scope="module")
def house(arena_copy: Callable[[], Settings]) -> StockedArena:
    """One system; each test uses a clone, a key or a race of its own."""
    return StockedArena(arena_copy())


def read(house: StockedArena, path: str) -> Any:
    answer = house.api.client.get(f"/api/v1/{path}", headers=house.bearer())
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(house: StockedArena, path: str, body: Any, *, key: str, headers: dict[str, str] | None = None) -> Any:
    sent = {"idempotency-key": f"economy-{key:-<16}", **(headers or house.bearer())}
    return house.api.client.post(f"/api/v1/{path}", json=body, headers=sent)


def test_a_price_is_that_of_its_cell_and_a_repeat_is_the_same_purchase(house: StockedArena) -> None:
    fees = {(fee["modelTier"], fee["capacityTier"]): fee["feeWei"] for fee in read(house, "prices")["fees"]}
    first, again = (post(house, "clones/1/quotes", QUOTE, key="cell") for _ in range(2))
    assert (first.status_code, first.json()["payment"]["amountWei"]) == (201, fees[3, "pro"]) == (201, "8" + "0" * 16)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert read(house, f"purchases/{first.json()['id']}")["moves"][0]["toState"] == "quoted"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("clones/1/quotes", QUOTE | {"modelTier": 4}, 422, "value"),
        ("clones/1/quotes", QUOTE | {"capacityTier": "elite"}, 422, "value"),
        ("clones/1/quotes", QUOTE | {"wallet": "0x" + "9" * 40}, 422, "quote_invalid"),
        ("clones/1/quotes", {"purpose": "retry"}, 422, "quote_invalid"),
        ("clones/2/quotes", QUOTE, 404, "not_found"),
        ("clones/3/quotes", QUOTE, 409, "already_bought"),
        ("races/3/tickets", {"cloneId": 4, "count": 0}, 422, "value"),
        ("races/3/tickets", {"cloneId": 4, "count": 1_000_000}, 422, "value"),
        ("races/3/tickets", {"cloneId": 3, "count": 1}, 404, "not_found"),
        ("races/1/tickets", {"cloneId": 4, "count": 1}, 409, "sales_closed"),
        ("races/9/tickets", {"cloneId": 1, "count": 1}, 404, "not_found"),
        ("purchases/1/deposit", {"txHash": "0x12"}, 422, "tx_hash_invalid"),
        ("purchases/3/deposit", {"txHash": "0x" + "a" * 64}, 404, "not_found"),
    ],
)
def test_what_cannot_be_bought_is_refused(house: StockedArena, path: str, body: Any, status: int, code: str) -> None:
    problem(post(house, path, body, key=code[:8]), status, code)


def test_a_deposit_that_is_named_stays_pending_until_the_chain_says_so(house: StockedArena) -> None:
    made = post(house, f"races/{ON_SALE}/tickets", {"cloneId": 5, "count": 3}, key="tickets").json()
    assert made["payment"]["amountWei"] == "30000000000000000"
    named = post(house, f"purchases/{made['id']}/deposit", {"txHash": "0x" + "AB" * 32}, key="deposit")
    assert (named.status_code, named.json()["state"], named.json()["txHash"]) == (202, "pending", "0x" + "ab" * 32)
    house.till.record(house.till.deposit(house.till.get(made["id"])), now_ms=house.clock.now_ms())
    assert read(house, f"purchases/{made['id']}")["state"] == "granted"
    bought = [ticket for ticket in read(house, "tickets")["items"] if ticket["purchaseId"] == made["id"]]
    assert [ticket["cloneId"] for ticket in bought] == [5, 5, 5]


def test_a_settlement_can_be_added_up_again(house: StockedArena) -> None:
    settled = read(house, "races/1/settlement")
    out = [int(paid["wei"]) for name in ("payouts", "royalties") for paid in settled[name]]
    assert sum(out) + int(settled["rakeWei"]) == int(settled["poolWei"]) == 5 * 10**16
    problem(house.api.client.get("/api/v1/races/2/settlement"), 404, "not_found")


def test_what_is_owed_is_seen_by_whom_it_is_owed_and_waits_while_nobody_can_sign(house: StockedArena) -> None:
    royalty, *payouts = read(house, "payables")["items"]
    assert (royalty["kind"], royalty["state"], royalty["amountWei"]) == ("royalty", "claimable", "1562500000000000")
    assert [owed["amountWei"] for owed in payouts] == ["6428571428571428"] * 2
    problem(post(house, f"payables/{royalty['id']}/authorisation", None, key="claim"), 409, "payout_paused")
    stranger = house.bearer(house.other)
    problem(
        post(house, f"payables/{royalty['id']}/authorisation", None, key="steal", headers=stranger), 404, "not_found"
    )


def test_nothing_is_sold_where_no_chain_is_set(house: StockedArena, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = house.services.settings.model_copy(update={"chain_urls": type(CHAIN["chain_urls"])("")})
    monkeypatch.setitem(house.services.__dict__, "settings", bare)
    assert read(house, "prices")["isOpen"] is False
    problem(post(house, "clones/1/quotes", QUOTE, key="bare"), 503, "payments_unavailable")
