"""Payouts (M6): what is signed recovers, is taken once, and is never more than the vault holds; nobody sees the key."""

import copy
import faulthandler
import logging
import os
import pickle
import random
import resource
import signal
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from clash_pipeline import canonical, faults
from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.economy import payouts, switches
from clash_pipeline.economy.chain import contract as words
from clash_pipeline.economy.chain.contract import NATIVE, Withdrawal
from clash_pipeline.economy.chain.signatures import recovered
from clash_pipeline.economy.payouts import GATES, Limits, PayoutPaused
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown
from clash_pipeline.economy.signing import AuthorisationRow, KeySigner, SignerBroken, signed, signer_from
from clash_pipeline.faults import InjectedFault
from clash_pipeline.identity.siwe import CURVE_ORDER, SignatureInvalid
from clash_pipeline.settings import Settings, SettingsError, load
from tests.fakes.chained import ETH, LIMITS, RESOLVER, Chained, WalletSigner
from tests.fakes.till import wallet

CANARY = "0x" + "cafe" * 16
PAYER = wallet(50)
HALF = CURVE_ORDER // 2


def owe(chained: Chained, amount_wei: int = ETH, payer: str = PAYER, nonce: int = 900_001) -> int:
    """A stray deposit that is owed back; the payable."""
    chained.chain.deposit(payer, chained.vault.resolver, nonce, amount_wei)
    chained.settle_in()
    return chained.owed()[0].id


def row_of(chained: Chained, number: int, key_deadline: int = 2_000_000_000) -> AuthorisationRow:
    allowed = Withdrawal(wallet(number % 97 + 1), NATIVE, number * 10**12 + 1, number * 7919, key_deadline + number)
    return AuthorisationRow(chained.vault, allowed, "0x" + words.digest(chained.vault, allowed).hex())


@pytest.fixture
def signer() -> KeySigner:
    return KeySigner(SecretStr("0x" + RESOLVER.key.hex()))


def sign_many(chained: Chained, signer: KeySigner, count: int) -> None:
    for number in range(1, count + 1):
        row = row_of(chained, number)
        signature = signed(signer, row)
        assert recovered(bytes.fromhex(row.digest[2:]), signature) == signer.address
        assert signature[64] in (27, 28)
        assert 0 < int.from_bytes(signature[32:64]) <= HALF
        if number % 10 == 0:
            assert signed(signer, row) == signature, "the same row gives the same bytes"


def test_five_hundred_signatures_recover_to_the_signer(chained: Chained, signer: KeySigner) -> None:
    sign_many(chained, signer, 500)


@pytest.mark.soak
def test_ten_thousand_signatures_recover_to_the_signer(chained: Chained, signer: KeySigner) -> None:
    sign_many(chained, signer, 10_000)


def test_control_a_signer_of_another_key_high_s_or_another_row_is_found(chained: Chained, signer: KeySigner) -> None:
    row = row_of(chained, 1)
    with pytest.raises(SignerBroken, match="the resolver is"):
        signed(WalletSigner(replace(RESOLVER, number=5)), row)
    with pytest.raises(SignerBroken, match="digest"):
        signed(signer, replace(row, allowed=replace(row.allowed, amount_wei=1)))

    class High(WalletSigner):
        def sign(self, row: object) -> bytes:
            good = super().sign(row)
            return good[:32] + (CURVE_ORDER - int.from_bytes(good[32:64])).to_bytes(32) + bytes([55 - good[64]])

    with pytest.raises(SignerBroken, match="out of range"):
        signed(High(), row)
    for wrong in (b"", b"\0" * 65, b"\xff" * 65, signed(signer, row)[:64] + b"\0"):
        with pytest.raises(SignatureInvalid):
            recovered(b"\1" * 32, wrong)


def test_what_is_owed_is_authorised_once_and_taken_once(chained: Chained) -> None:
    payable = owe(chained)
    given = chained.authorise(payable)
    assert chained.authorise(payable) == given
    assert (given.allowed.recipient, given.allowed.amount_wei) == (PAYER, ETH)
    chained.take(given)
    assert chained.settle_in().withdrawn == 1
    assert chained.owed()[0].state == "claimed"
    assert chained.chain.head.state.paid == {PAYER: ETH}
    with pytest.raises(EconomyConflict, match="taken already"):
        chained.authorise(payable)
    chained.take(given)
    assert chained.settle_in().withdrawn == 0
    assert chained.incidents() == []


def test_after_its_deadline_it_is_renewed_with_the_same_nonce(chained: Chained) -> None:
    payable = owe(chained)
    first = chained.authorise(payable)
    chained.clock.advance(DAY_MS + 1_000)
    second = chained.authorise(payable)
    assert second.allowed.deadline > first.allowed.deadline
    assert second.allowed.nonce == first.allowed.nonce
    chained.take(second)
    chained.take(first)
    chained.settle_in()
    assert chained.chain.head.state.paid == {PAYER: ETH}


def test_what_was_taken_and_is_not_yet_known_is_not_renewed(chained: Chained) -> None:
    payable = owe(chained)
    chained.take(chained.authorise(payable))
    chained.chain.mine(6)
    chained.clock.advance(DAY_MS + 1_000)
    with pytest.raises(PayoutPaused) as caught:
        chained.authorise(payable)
    assert caught.value.cause == "was_not_taken"


def test_never_more_than_the_vault_holds(chained: Chained) -> None:
    first = owe(chained)
    second = owe(chained, payer=wallet(51), nonce=900_002)
    machine = chained.chain.machine
    read = machine.read
    machine.read = (
        lambda state, chain_id, to, content: (  # type: ignore[method-assign]
            (3 * ETH // 2).to_bytes(32)
            if content[:4] == words.resolver_balance_of(NATIVE, NATIVE)[:4]
            else read(state, chain_id, to, content)
        )
    )
    chained.authorise(first)
    with pytest.raises(PayoutPaused) as caught:
        chained.authorise(second)
    assert (caught.value.code, caught.value.cause) == ("payout_paused", "lies_in_the_vault")
    assert chained.incidents() == [("payout_paused", "lies_in_the_vault")]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_open_is_never_more_than_the_vault_holds(chained: Chained, seed: int) -> None:
    """Payables of any size are asked for in any order, some of them taken, while the vault holds more or less."""
    chance = random.Random(seed)
    for number in range(8):
        chained.chain.deposit(wallet(50 + number), chained.vault.resolver, 900_000 + number, chance.randrange(1, ETH))
    chained.settle_in()
    machine, read, shown = chained.chain.machine, chained.chain.machine.read, resolver_balance(chained)
    machine.read = (  # type: ignore[method-assign]
        lambda state, chain_id, to, content: (
            shown.to_bytes(32) if content[:4] == BALANCE else read(state, chain_id, to, content)
        )
    )
    refused = 0
    for _ in range(24):
        shown = chance.choice((shown, chance.randrange(2 * ETH), 4 * ETH))
        before = opened(chained)
        try:
            given = chained.authorise(chance.choice(chained.owed()).id, limits=Limits(10**30, 10**30, DAY_MS))
        except (PayoutPaused, EconomyConflict):
            refused += 1
            assert opened(chained) == before
            continue
        assert sum(opened(chained).values()) <= max(shown, sum(before.values()))
        if chance.random() < 0.3:
            chained.take(given)
            chained.settle_in()
    assert 0 < refused < 24


BALANCE = words.resolver_balance_of(NATIVE, NATIVE)[:4]


def resolver_balance(chained: Chained) -> int:
    return int(chained.chain.head.state.balances[chained.vault.resolver])


def opened(chained: Chained) -> dict[int, int]:
    """What was authorised and not taken, in wei, by payable."""
    return {owed.id: owed.amount_wei for owed in chained.owed() if owed.state == "authorised"}


def test_the_caps_of_an_hour_and_of_a_day(chained: Chained) -> None:
    payables = [owe(chained, payer=wallet(60 + each), nonce=910_000 + each) for each in range(4)]
    limits = Limits(2 * ETH, 3 * ETH, DAY_MS // 2)
    for payable in payables[:2]:
        chained.authorise(payable, limits=limits)
    with pytest.raises(PayoutPaused, match="the last hour"):
        chained.authorise(payables[2], limits=limits)
    chained.clock.advance(HOUR_MS + 1)
    chained.authorise(payables[2], limits=limits)
    with pytest.raises(PayoutPaused, match="the last day"):
        chained.authorise(payables[3], limits=limits)
    chained.clock.advance(DAY_MS)
    chained.authorise(payables[0], limits=limits)
    chained.authorise(payables[3], limits=limits)


def test_the_kill_switch_stops_signing_until_a_person_releases_it(chained: Chained) -> None:
    payable = owe(chained)
    with chained.clash.write() as connection:
        assert switches.throw(connection, actor="ada", reason="a drill", now_ms=1)
        assert not switches.throw(connection, actor="ada", reason="again", now_ms=2)
    with pytest.raises(PayoutPaused, match="a drill"):
        chained.authorise(payable)
    with chained.clash.write() as connection:
        assert switches.release(connection, actor="ada", reason="over", now_ms=3)
        assert not switches.release(connection, actor="ada", reason="over", now_ms=4)
    chained.authorise(payable)


def test_a_silent_or_lying_endpoint_pauses_signing(chained: Chained) -> None:
    payable = owe(chained)
    chained.views["b"].is_down = True
    with pytest.raises(PayoutPaused) as caught:
        chained.authorise(payable)
    assert caught.value.cause == "chain_silent"
    chained.views["b"].is_down, chained.views["b"].lies = False, {"state"}
    with pytest.raises(PayoutPaused):
        chained.authorise(payable)


def test_unknown_payables_and_other_money_are_refused(chained: Chained) -> None:
    with pytest.raises(EconomyUnknown):
        chained.authorise(99)
    payable = owe(chained)
    chained.move_to(777)
    chained.clock.advance(HOUR_MS)
    with pytest.raises(PayoutPaused) as caught:
        chained.authorise(payable)
    assert caught.value.cause == "is_of_this_vault"


def test_what_is_open_on_another_chain_holds_nothing_back(chained: Chained) -> None:
    """Books and vaults are of one chain each."""
    chained.authorise(owe(chained))
    other = Chained(chained.clash, seed=2)
    other.move_to(777)
    there = owe(other)
    assert chained.owed()[0].account == chained.owed()[1].account
    assert other.authorise(there).vault.chain_id == 777


@pytest.mark.parametrize("point", ["payouts.prepared", "payouts.signed", "payouts.kept", "storage.before_commit"])
def test_a_crash_anywhere_gives_the_same_bytes_later(chained: Chained, point: str) -> None:
    payable = owe(chained)
    faults.arm(f"{point}:raise")
    try:
        with pytest.raises(InjectedFault):
            chained.authorise(payable)
    finally:
        faults.arm("")
    with chained.clash.read() as connection:
        left = [row["digest"] for row in connection.execute("SELECT digest FROM payout_authorisations")]
    given = chained.authorise(payable)
    assert left in ([], ["0x" + words.digest(given.vault, given.allowed).hex()])
    assert chained.authorise(payable) == given
    assert len(chained.owed()) == 1


def test_every_gate_has_a_case_that_it_refuses(chained: Chained) -> None:
    payable = owe(chained)
    with chained.clash.read() as connection:
        case = payouts._case(connection, chained.parts, LIMITS, payable, 10 * ETH, False, chained.clock.now_ms())
    assert [gate(case) for gate in GATES] == [None] * len(GATES)
    refused = (
        replace(case, why_stopped="x"), replace(case, is_ours=False), replace(case, is_frozen=True),
        replace(case, is_spent=True), replace(case, account_wei=ETH - 1), replace(case, vault_wei=ETH - 1),
        replace(case, hour_wei=LIMITS.hour_wei), replace(case, day_wei=LIMITS.day_wei),
    )  # fmt: skip
    for gate, wrong in zip(GATES, refused, strict=True):
        assert [each.__name__ for each in GATES if each(wrong)] == [gate.__name__]


def test_the_nonce_of_a_payable_follows_from_what_it_is_for(chained: Chained) -> None:
    owe(chained)
    (payable,) = chained.owed()
    nonce = payouts.contract_nonce(chained.vault, payable)
    assert payouts.contract_nonce(chained.vault, replace(payable, id=99, recipient=wallet(3))) == nonce
    assert payouts.contract_nonce(chained.vault, replace(payable, deposit_id=99)) != nonce
    assert payouts.contract_nonce(replace(chained.vault, chain_id=1), payable) != nonce


# the key


def test_a_signer_says_nothing_of_its_key_and_is_not_copied(signer: KeySigner) -> None:
    key = RESOLVER.key.hex()
    assert key not in repr(signer) + str(signer) + f"{signer}"
    assert not hasattr(signer, "__dict__")
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied"):
            copied(signer)


def test_the_key_must_be_the_resolvers() -> None:
    chain = {"CLASH_CHAIN_RESOLVER": RESOLVER.address, "CLASH_PAYOUT_KEY": "0x" + RESOLVER.key.hex()}
    assert signer_from(load({})) is None
    found = signer_from(load(chain))
    assert found is not None
    assert found.address == RESOLVER.address
    with pytest.raises(SettingsError, match="CLASH_PAYOUT_KEY signs for"):
        signer_from(load({**chain, "CLASH_PAYOUT_KEY": CANARY}))


def test_a_canary_key_is_found_nowhere(chained: Chained, settings: Settings, tmp_path: Path) -> None:
    heard = StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(heard))
    try:
        signer = KeySigner(SecretStr(CANARY))
        chained.vault = replace(chained.vault, resolver=signer.address)
        chained.till.vault = chained.vault
        chained.parts = replace(chained.parts, chain=replace(chained.parts.chain, vault=chained.vault))
        user = chained.till.person(1)
        purchase = chained.quote(Wanted(user, "audition", chained.till.clone("One", user)))
        chained.pay(purchase, amount_wei=purchase.amount_wei + 1)
        chained.settle_in()
        given = chained.authorise(chained.owed()[0].id, signer=signer)
        heard.write(repr(signer) + repr(given) + repr(chained.parts))
        with pytest.raises(SignerBroken) as caught:
            signed(signer, row_of(Chained(chained.clash), 1))
        heard.write(repr(caught.value) + repr(caught.getrepr(showlocals=True)))
        told = load({"CLASH_PAYOUT_KEY": CANARY})
        heard.write(repr(told) + told.model_dump_json() + canonical.text(told.model_dump(mode="json")))
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()
    chained.clash.close()
    store = chained.parts.store
    written = b"".join(path.read_bytes() for path in settings.home.rglob("*") if path.is_file())
    written += b"".join(store.get(key) for key in store.list(""))
    written += crashed(tmp_path)
    for form in (CANARY, CANARY[2:], CANARY[2:].upper(), str(int(CANARY, 16))):
        assert form not in heard.getvalue()
        assert form.encode() not in written
    assert bytes.fromhex(CANARY[2:]) not in written


def crashed(folder: Path) -> bytes:
    """All that a process leaves behind which holds the key and is aborted in the middle of its work."""
    told = folder / "stderr"
    if (child := os.fork()) == 0:
        try:
            os.chdir(folder)
            with told.open("wb") as file:
                faulthandler.enable(file)
                holder = KeySigner(SecretStr(CANARY))
                assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0, holder
                os.abort()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGABRT
    assert b"Fatal Python error: Aborted" in told.read_bytes()
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_control_a_leaked_canary_is_found(tmp_path: Path) -> None:
    leak = SecretStr(CANARY).get_secret_value()
    (tmp_path / "log").write_text(f"signing with {leak}")
    assert CANARY.encode() in (tmp_path / "log").read_bytes()
