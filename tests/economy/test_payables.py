"""What is owed, from claimable to taken; void auditions; credits that are used once."""

import pytest

from clash_pipeline.economy import credits as auditions
from clash_pipeline.economy import ledger, payables, refunds
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown
from clash_pipeline.storage.sqlite import IntegrityError
from tests.fakes.till import RACE, START, TERMS, Till


def bought(till: Till, number: int = 1) -> Purchase:
    user = till.person(number)
    return till.pay(Wanted(user, "audition", till.clone(f"Ada {number}", user)))


def refund(till: Till, purchase_id: int) -> int:
    with till.clash.write() as connection:
        return refunds.refund_granted(connection, purchase_id, actor="admin", reason="void", now_ms=START)


def test_a_void_audition_is_refunded_once_and_stays_granted(till: Till) -> None:
    made = bought(till)
    assert refund(till, made.id) == refund(till, made.id)
    with till.clash.read() as connection:
        (owed,) = payables.every(connection)
        assert (owed.amount_wei, owed.recipient, owed.reason) == (made.amount_wei, made.wallet, "void")
        assert ledger.balance(connection, ledger.FEES, TERMS.chain_id, TERMS.asset) == 0
        assert auditions.unused(connection, made.clone_id) is None, "what was refunded is not used"
    assert till.get(made.id).state == "granted"
    assert audit(till.clash).differences == ()


def test_control_tickets_upgrades_and_what_was_not_granted_are_not_refunded_so(till: Till) -> None:
    made = bought(till)
    upgrade = till.pay(Wanted(made.user_id, "upgrade", made.clone_id, model_tier=2))
    ticket = till.bet(made.user_id, till.race([None] * 4)[0])
    open_quote = till.quote(Wanted(made.user_id, "upgrade", made.clone_id, model_tier=3))
    for purchase in (upgrade, ticket, open_quote):
        with pytest.raises(EconomyConflict):
            refund(till, purchase.id)
    with pytest.raises(EconomyUnknown):
        refund(till, 999)


def test_a_payable_is_authorised_then_taken_each_once(till: Till) -> None:
    asked = till.quote(Wanted(till.person(1), "ticket", till.race([None] * 4)[0], race_id=RACE, count=1))
    till.record(till.deposit(asked, amount_wei=5))
    with till.clash.write() as connection:
        with pytest.raises(EconomyConflict, match="nothing was authorised"):
            payables.claim(connection, 1, reason="w", now_ms=START)
        assert payables.authorise(connection, 1, actor="resolver", now_ms=START)
        assert not payables.authorise(connection, 1, actor="resolver", now_ms=START + 1)
    assert till.get(asked.id).state == "refunded"
    with till.clash.write() as connection:
        assert payables.claim(connection, 1, reason="w", now_ms=START + 2)
        assert not payables.claim(connection, 1, reason="w", now_ms=START + 3)
        assert ledger.balance(connection, ledger.VAULT, TERMS.chain_id, TERMS.asset) == 0
        assert payables.get(connection, 1).state == "claimed"
    assert audit(till.clash).differences == ()


@pytest.mark.parametrize("column", ["amount_wei", "recipient", "account", "kind", "user_id", "chain_id"])
def test_the_terms_of_a_payable_never_change(till: Till, column: str) -> None:
    refund(till, bought(till).id)
    with pytest.raises(IntegrityError), till.clash.write() as connection:
        connection.execute(f"UPDATE payables SET {column} = '77777'")


def test_no_payable_is_anothers(till: Till) -> None:
    made = bought(till)
    owed = refund(till, made.id)
    with till.clash.read() as connection:
        assert payables.owned(connection, owed, made.user_id).id == owed
        with pytest.raises(EconomyUnknown):
            payables.owned(connection, owed, made.user_id + 1)


def test_a_credit_is_used_by_one_audition(till: Till) -> None:
    made = bought(till)
    with till.clash.write() as connection:
        assert auditions.use(connection, made.id, 5, now_ms=START)
        assert not auditions.use(connection, made.id, 5, now_ms=START)
        with pytest.raises(EconomyConflict):
            auditions.use(connection, made.id, 6, now_ms=START)
        with pytest.raises(EconomyUnknown):
            auditions.use(connection, 999, 6, now_ms=START)
        assert auditions.unused(connection, made.clone_id) is None


def test_a_refunded_credit_is_not_used(till: Till) -> None:
    made = bought(till)
    refund(till, made.id)
    with pytest.raises(EconomyConflict, match="refunded"), till.clash.write() as connection:
        auditions.use(connection, made.id, 5, now_ms=START)
