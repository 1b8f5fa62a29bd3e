"""Purchases: every arrow and no other, what each move writes, and where the next look is due (09 §4.5)."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from clash_pipeline import faults
from clash_pipeline.economy import purchases
from clash_pipeline.economy.purchases import HintInvalid, Move, Purchase
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import DepositUsed, EconomyConflict, EconomyUnknown
from clash_pipeline.storage.sqlite import Connection
from tests.fakes.till import RACE, START, Till, digest, wallet

WAYS: dict[str, tuple[Any, ...]] = {
    "quoted": (), "pending": ("pending",), "confirmed": ("pending", "confirmed"), "expired": ("expired",),
    "granted": ("pending", "confirmed", "granted"), "rejected": ("pending", "rejected"),
    "refund_due": ("pending", "refund_due"), "refunded": ("pending", "refund_due", "refunded"),
}  # fmt: skip
ARROWS = {
    "quoted": "pending expired", "pending": "confirmed refund_due rejected expired", "confirmed": "granted refund_due",
    "expired": "refund_due", "refund_due": "refunded", "granted": "", "rejected": "", "refunded": "",
}  # fmt: skip
STATES: tuple[Any, ...] = tuple(WAYS)
FIXED = ("id", "state", "reason", "moved_at", "tx_hash", "next_try_at", "tries")


@pytest.fixture
def asked(till: Till) -> Purchase:
    """Two tickets that somebody asked the price of."""
    user = till.person(1)
    clone, *_ = till.race([None] * 4)
    return till.quote(Wanted(user, "ticket", clone, race_id=RACE, count=2))


def again(connection: Connection, asked: Purchase, nonce: int, way: tuple[Any, ...] = ()) -> Purchase:
    """The same quote with another nonce, moved along a way."""
    terms = {name: value for name, value in asdict(asked).items() if name not in FIXED}
    terms |= {"nonce": str(nonce), "amount_wei": str(asked.amount_wei)}
    made = purchases.begin(connection, terms, actor="a", now_ms=START)
    for state in way:
        made = purchases.move(connection, made.id, state, reason="r", actor="a", now_ms=START + 1)
    return made


# reading


def test_a_purchase_begins_as_its_terms_and_is_found_by_id_and_nonce(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        made = again(connection, asked, 77)
        assert made == replace(asked, id=asked.id + 1, nonce=77)
        assert (made.state, made.reason, made.moved_at, made.tx_hash, made.tries) == ("quoted", None, START, None, 0)
        assert purchases.moves(connection, made.id) == [Move(1, None, "quoted", None, "a", START)]
        assert purchases.of_nonce(connection, 77) == purchases.get(connection, made.id) == made
        assert purchases.of_nonce(connection, 78) is None
        assert purchases.owned(connection, made.id, asked.user_id) == made
        for unknown in (lambda: purchases.get(connection, 99), lambda: purchases.owned(connection, 99, asked.user_id)):
            with pytest.raises(EconomyUnknown, match=r"^there is no purchase 99$"):
                unknown()
        with pytest.raises(EconomyUnknown, match=f"^there is no purchase {made.id}$"):
            purchases.owned(connection, made.id, asked.user_id + 1)


def test_purchases_are_listed_newest_first_by_user_state_and_page(till: Till, asked: Purchase) -> None:
    other = till.person(2)
    with till.clash.write() as connection:
        made = [again(connection, asked, nonce, ("pending",) * (nonce % 2)).id for nonce in range(100, 152)]
        theirs = again(connection, replace(asked, user_id=other, wallet=wallet(2)), 200).id
        assert ids(purchases.every(connection)) == [theirs, *reversed(made[3:])]
        assert ids(purchases.every(connection, user_id=other)) == [theirs]
        assert ids(purchases.every(connection, state="pending", limit=2)) == [made[51], made[49]]
        assert ids(purchases.every(connection, before_id=made[2])) == [made[1], made[0], asked.id]


def ids(found: list[Purchase]) -> list[int]:
    return [purchase.id for purchase in found]


def test_what_waits_longest_is_looked_up_first(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        made = [again(connection, asked, nonce).id for nonce in range(100, 201)]
        assert purchases.due(connection, now_ms=10**15) == []
        for number, purchase_id in enumerate(made):
            purchases.hint(connection, purchase_id, digest(purchase_id), now_ms=START - number)
        assert ids(purchases.due(connection, now_ms=START)) == made[:0:-1]
        assert ids(purchases.due(connection, now_ms=START - 98)) == [made[100], made[99], made[98]]
        assert ids(purchases.due(connection, now_ms=START, limit=2)) == [made[100], made[99]]
        purchases.move(connection, made[100], "expired", reason="r", actor="a", now_ms=START)
        assert ids(purchases.due(connection, now_ms=START - 99)) == [made[99]]


# moving


@pytest.mark.parametrize("state", WAYS)
def test_every_arrow_and_no_other(till: Till, asked: Purchase, state: str) -> None:
    with till.clash.write() as connection:
        for number, to in enumerate(STATES):
            made = again(connection, asked, 100 + number, WAYS[state])
            if to not in ARROWS[state].split():
                with pytest.raises(EconomyConflict, match=f"^purchase {made.id} is {state}: it cannot become {to}$"):
                    purchases.move(connection, made.id, to, reason="why", actor="who", now_ms=START + 2)
                assert purchases.get(connection, made.id) == made
                continue
            moved = purchases.move(connection, made.id, to, reason="why", actor="who", now_ms=START + 2)
            later = START + 2 if to == "pending" else None
            assert moved == replace(made, state=to, reason="why", moved_at=START + 2, next_try_at=later)
            last = Move(len(WAYS[state]) + 2, state, to, "why", "who", START + 2)
            assert purchases.moves(connection, made.id)[-1] == last


def test_a_move_can_be_cut_off_after_it_was_written(till: Till, asked: Purchase) -> None:
    faults.arm("economy.purchase_moved:raise")
    with pytest.raises(faults.InjectedFault), till.clash.write() as connection:
        purchases.move(connection, asked.id, "expired", reason=None, actor="a", now_ms=START)
    faults.arm("")
    assert till.get(asked.id) == asked


def test_what_was_read_before_it_moved_is_not_written(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        stale = purchases._row(connection, asked.id)
        purchases.move(connection, asked.id, "expired", reason=None, actor="a", now_ms=START)
        with pytest.raises(EconomyConflict, match=f"^purchase {asked.id} is no longer quoted$"):
            purchases._store(connection, stale, {"reason": "late"})
        assert purchases.get(connection, asked.id).reason is None


# hints


def test_a_hint_makes_a_quote_pending_once(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        made = purchases.hint(connection, asked.id, digest(5), now_ms=START + 5)
        assert made == replace(
            asked, state="pending", reason="hinted", moved_at=START + 5, tx_hash=digest(5), next_try_at=START + 5
        )
        assert purchases.moves(connection, asked.id)[-1] == Move(
            2, "quoted", "pending", "hinted", f"user:{asked.user_id}", START + 5
        )
        assert purchases.hint(connection, asked.id, digest(5), now_ms=START + 9) == made
        purchases.put_off(connection, asked.id, "not_seen", now_ms=START + 9)
        other = purchases.hint(connection, asked.id, digest(6), now_ms=START + 11)
        assert (other.tx_hash, other.next_try_at, other.tries, other.reason) == (digest(6), START + 11, 0, "not_seen")
        assert len(purchases.moves(connection, asked.id)) == 2


def test_a_hint_is_looked_up_for_an_expired_purchase_and_no_longer_for_a_decided_one(
    till: Till, asked: Purchase
) -> None:
    with till.clash.write() as connection:
        expired = again(connection, asked, 100, ("expired",))
        told = purchases.hint(connection, expired.id, digest(5), now_ms=START + 9)
        assert told == replace(expired, tx_hash=digest(5), next_try_at=START + 9)
        for state in ("confirmed", "granted", "refund_due", "refunded", "rejected"):
            decided = again(connection, asked, 200 + len(state), WAYS[state]) if state != "refunded" else None
            decided = decided or again(connection, asked, 300, WAYS[state])
            says = f"^purchase {decided.id} is {state}: another transaction changes nothing$"
            with pytest.raises(EconomyConflict, match=says):
                purchases.hint(connection, decided.id, digest(7), now_ms=START)
        purchases.hint(connection, asked.id, digest(8), now_ms=START)
        purchases.reject(connection, asked.id, "tx_failed", now_ms=START)
        with pytest.raises(EconomyConflict, match="is rejected"):
            purchases.hint(connection, asked.id, digest(8), now_ms=START)


@pytest.mark.parametrize("text", ["0X" + "AB" * 32, "0x" + "ab" * 32])
def test_a_hint_is_kept_in_lower_case(till: Till, asked: Purchase, text: str) -> None:
    with till.clash.write() as connection:
        assert purchases.hint(connection, asked.id, text, now_ms=START).tx_hash == "0x" + "ab" * 32


@pytest.mark.parametrize("text", ["", "0x" + "ab" * 31, "0x" + "ab" * 32 + "\n", "ab" * 33, None])
def test_what_is_no_hash_is_said(till: Till, asked: Purchase, text: Any) -> None:
    with till.clash.write() as connection, pytest.raises(HintInvalid) as caught:
        purchases.hint(connection, asked.id, text, now_ms=START)
    assert str(caught.value) == "txHash must be 0x and 64 hexadecimal digits"


def test_a_hint_at_what_others_paid_is_refused_unless_our_own_is_among_it(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        ours, third = again(connection, asked, 500), again(connection, asked, 501)
    till.record(till.deposit(asked, tx_hash=digest(40)))
    with till.clash.write() as connection:
        with pytest.raises(DepositUsed, match=f"^the deposit of {digest(40)[:12]}… was used for something else$"):
            purchases.hint(connection, ours.id, digest(40), now_ms=START)
        assert purchases.hint(connection, asked.id, digest(40), now_ms=START).state == "granted"
    assert till.record(till.deposit(ours, tx_hash=digest(40), log_index=1, depositor=wallet(66))).outcome == "stray"
    with till.clash.write() as connection:
        assert purchases.hint(connection, ours.id, digest(40), now_ms=START).state == "pending"
        with pytest.raises(DepositUsed):
            purchases.hint(connection, third.id, digest(40), now_ms=START)
        elsewhere = replace(till.deposit(asked), chain_id=1)
        assert elsewhere.chain_id != asked.chain_id
        assert purchases.hint(connection, third.id, digest(41), now_ms=START).tx_hash == digest(41)


# the watcher


def test_what_the_watcher_sees_makes_a_quote_pending(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        seen = purchases.see(connection, asked.id, digest(5), now_ms=START + 3)
        assert seen == replace(
            asked, state="pending", reason="not_final", moved_at=START + 3, tx_hash=digest(5), next_try_at=START + 3
        )
        assert purchases.moves(connection, asked.id)[-1].actor == "watcher"
        assert purchases.see(connection, asked.id, digest(6), now_ms=START + 4) == seen


def test_a_look_is_put_off_for_two_seconds_doubling_to_sixty(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        with pytest.raises(EconomyConflict, match=f"^purchase {asked.id} is quoted: nothing is awaited$"):
            purchases.put_off(connection, asked.id, "x", now_ms=START)
        for state in ("pending", "expired"):
            made = again(connection, asked, 100 + len(state) + ord(state[0]), WAYS[state])
            for tries, wait in enumerate((2, 4, 8, 16, 32, 60, 60), start=1):
                put = purchases.put_off(connection, made.id, f"no {tries}", now_ms=START)
                assert put == replace(made, reason=f"no {tries}", next_try_at=START + wait * 1_000, tries=tries)
        for _ in range(60):
            put = purchases.put_off(connection, made.id, "long", now_ms=START)
        assert put.next_try_at == START + 60_000


def test_a_pending_purchase_is_refused_and_an_expired_one_given_up(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        pending = again(connection, asked, 100, ("pending",))
        with pytest.raises(EconomyConflict, match=f"^purchase {pending.id} is pending: it is not given up$"):
            purchases.give_up(connection, pending.id, "x")
        gone = purchases.reject(connection, pending.id, "tx_failed", now_ms=START + 4)
        assert (gone.state, gone.reason, gone.moved_at) == ("rejected", "tx_failed", START + 4)
        assert purchases.moves(connection, pending.id)[-1].actor == "watcher"
        by_hand = again(connection, asked, 101, ("pending",))
        purchases.reject(connection, by_hand.id, "x", actor="ada", now_ms=START)
        assert purchases.moves(connection, by_hand.id)[-1].actor == "ada"
        expired = again(connection, asked, 102, ("expired",))
        purchases.hint(connection, expired.id, digest(9), now_ms=START)
        assert purchases.give_up(connection, expired.id, "tx_failed") == replace(
            expired, tx_hash=digest(9), reason="tx_failed", next_try_at=None
        )


def test_a_quote_ends_after_its_grace_and_a_pending_purchase_after_its_day(till: Till, asked: Purchase) -> None:
    end, day = asked.expires_at + 120_000, asked.quoted_at + 86_400_000
    with till.clash.write() as connection:
        pending = again(connection, asked, 100, ("pending",))
        assert ids(purchases.ending(connection, now_ms=end)) == []
        assert ids(purchases.ending(connection, now_ms=end + 1)) == [asked.id]
        assert ids(purchases.ending(connection, now_ms=end + 1, watched_ms=end)) == []
        assert ids(purchases.ending(connection, now_ms=end, watched_ms=end + 1)) == []
        assert ids(purchases.ending(connection, now_ms=end + 1, watched_ms=end + 1)) == [asked.id]
        assert ids(purchases.ending(connection, now_ms=end - 4, grace_ms=120_000 - 5)) == [asked.id]
        assert ids(purchases.ending(connection, now_ms=day - 1, watched_ms=0)) == []
        assert ids(purchases.ending(connection, now_ms=day, watched_ms=0)) == [pending.id]
        assert ids(purchases.ending(connection, now_ms=day - 9, watched_ms=0, pending_ms=86_400_000 - 9)) == [
            pending.id
        ]
        assert purchases.expire(connection, now_ms=end + 1, watched_ms=end) == []
        assert purchases.expire(connection, now_ms=end - 4, grace_ms=120_000 - 5) == [asked.id]
        late = day - 9
        assert purchases.expire(connection, now_ms=late - 1, pending_ms=86_400_000 - 9) == []
        assert purchases.expire(connection, now_ms=late, pending_ms=86_400_000 - 9) == [pending.id]
        last = [purchases.moves(connection, made.id)[-1] for made in (asked, pending)]
    assert last == [
        Move(2, "quoted", "expired", "not_paid", "watcher", end - 4),
        Move(3, "pending", "expired", "not_found", "watcher", late),
    ]
    assert purchases.GRACE_MS == 120_000
