"""The routes of sign-in, as a browser would use them, and what they refuse (09 §6.2)."""

import pytest

from clash_pipeline.clock import MINUTE_MS
from tests.fakes.api_client import Api, problem
from tests.fakes.wallet import Wallet

ME = Wallet(1)


def test_a_wallet_signs_in_asks_who_it_is_and_leaves(api: Api) -> None:
    session = api.sign_in(ME)
    headers = {"authorization": f"Bearer {session['accessToken']}"}

    me = api.client.get("/api/v1/auth/me", headers=headers)
    assert me.json() == {"userId": session["userId"], "address": session["address"]}
    assert session["accessExpiresAt"] == "2026-03-12T09:30:00Z"

    assert api.client.post("/api/v1/auth/logout", headers=headers).status_code == 204
    problem(api.client.get("/api/v1/auth/me", headers=headers), 401, "unauthorised")
    problem(
        api.client.post("/api/v1/auth/refresh", json={"refreshToken": session["refreshToken"]}), 401, "unauthorised"
    )


def test_a_refresh_gives_a_new_pair_and_a_reuse_ends_it(api: Api) -> None:
    first = api.sign_in(ME)
    second = api.client.post("/api/v1/auth/refresh", json={"refreshToken": first["refreshToken"]}).json()
    api.wall.advance(MINUTE_MS)

    problem(api.client.post("/api/v1/auth/refresh", json={"refreshToken": first["refreshToken"]}), 401, "unauthorised")
    problem(api.client.post("/api/v1/auth/refresh", json={"refreshToken": second["refreshToken"]}), 401, "unauthorised")


@pytest.mark.parametrize("chain", [1, 31_337, 2**63 - 1])
def test_another_chain_is_refused(api: Api, chain: int) -> None:
    answer = api.client.post("/api/v1/auth/challenge", json={"address": ME.address, "chainId": chain})
    assert problem(answer, 422, "chain_not_allowed")["pointer"] == "/chainId"


@pytest.mark.parametrize("chain", ["4326", 4326.5, 4326.0, True, None, [4326]])
def test_a_chain_that_is_no_integer_is_refused(api: Api, chain: object) -> None:
    answer = api.client.post("/api/v1/auth/challenge", json={"address": ME.address, "chainId": chain})
    assert problem(answer, 422, "type")["pointer"] == "/chainId"


@pytest.mark.parametrize("chain", [-1, 0, 2**64])
def test_a_chain_out_of_range_is_refused(api: Api, chain: int) -> None:
    answer = api.client.post("/api/v1/auth/challenge", json={"address": ME.address, "chainId": chain})
    assert problem(answer, 422, "value")["pointer"] == "/chainId"


@pytest.mark.parametrize(
    "address", ["", "0x12", "vitalik.eth", "0x" + "0" * 40, "0x7e5F4552091A69125d5DfCb7b8C2659029395Bdf"]
)
def test_a_bad_address_is_refused(api: Api, address: str) -> None:
    answer = api.client.post("/api/v1/auth/challenge", json={"address": address, "chainId": 4326})
    problem(answer, 422, "address_invalid")


@pytest.mark.parametrize(
    ("field", "value"), [("domain", "evil.example"), ("uri", "https://evil.example"), ("statement", "Give me all")]
)
def test_a_foreign_site_is_refused(api: Api, field: str, value: str) -> None:
    body = {"address": ME.address, "chainId": 4326, field: value}
    problem(api.client.post("/api/v1/auth/challenge", json=body), 422, f"{field}_foreign")


def test_our_own_site_may_be_repeated(api: Api) -> None:
    body = {"address": ME.address, "chainId": 4326, "domain": "127.0.0.1:8787", "uri": "http://127.0.0.1:8787/"}
    assert api.client.post("/api/v1/auth/challenge", json=body).status_code == 200


def test_a_bad_signature_and_an_unknown_message_are_told_apart(api: Api) -> None:
    message = api.client.post("/api/v1/auth/challenge", json={"address": ME.address, "chainId": 4326}).json()["message"]

    wrong = {"message": message, "signature": Wallet(2).sign(message)}
    problem(api.client.post("/api/v1/auth/verify", json=wrong), 401, "signature_invalid")
    changed = {"message": message + " ", "signature": ME.sign(message + " ")}
    problem(api.client.post("/api/v1/auth/verify", json=changed), 401, "challenge_unknown")


@pytest.mark.parametrize(
    "header",
    [
        "", "Bearer", "Bearer ", "Bearer x", "Basic abc", "bearer\tx", "Bearer " + "a" * 5_000, "Bearer é",
        "Bearer eyJhbGciOiJub25lIn0.eyJzaWQiOiIwIn0.",
    ],
)  # fmt: skip
def test_every_bad_token_gets_the_same_answer(api: Api, header: str) -> None:
    answer = api.client.get("/api/v1/auth/me", headers={"authorization": header.encode()})
    told = problem(answer, 401, "unauthorised")
    none = problem(api.client.get("/api/v1/auth/me"), 401, "unauthorised")
    assert {**told, "requestId": ""} == {**none, "requestId": ""}
