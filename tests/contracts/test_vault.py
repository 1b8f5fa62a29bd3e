"""The vault on a real machine: deposits are verified by the product's own verifier, what was allowed is paid out, and
every mutated field is refused. The model that stands in for it elsewhere is held to the same."""

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from clash_pipeline.economy import signing
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import NATIVE, Withdrawal
from clash_pipeline.economy.chain.endpoints import wrong_of
from clash_pipeline.economy.chain.verification import (
    Mismatch,
    Settled,
    Terms,
    Verified,
    heads_of,
    judge,
    settle,
    sighted,
)
from clash_pipeline.economy.signing import AuthorisationRow, KeySigner
from tests.contracts import anvil, evm
from tests.contracts.networks import PEOPLE, START_SEC, Network, network_of
from tests.fakes.wallet import Account, Wallet

RESOLVER = Wallet(0x7E57)
ETH = 10**18
FOR_EVER = 2**40


def has_revm() -> bool:
    try:
        import pyrevm  # noqa: F401
    except ImportError:
        return False
    return True


KINDS = [
    "model",
    pytest.param("revm", marks=pytest.mark.skipif(not has_revm(), reason="pyrevm has no wheel for this Python")),
    pytest.param("anvil", marks=pytest.mark.skipif(anvil.program() is None, reason="no Node when this was set up")),
]


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    with network_of(request.param, RESOLVER.address) as made:
        yield made


def signed(network: Network, allowed: Withdrawal, wallet: Wallet = RESOLVER) -> bytes:
    return bytes(Account.unsafe_sign_hash(words.digest(network.vault, allowed), wallet.key).signature)


def holds(network: Network, person: str | None = None) -> int:
    endpoint = network.endpoints()[0]
    content = words.resolver_balance_of(person or network.vault.resolver, NATIVE)
    return endpoint.word(network.vault.address, content, endpoint.latest().hash)


def judged(network: Network, tx_hash: str, nonce: int, amount_wei: int) -> object:
    around = [(endpoint, heads_of(endpoint)) for endpoint in network.endpoints()]
    sights, troubles = sighted(around, network.vault, tx_hash)
    assert troubles == []
    settled = settle(network.vault, sights)
    assert isinstance(settled, Settled), settled
    return judge(settled, Terms(frozenset(PEOPLE), nonce, amount_wei, FOR_EVER * 1_000), network.vault)


def test_what_is_pinned_is_what_the_chain_answers(network: Network) -> None:
    for endpoint in network.endpoints():
        assert wrong_of(endpoint, network.vault) is None
        assert wrong_of(endpoint, replace(network.vault, chain_id=1)) is not None
        assert wrong_of(endpoint, replace(network.vault, code_hash="0x" + "00" * 32)) is not None
        assert wrong_of(endpoint, replace(network.vault, address="0x" + "99" * 20)) is not None
        assert wrong_of(endpoint, replace(network.vault, native="0x" + "99" * 20)) is not None


def test_a_deposit_is_verified_to_the_wei_and_a_nonce_is_used_once(network: Network) -> None:
    receipt = network.deposit(PEOPLE[0], 77, ETH)
    found = judged(network, receipt.tx_hash, 77, ETH)
    assert isinstance(found, Verified)
    assert (found.found.event.party, found.found.event.amount_wei) == (PEOPLE[0], ETH)
    assert isinstance(judged(network, receipt.tx_hash, 77, ETH + 1), Mismatch)
    assert not network.deposit(PEOPLE[0], 77, ETH).is_success
    assert network.deposit(PEOPLE[1], 77, ETH).is_success
    assert not network.deposit(PEOPLE[1], 78, 0).is_success
    assert holds(network) == 2 * ETH


def test_what_was_allowed_is_paid_once_and_every_mutated_field_is_refused(network: Network) -> None:
    network.deposit(PEOPLE[0], 1, 5 * ETH)
    network.send(PEOPLE[1], words.deposit(PEOPLE[1], 2), 5 * ETH)
    allowed = Withdrawal(PEOPLE[2], NATIVE, 2 * ETH, 9, FOR_EVER)
    signature = signed(network, allowed)
    for mutated in (
        replace(allowed, recipient=PEOPLE[3]),
        replace(allowed, asset=PEOPLE[3]),
        replace(allowed, amount_wei=2 * ETH + 1),
        replace(allowed, amount_wei=2 * ETH - 1),
        replace(allowed, nonce=10),
        replace(allowed, deadline=FOR_EVER + 1),
    ):
        assert not network.withdraw(mutated, signature).is_success, mutated
    assert not network.withdraw(allowed, signature, resolver=PEOPLE[1]).is_success
    assert not network.withdraw(allowed, signed(network, allowed, Wallet(2))).is_success
    for other in (replace(network.vault, chain_id=1), replace(network.vault, address=PEOPLE[3])):
        foreign = bytes(Account.unsafe_sign_hash(words.digest(other, allowed), RESOLVER.key).signature)
        assert not network.withdraw(allowed, foreign).is_success
    assert not network.withdraw(allowed, malleable(signature)).is_success
    assert not network.withdraw(allowed, signature[:-1]).is_success
    assert holds(network) == 5 * ETH

    paid = network.withdraw(allowed, signature)
    assert paid.is_success
    assert [words.event(log).party for log in paid.logs] == [PEOPLE[2]]
    assert holds(network) == 3 * ETH
    assert not network.withdraw(allowed, signature).is_success
    assert not network.withdraw(*both(network, replace(allowed, amount_wei=4 * ETH, nonce=11))).is_success
    assert not network.withdraw(*both(network, replace(allowed, deadline=START_SEC - 1, nonce=12))).is_success
    renewed = replace(allowed, deadline=FOR_EVER + 60)
    assert not network.withdraw(*both(network, renewed)).is_success, "the same nonce never pays twice"
    assert holds(network) == 3 * ETH


def test_a_hundred_authorised_withdrawals_are_accepted_and_no_mutation_of_one(network: Network) -> None:
    """M6: signed as the product signs; before each one with a field changed, and afterwards some a second time."""
    network.deposit(PEOPLE[0], 1, 200 * ETH)
    chance, signer = random.Random(6), KeySigner(SecretStr("0x" + RESOLVER.key.hex()))
    asked = [drawn(chance, number) for number in range(100)]
    given = [authorised(network, signer, allowed) for allowed in asked]
    honest = [words.withdraw(RESOLVER.address, *each) for each in zip(asked, given, strict=True)]
    wrong = [mutated(number, *each) for number, each in enumerate(zip(asked, given, strict=True))]
    receipts = network.send_all(content for pair in zip(wrong, honest, strict=True) for content in pair)
    assert [receipt.is_success for receipt in receipts] == [False, True] * 100
    events = [words.event(log) for receipt in receipts for log in receipt.logs]
    assert [(event.party, event.amount_wei) for event in events] == [(one.recipient, one.amount_wei) for one in asked]
    assert holds(network) == 200 * ETH - sum(one.amount_wei for one in asked)
    assert not any(receipt.is_success for receipt in network.send_all(honest[:10]))


def drawn(chance: random.Random, number: int) -> Withdrawal:
    recipient = f"0x{chance.randrange(2**160):040x}"
    return Withdrawal(recipient, NATIVE, chance.randrange(1, ETH), chance.randrange(2**63), FOR_EVER + number)


def authorised(network: Network, signer: KeySigner, allowed: Withdrawal) -> bytes:
    row = AuthorisationRow(network.vault, allowed, "0x" + words.digest(network.vault, allowed).hex())
    signature = signing.signed(signer, row)
    assert signing.signed(signer, row) == signature
    return signature


def mutated(number: int, allowed: Withdrawal, signature: bytes) -> bytes:
    """The same call with one field changed, each kind in its turn."""
    other = PEOPLE[number % len(PEOPLE)]
    changes: list[dict[str, Any]] = [
        {"recipient": other}, {"asset": other}, {"amount_wei": allowed.amount_wei + 1}, {"nonce": allowed.nonce ^ 1},
        {"deadline": allowed.deadline + 1}, {},
    ]  # fmt: skip
    change = changes[number % len(changes)]
    return words.withdraw(RESOLVER.address if change else other, replace(allowed, **change), signature)


def both(network: Network, allowed: Withdrawal) -> tuple[Withdrawal, bytes]:
    return allowed, signed(network, allowed)


def malleable(signature: bytes) -> bytes:
    """The other signature that recovers to the same address."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(signature[32:64])
    return signature[:32] + high.to_bytes(32) + bytes([55 - signature[64]])


def test_the_bytecode_is_what_the_source_compiles_to() -> None:
    """The source is the one that was compiled, said by its digest; where the compiler is, it says the bytes again."""
    shipped, source = evm.artifact(), (evm.HERE / "SignedVault.sol").read_bytes()
    assert shipped["source"] == hashlib.sha256(source).hexdigest(), "compile it again"
    assert recompiled() in (None, shipped)


def recompiled() -> object:
    """What the compiler makes of the source now; None where set-up found no Node and installed none."""
    node = shutil.which("node")
    if node is None or not (anvil.NODE / "node_modules" / "solc").is_dir():
        return None
    done = subprocess.run([node, str(evm.HERE / "compile.mjs"), str(anvil.NODE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
