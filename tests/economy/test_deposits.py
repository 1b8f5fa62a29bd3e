"""Deposits: what each one buys or why it goes back, exactly, and the same one twice (09 §4.4 to §4.6, §6.3)."""

from collections.abc import Callable
from typing import Any

import pytest

from clash_pipeline.clones import entitlements, moderation
from clash_pipeline.economy import credits as auditions
from clash_pipeline.economy import ledger, payables, pools, purchases, tickets
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.deposits import Recorded
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import DepositUsed, EconomyConflict, EconomyUnknown
from tests.fakes.till import CLOSES, RACE, START, TERMS, TICKET, Till, digest, wallet

LATE = START + 900_000 + 120_001


@pytest.fixture(autouse=True)
def _books_are_clean(till: Till) -> Any:
    """Whatever a test did, the audit finds nothing."""
    yield
    assert audit(till.clash).differences == ()


def ticket_of(till: Till, number: int = 1, count: int = 2) -> Purchase:
    """A quote of tickets on the first clone of a race."""
    user = till.person(number)
    clone, *_ = till.race([None] * 4)
    return till.quote(Wanted(user, "ticket", clone, race_id=RACE, count=count))


def audition_of(till: Till) -> Purchase:
    user = till.person(1)
    return till.quote(Wanted(user, "audition", till.clone("Ada", user), capacity_tier="builder"))


# what is granted


def test_an_audition_gives_entitlement_and_credit(till: Till) -> None:
    asked = audition_of(till)
    assert till.record(till.deposit(asked)) == Recorded("granted", None, asked.id, 1, is_new=True)
    with till.clash.read() as connection:
        allowed = entitlements.effective(connection, asked.clone_id)
        assert (allowed.capacity.name, allowed.model_tier, allowed.may_audition) == ("builder", 1, True)
        assert auditions.unused(connection, asked.clone_id) == asked.id
        assert balance(connection, ledger.FEES) == asked.amount_wei
        assert [move.to_state for move in purchases.moves(connection, asked.id)] == [
            "quoted", "pending", "confirmed", "granted",
        ]  # fmt: skip


def test_tickets_are_numbered_in_their_race(till: Till) -> None:
    asked = ticket_of(till)
    till.record(till.deposit(asked))
    till.bet(till.person(2), asked.clone_id)
    with till.clash.read() as connection:
        sold = tickets.of_race(connection, RACE)
        assert [(ticket.ticket_no, ticket.wallet) for ticket in sold] == [
            (1, wallet(1)), (2, wallet(1)), (3, wallet(2)),
        ]  # fmt: skip
        assert balance(connection, ledger.pool(RACE)) == 3 * TICKET


def balance(connection: Any, account: str) -> int:
    return ledger.balance(connection, account, TERMS.chain_id, TERMS.asset)


def test_another_wallet_of_the_same_user_pays(till: Till) -> None:
    asked = ticket_of(till)
    with till.clash.write() as connection:
        connection.execute(
            "INSERT INTO wallets (address, user_id, is_primary, added_at) VALUES (?, ?, 0, 0)",
            (wallet(99), asked.user_id),
        )
    assert till.record(till.deposit(asked, depositor=wallet(99))).outcome == "granted"


def test_the_block_at_the_close_of_sales_still_counts(till: Till) -> None:
    asked = till.quote(Wanted(till.person(1), "ticket", till.race([None] * 4)[0], race_id=RACE, count=1),
                       now_ms=CLOSES - 1)  # fmt: skip
    assert till.record(till.deposit(asked, block_time_ms=CLOSES), now_ms=CLOSES + 500_000).outcome == "granted"


# what goes back


def launched(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        pools.close_pool(connection, RACE, now_ms=START)


def left(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        pools.leave(connection, RACE, asked.clone_id, now_ms=START)


def expired(till: Till, asked: Purchase) -> None:
    with till.clash.write() as connection:
        assert purchases.expire(connection, now_ms=LATE) == [asked.id]


def nothing(till: Till, asked: Purchase) -> None:
    pass


@pytest.mark.parametrize(
    ("before", "change", "code"),
    [
        (nothing, {"amount_wei": 2 * TICKET - 1}, "amount_mismatch"),
        (nothing, {"amount_wei": 2 * TICKET + 1}, "amount_mismatch"),
        (nothing, {"asset": "0x" + "aa" * 20}, "asset_mismatch"),
        (nothing, {"block_time_ms": LATE}, "late"),
        (expired, {}, "quote_expired"),
        (launched, {}, "race_launched"),
        (left, {}, "clone_left"),
    ],
)
def test_a_deposit_that_cannot_be_granted_goes_back_whole(
    till: Till, before: Callable[[Till, Purchase], None], change: dict[str, Any], code: str
) -> None:
    asked = ticket_of(till)
    before(till, asked)
    found = till.deposit(asked, **change)
    made = till.record(found)
    assert (made.outcome, made.code, till.get(asked.id).state) == ("refund_due", code, "refund_due")
    (owed,) = owed_to(till, asked.user_id)
    assert (owed.amount_wei, owed.asset, owed.recipient) == (found.amount_wei, found.asset, asked.wallet)
    assert (owed.purchase_id, owed.reason, owed.state) == (asked.id, code, "claimable")
    assert till.record(found) == Recorded("refund_due", code, asked.id, made.deposit_id, is_new=False)


def test_control_within_its_grace_it_is_granted(till: Till) -> None:
    asked = ticket_of(till)
    assert till.record(till.deposit(asked, block_time_ms=LATE - 1)).outcome == "granted"


def owed_to(till: Till, user_id: int) -> list[payables.Payable]:
    with till.clash.read() as connection:
        return payables.every(connection, user_id=user_id)


def test_a_block_after_the_close_goes_back(till: Till) -> None:
    asked = till.quote(Wanted(till.person(1), "ticket", till.race([None] * 4)[0], race_id=RACE, count=1),
                       now_ms=CLOSES - 1)  # fmt: skip
    assert till.record(till.deposit(asked, block_time_ms=CLOSES + 1)).code == "sales_closed"


def test_a_retired_clone_gets_no_audition(till: Till) -> None:
    asked = audition_of(till)
    with till.clash.write() as connection:
        moderation.retire(connection, asked.clone_id, actor="operator", reason="test", now_ms=START)
    assert till.record(till.deposit(asked)).code == "clone_retired"


def test_the_same_good_twice_goes_back_the_second_time(till: Till) -> None:
    first = audition_of(till)
    second = till.quote(Wanted(first.user_id, "audition", first.clone_id, model_tier=3))
    assert till.record(till.deposit(first)).outcome == "granted"
    assert till.record(till.deposit(second)).code == "already_bought"


def test_two_upgrades_of_one_base_do_not_add_up_to_a_dearer_cell(till: Till) -> None:
    user = till.person(1)
    clone = till.clone("Ada", user)
    till.pay(Wanted(user, "audition", clone))
    both = [till.quote(Wanted(user, "upgrade", clone, capacity_tier="pro")),
            till.quote(Wanted(user, "upgrade", clone, model_tier=3))]  # fmt: skip
    assert [till.record(till.deposit(asked)).code for asked in both] == [None, "already_bought"]


# whose deposit it is


@pytest.mark.parametrize(
    ("change", "code"),
    [({"nonce": 5}, "unknown_nonce"), ({"depositor": wallet(66)}, "depositor_mismatch")],
)
def test_a_deposit_of_nobody_goes_back_to_who_made_it(till: Till, change: dict[str, Any], code: str) -> None:
    asked = ticket_of(till)
    found = till.deposit(asked, **change)
    assert till.record(found).outcome == "stray"
    with till.clash.read() as connection:
        (owed,) = payables.every(connection)
    assert (owed.recipient, owed.amount_wei, owed.reason) == (found.depositor, found.amount_wei, code)
    assert till.get(asked.id).state == "quoted"
    assert till.record(till.deposit(asked)).outcome == "granted", "the honest one is not hurt"


def test_a_stranger_cannot_spoil_a_purchase_with_a_wei(till: Till) -> None:
    asked = ticket_of(till)
    assert till.record(till.deposit(asked, depositor=wallet(66), amount_wei=1)).outcome == "stray"
    assert till.record(till.deposit(asked)).outcome == "granted"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"contract": "0x" + "bb" * 20}, "contract_mismatch"),
        ({"chain_id": 1}, "contract_mismatch"),
        ({"resolver": "0x" + "bb" * 20}, "resolver_mismatch"),
    ],
)
def test_a_deposit_in_another_vault_than_was_quoted_goes_back(till: Till, change: dict[str, Any], code: str) -> None:
    asked = ticket_of(till)
    made = till.record(till.deposit(asked, **change))
    assert (made.outcome, made.code, till.get(asked.id).state) == ("stray", code, "quoted")
    with till.clash.read() as connection:
        (owed,) = payables.every(connection)
    assert (owed.recipient, owed.amount_wei) == (asked.wallet, asked.amount_wei)


def test_a_deposit_of_nothing_changes_nothing(till: Till) -> None:
    asked = ticket_of(till)
    made = till.record(till.deposit(asked, amount_wei=0))
    assert (made.outcome, made.code, made.deposit_id) == ("foreign", "nothing_paid", None)
    assert till.get(asked.id).state == "quoted"


@pytest.mark.parametrize("other", [{"asset": "0x" + "aa" * 20}, {}])
def test_a_second_deposit_for_a_nonce_goes_back_by_itself(till: Till, other: dict[str, Any]) -> None:
    asked = ticket_of(till)
    with till.clash.write() as connection:
        connection.execute(
            "INSERT INTO wallets (address, user_id, is_primary, added_at) VALUES (?, ?, 0, 0)",
            (wallet(99), asked.user_id),
        )
    assert till.record(till.deposit(asked)).outcome == "granted"
    again = till.record(till.deposit(asked, depositor=wallet(99), **other))
    assert (again.outcome, again.code) == ("stray", "deposit_already_used")
    assert [owed.recipient for owed in owed_to(till, asked.user_id)] == [wallet(99)]


def test_a_deposit_for_a_rejected_purchase_goes_back(till: Till) -> None:
    asked = ticket_of(till)
    with till.clash.write() as connection:
        purchases.hint(connection, asked.id, digest(5), now_ms=START)
        purchases.reject(connection, asked.id, "tx_failed", now_ms=START)
    made = till.record(till.deposit(asked))
    assert (made.outcome, made.code, till.get(asked.id).state) == ("stray", "purchase_rejected", "rejected")


# keys


def test_the_same_deposit_for_another_purchase_was_used(till: Till) -> None:
    asked = ticket_of(till)
    found = till.deposit(asked)
    till.record(found)
    other = till.quote(Wanted(asked.user_id, "audition", till.clone("Ada", asked.user_id)))
    for change in ({"nonce": other.nonce, "amount_wei": other.amount_wei}, {"amount_wei": 1}):
        with pytest.raises(DepositUsed):
            till.record(till.deposit(asked, tx_hash=found.tx_hash, **change))
    with pytest.raises(DepositUsed, match="used for something else"):
        till.record(till.deposit(asked, log_index=1))
    assert till.get(other.id).state == "quoted"


# hints


def test_a_hint_makes_a_quote_pending_and_is_canonical(till: Till) -> None:
    asked = ticket_of(till)
    with till.clash.write() as connection:
        made = purchases.hint(connection, asked.id, digest(0xABC).upper().replace("0X", "0x"), now_ms=START + 5)
        assert (made.state, made.tx_hash, made.next_try_at) == ("pending", digest(0xABC), START + 5)
        assert purchases.due(connection, now_ms=START + 5) == [made]
        waits = [purchases.put_off(connection, asked.id, "not_final", now_ms=0).next_try_at for _ in range(7)]
        assert waits == [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]


@pytest.mark.parametrize("bad", ["", "0x", "ab" * 32, "0x" + "a" * 63, "0x" + "a" * 65, "0x" + "g" * 64, None])
def test_control_a_hint_that_is_no_hash_is_refused(till: Till, bad: Any) -> None:
    asked = ticket_of(till)
    with pytest.raises(purchases.HintInvalid), till.clash.write() as connection:
        purchases.hint(connection, asked.id, bad, now_ms=START)


def test_a_hint_at_a_deposit_of_another_purchase_is_refused(till: Till) -> None:
    asked = ticket_of(till)
    found = till.deposit(asked)
    till.record(found)
    other = till.quote(Wanted(asked.user_id, "audition", till.clone("Ada", asked.user_id)))
    with pytest.raises(DepositUsed), till.clash.write() as connection:
        purchases.hint(connection, other.id, found.tx_hash, now_ms=START)
    with till.clash.write() as connection:
        assert purchases.hint(connection, asked.id, found.tx_hash, now_ms=START).state == "granted"
        with pytest.raises(EconomyConflict):
            purchases.hint(connection, asked.id, digest(4), now_ms=START)


def test_two_things_may_be_paid_in_one_transaction(till: Till) -> None:
    asked = ticket_of(till)
    other = till.quote(Wanted(asked.user_id, "audition", till.clone("Ada", asked.user_id)))
    first = till.deposit(asked)
    till.record(first)
    till.record(till.deposit(other, tx_hash=first.tx_hash, log_index=1))
    with till.clash.write() as connection:
        assert purchases.hint(connection, other.id, first.tx_hash, now_ms=START).state == "granted"


# expiry


def test_a_quote_expires_after_its_time_and_a_pending_one_after_a_day(till: Till) -> None:
    asked = ticket_of(till)
    other = till.quote(Wanted(asked.user_id, "audition", till.clone("Ada", asked.user_id)))
    with till.clash.write() as connection:
        purchases.hint(connection, other.id, digest(5), now_ms=START)
        assert purchases.expire(connection, now_ms=LATE - 1) == []
        assert purchases.expire(connection, now_ms=LATE) == [asked.id]
        assert purchases.expire(connection, now_ms=START + 86_400_000 - 1) == []
        assert purchases.expire(connection, now_ms=START + 86_400_000) == [other.id]


def test_a_quote_waits_until_the_watcher_passed_its_end(till: Till) -> None:
    """What was paid in time is granted, however late we hear of it."""
    asked = ticket_of(till)
    with till.clash.write() as connection:
        assert purchases.expire(connection, now_ms=LATE + 3_000_000, watched_ms=LATE - 1) == []
    assert till.record(till.deposit(asked), now_ms=LATE + 3_000_000).outcome == "granted"


def test_no_purchase_is_anothers(till: Till) -> None:
    asked = ticket_of(till)
    with till.clash.read() as connection, pytest.raises(EconomyUnknown, match="there is no purchase"):
        purchases.owned(connection, asked.id, asked.user_id + 1)
