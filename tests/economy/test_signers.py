"""Signers of payouts: a key in this process, or a service that keeps it, behind one contract (09 §4.8)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import NATIVE, Vault, Withdrawal
from clash_pipeline.economy.chain.remote_signer import RemoteSigner
from clash_pipeline.economy.chain.signatures import recovered
from clash_pipeline.economy.payouts import PayoutPaused
from clash_pipeline.economy.signing import AuthorisationRow, KeySigner, Signer, signed, signer_from
from clash_pipeline.settings import SettingsError, load
from tests.contracts import anvil
from tests.fakes.chained import ETH, RESOLVER, Chained
from tests.fakes.signer_service import signing_service
from tests.fakes.till import wallet

CANARY = "canary-91b2"


def remote(url: str, address: str = RESOLVER.address) -> RemoteSigner:
    return RemoteSigner(address, SecretStr(f"{url}/?key={CANARY}"), "eth_signTypedData_v4", timeout_sec=5)


@contextmanager
def of_key() -> Iterator[Signer]:
    yield KeySigner(SecretStr("0x" + RESOLVER.key.hex()))


@contextmanager
def of_service() -> Iterator[Signer]:
    with signing_service(RESOLVER) as url:
        yield remote(url)


@contextmanager
def of_anvil() -> Iterator[Signer]:
    """A development chain keeps the keys of its accounts, and signs for them."""
    with anvil.running(timestamp=1_753_100_000) as url:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_accounts", "params": []}
        yield remote(url, httpx.post(url, json=asked).json()["result"][0].lower())


SIGNERS = {"key": of_key, "service": of_service} | ({"anvil": of_anvil} if anvil.program() else {})


@pytest.fixture(params=SIGNERS.values(), ids=SIGNERS)
def signer(request: pytest.FixtureRequest) -> Iterator[Signer]:
    kind: Callable[[], contextmanager[Signer]] = request.param
    with kind() as made:
        yield made


def row_of(vault: Vault, amount_wei: int, nonce: int) -> AuthorisationRow:
    allowed = Withdrawal(wallet(7), NATIVE, amount_wei, nonce, 2_000_000_000)
    return AuthorisationRow(vault, allowed, "0x" + words.digest(vault, allowed).hex())


@pytest.mark.parametrize(("amount_wei", "nonce"), [(1, 0), (10**18 + 1, 2**53 + 1), (2**255 + 3, 2**256 - 1)])
def test_what_is_signed_is_the_row_to_the_last_bit(
    chained: Chained, signer: Signer, amount_wei: int, nonce: int
) -> None:
    row = row_of(replace(chained.vault, resolver=signer.address), amount_wei, nonce)
    made = signed(signer, row)
    assert recovered(bytes.fromhex(row.digest[2:]), made) == signer.address
    assert signed(signer, row) == made, "a repeat after a crash gives the same bytes"


def test_nothing_of_a_signer_is_shown(signer: Signer) -> None:
    said = f"{signer!r} {signer}"
    assert signer.address in said
    assert CANARY not in said
    assert RESOLVER.key.hex() not in said


@pytest.mark.parametrize(
    ("mode", "cause", "said"),
    [
        ("busy", "signer_silent", "signer: answered 503"),
        ("refusing", "signer_silent", "signer: eth_signTypedData_v4: error -32000"),
        ("garbled", "signer_broken", "no signature"),
        ("honest", "signer_broken", "the resolver is"),
    ],
)
def test_a_signer_that_fails_holds_the_payout_back_and_somebody_is_told(
    chained: Chained, mode: str, cause: str, said: str
) -> None:
    payable = owed(chained)
    another = replace(RESOLVER, number=RESOLVER.number + 1)
    with (
        signing_service(another if mode == "honest" else RESOLVER, mode) as url,
        pytest.raises(PayoutPaused, match=said) as caught,
    ):
        chained.authorise(payable, signer=remote(url))
    assert CANARY not in str(caught.value)
    assert chained.incidents() == [("payout_paused", cause)]
    assert chained.owed()[0].state == "claimable"
    given = chained.authorise(payable)
    assert given.allowed.amount_wei == ETH, "what was prepared is signed later"


def test_a_signer_that_is_not_there_holds_the_payout_back(chained: Chained) -> None:
    with pytest.raises(PayoutPaused, match="signer: ConnectError"):
        chained.authorise(owed(chained), signer=remote("http://127.0.0.1:1"))


def owed(chained: Chained) -> int:
    chained.chain.deposit(wallet(50), chained.vault.resolver, 900_001, ETH)
    chained.settle_in()
    return chained.owed()[0].id


def test_the_settings_name_one_signer() -> None:
    url, key = {"CLASH_PAYOUT_SIGNER_URL": f"http://127.0.0.1:1/{CANARY}"}, "0x" + RESOLVER.key.hex()
    made = signer_from(load({**url, "CLASH_CHAIN_RESOLVER": RESOLVER.address}))
    assert isinstance(made, RemoteSigner)
    assert made.address == RESOLVER.address
    with pytest.raises(SettingsError, match="exclude each other"):
        load({**url, "CLASH_PAYOUT_KEY": key})
    with pytest.raises(SettingsError, match="must be http://HOST or https://HOST"):
        load({"CLASH_PAYOUT_SIGNER_URL": f"{CANARY}"})
    assert CANARY not in repr(load(url))
