"""A5: only the exact message that was issued, signed by its own wallet, once and in time, opens a session."""

import os
import random
import threading

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.identity import addresses, siwe, users
from clash_pipeline.identity.addresses import AddressInvalid
from clash_pipeline.identity.challenges import LIVES_MS, NONCE_CHARACTERS, OPEN_AT_MOST, ChallengeUnknown
from clash_pipeline.identity.siwe import CURVE_ORDER, Parsed, SignatureInvalid
from clash_pipeline.storage.sqlite import Database, one
from tests.fakes.wallet import Wallet
from tests.identity.conftest import SITE, T0, Door

ME, OTHER = Wallet(1), Wallet(2)
MIXED = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"


def test_a_signed_challenge_opens_a_session_for_its_wallet(door: Door) -> None:
    session, tokens = door.enter(ME)

    assert session.address == ME.address
    assert tokens.access != tokens.refresh
    with door.clash.read() as connection:
        assert users.wallets(connection, session.user_id) == [ME.address]
        assert users.primary_wallet(connection, session.user_id) == ME.address


def test_the_same_wallet_is_the_same_user_the_next_day(door: Door) -> None:
    first, _ = door.enter(ME)
    second, _ = door.enter(ME, T0 + 24 * 60 * MINUTE_MS)
    other, _ = door.enter(OTHER)

    assert first.user_id == second.user_id != other.user_id
    assert first.id != second.id


def test_the_message_says_everything_a_wallet_shows(door: Door) -> None:
    message = door.challenge(ME).message

    parsed = Parsed.of(message)
    assert parsed is not None
    assert parsed.domain == SITE.domain
    assert parsed.uri == SITE.uri
    assert parsed.chain_id == "4326"
    assert parsed.address.lower() == ME.address
    assert len(parsed.nonce) == NONCE_CHARACTERS
    assert parsed.issued_at == "2026-03-12T09:20:00Z"
    assert parsed.expires_at == "2026-03-12T09:25:00Z"


def test_a_challenge_is_used_once(door: Door) -> None:
    message = door.challenge(ME).message
    door.verify(message, ME.sign(message))

    with pytest.raises(ChallengeUnknown):
        door.verify(message, ME.sign(message))


def test_a_challenge_expires_after_five_minutes(door: Door) -> None:
    message = door.challenge(ME).message
    signature = ME.sign(message)

    with pytest.raises(ChallengeUnknown):
        door.verify(message, signature, T0 + LIVES_MS)
    door.verify(message, signature, T0 + LIVES_MS - 1)


def test_another_key_cannot_sign_my_challenge(door: Door) -> None:
    message = door.challenge(ME).message

    with pytest.raises(SignatureInvalid):
        door.verify(message, OTHER.sign(message))
    door.verify(message, ME.sign(message))  # a wrong signature does not use the challenge up


def test_old_challenges_of_one_address_make_room(door: Door) -> None:
    first = door.challenge(ME).message
    for _ in range(OPEN_AT_MOST):
        door.challenge(ME, T0 + 1_000)

    with door.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM auth_challenges") == OPEN_AT_MOST
    with pytest.raises(ChallengeUnknown):
        door.verify(first, ME.sign(first))


def test_of_a_hundred_verifications_at_once_one_wins(door: Door, clash: Database) -> None:
    message = door.challenge(ME).message
    signature = ME.sign(message)
    opened: list[str] = []
    refused: list[Exception] = []

    def attempt(seed: int) -> None:
        try:
            opened.append(Door(clash, random.Random(seed)).verify(message, signature)[0].id)
        except ChallengeUnknown as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt, args=(seed,)) for seed in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(opened), len(refused)) == (1, 99)


CHANGES = {
    "another domain": lambda text: text.replace("clash.example wants", "evil.example wants"),
    "another uri": lambda text: text.replace("https://clash.example", "https://evil.example"),
    "another statement": lambda text: text.replace("Sign in to", "Give all to"),
    "another chain": lambda text: text.replace("Chain ID: 4326", "Chain ID: 1"),
    "another version": lambda text: text.replace("Version: 1", "Version: 2"),
    "another address": lambda text: text.replace(MIXED, addresses.checksummed(OTHER.address)),
    "address in lower case": lambda text: text.replace(MIXED, MIXED.lower()),
    "a later expiry": lambda text: text.replace("09:25:00Z", "10:25:00Z"),
    "an earlier issue": lambda text: text.replace("09:20:00Z", "09:10:00Z"),
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "a line more": lambda text: text + "\n",
    "a line before": lambda text: "\n" + text,
    "a space more": lambda text: text + " ",
    "a byte order mark": lambda text: "\ufeff" + text,
    "a second nonce line": lambda text: text + "\nNonce: AAAAAAAAAAAAAAAAAAAAAA",
    "the nonce in the statement": lambda text: text.replace("Clash of Clones.", "Nonce: AAAAAAAAAAAAAAAAAAAAAA"),
    "a request id": lambda text: text + "\nRequest ID: 1",
    "resources": lambda text: text + "\nResources:\n- https://evil.example",
    "not before": lambda text: text + "\nNot Before: 2020-01-01T00:00:00Z",
    "no statement": lambda text: text.replace("Sign in to Clash of Clones.\n\n", ""),
    "a full-width colon": lambda text: text.replace("URI:", "URI："),
    "a Cyrillic a": lambda text: text.replace("clash", "cl\u0430sh"),
    "a nul": lambda text: text.replace("Clash of", "Clash\0of"),
    "a scheme before the domain": lambda text: "https://" + text,
    "a port after the domain": lambda text: text.replace("clash.example wants", "clash.example:443 wants"),
    "empty": lambda _: "",
    "only the hash": lambda text: text[:1],
    "cut": lambda text: text[:-1],
    "doubled": lambda text: text + text,
    "too long": lambda text: text + "a" * siwe.MESSAGE_BYTES,
    "a lone surrogate": lambda text: text + "\ud800",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_message_that_is_not_ours_is_unknown_even_when_well_signed(door: Door, change: str) -> None:
    original = door.challenge(ME).message
    message = CHANGES[change](original)
    assert message != original
    signature = ME.sign(message.encode(errors="replace").decode())

    with pytest.raises(ChallengeUnknown):
        door.verify(message, signature)


def _halves(signature: str) -> tuple[int, int, int]:
    return int(signature[2:66], 16), int(signature[66:130], 16), int(signature[130:], 16)


def _built(r: int, s: int, v: int) -> str:
    return f"0x{r:064x}{s:064x}{v:02x}"


SIGNATURES = {
    "empty": lambda r, s, v: "",
    "only the prefix": lambda r, s, v: "0x",
    "odd digits": lambda r, s, v: _built(r, s, v)[:-1],
    "64 bytes": lambda r, s, v: _built(r, s, v)[:-2],
    "66 bytes": lambda r, s, v: _built(r, s, v) + "00",
    "no prefix": lambda r, s, v: _built(r, s, v)[2:],
    "upper-case prefix": lambda r, s, v: "0X" + _built(r, s, v)[2:],
    "v of 29": lambda r, s, v: _built(r, s, 29),
    "v of 2": lambda r, s, v: _built(r, s, 2),
    "v of 35": lambda r, s, v: _built(r, s, 35),
    "v of 255": lambda r, s, v: _built(r, s, 255),
    "the other v": lambda r, s, v: _built(r, s, 55 - v),
    "r of 0": lambda r, s, v: _built(0, s, v),
    "s of 0": lambda r, s, v: _built(r, 0, v),
    "r of the order": lambda r, s, v: _built(CURVE_ORDER, s, v),
    "r above the order": lambda r, s, v: _built(2**256 - 1, s, v),
    "s in the upper half": lambda r, s, v: _built(r, CURVE_ORDER - s, 55 - v),
    "s of the order": lambda r, s, v: _built(r, CURVE_ORDER, v),
    "all zero": lambda r, s, v: "0x" + "0" * 130,
    "all ones": lambda r, s, v: "0x" + "f" * 130,
    "a space": lambda r, s, v: _built(r, s, v)[:-1] + " ",
    "a newline": lambda r, s, v: _built(r, s, v) + "\n",
    "full-width digits": lambda r, s, v: "0x" + "１" * 130,
    "an underscore": lambda r, s, v: _built(r, s, v)[:10] + "_" + _built(r, s, v)[11:],
    "an r that is no point": lambda r, s, v: _built(5, s, v),
    "r and s swapped": lambda r, s, v: _built(s, r if r <= CURVE_ORDER // 2 else r // 2, v),
}


@pytest.mark.parametrize("kind", SIGNATURES)
def test_a_malformed_signature_is_refused_and_leaves_the_challenge(door: Door, kind: str) -> None:
    message = door.challenge(ME).message
    good = ME.sign(message)

    with pytest.raises(SignatureInvalid):
        door.verify(message, SIGNATURES[kind](*_halves(good)))
    door.verify(message, good)


@pytest.mark.parametrize(("given", "meant"), [(27, 27), (28, 28), (0, 27), (1, 28)])
def test_both_ways_to_write_the_parity_are_read(door: Door, given: int, meant: int) -> None:
    wallet = next(w for w in map(Wallet, range(1, 60)) if _halves(w.sign(door.challenge(w).message))[2] == meant)
    for _ in range(60):  # the parity depends on the nonce: ask until it fits
        message = door.challenge(wallet).message
        r, s, v = _halves(wallet.sign(message))
        if v == meant:
            door.verify(message, _built(r, s, given))
            return
    raise AssertionError("no message of that parity in sixty")


def test_digits_of_a_signature_may_be_in_upper_case(door: Door) -> None:
    message = door.challenge(ME).message
    door.verify(message, "0x" + ME.sign(message)[2:].upper())


@pytest.mark.parametrize(
    "text",
    [
        "", "0x", ME.address[:-1], ME.address + "0", ME.address[2:], "0X" + ME.address[2:], "0x" + "0" * 40,
        "vitalik.eth", MIXED.replace("E", "e", 1), ME.address.replace("7", "７"), ME.address + "\n", " " + ME.address,
    ],
)  # fmt: skip
def test_an_address_that_could_not_sign_is_refused(text: str) -> None:
    with pytest.raises(AddressInvalid):
        addresses.canonical(text)


def test_an_address_is_kept_in_lower_case() -> None:
    assert addresses.canonical(MIXED) == addresses.canonical(MIXED.lower()) == ME.address
    assert addresses.canonical("0x" + MIXED[2:].upper()) == ME.address
    assert addresses.checksummed(ME.address) == MIXED


def _mutated(source: random.Random, text: str) -> str:
    characters = list(text)
    for _ in range(source.randint(1, 3)):
        place = source.randrange(len(characters))
        act = source.randrange(4)
        if act == 0:
            characters[place] = source.choice("abcXYZ019:/ .-\n\r\té\u202e")
        elif act == 1:
            characters.insert(place, source.choice("aZ0 \n"))
        elif act == 2 and len(characters) > 1:
            del characters[place]
        else:
            characters[place] = characters[place].swapcase()
    return "".join(characters)


@pytest.mark.goal
def test_no_mutation_of_a_message_or_signature_gets_in(door: Door) -> None:
    """A5 at CI size; CLASH_SOAK=1 takes ten times as many."""
    source, message = random.Random(5), door.challenge(ME).message
    good = ME.sign(message)
    entered = 0
    for _ in range(100_000 if os.environ.get("CLASH_SOAK") else 10_000):
        is_message = source.random() < 0.9
        changed = _mutated(source, message if is_message else good)
        if changed in (message, good) or changed.lower() == good.lower():
            continue
        try:
            door.verify(changed if is_message else message, good if is_message else changed)
        except (ChallengeUnknown, SignatureInvalid):
            continue
        entered += 1
    assert entered == 0


def test_the_parser_takes_no_more_than_our_form() -> None:
    assert Parsed.of("x" * (siwe.MESSAGE_BYTES + 1)) is None
    assert Parsed.of("clash.example wants you to sign in with your Ethereum account:\n" + "0x" * 900) is None


def test_control_a_check_of_the_signature_alone_would_let_a_foreign_message_in(door: Door) -> None:
    """What the hash of the exact text protects from: the signature of a foreign message is a good signature."""
    foreign = door.challenge(ME).message.replace("clash.example", "evil.example")

    assert siwe.signer(foreign, ME.sign(foreign)) == ME.address
