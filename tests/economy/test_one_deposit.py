"""One deposit that many claim at once for four purposes of the same price: one grant (M4, F6)."""

import threading
from collections import Counter
from dataclasses import replace

import pytest

from clash_pipeline.economy import credits as auditions
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.deposits import VerifiedDeposit
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import DepositUsed
from clash_pipeline.storage.errors import StorageBusy
from tests.fakes.till import RACE, START, TICKET, Till

THREADS = 16


def four(till: Till, user: int, turn: int) -> list[Purchase]:
    """An audition, an upgrade, a retry and a ticket, each for 0.01 ETH."""
    clones = [till.clone(f"Clone {turn}/{number}", user) for number in range(3)]
    till.pay(Wanted(user, "audition", clones[1]))
    used = till.pay(Wanted(user, "audition", clones[2]))
    with till.clash.write() as connection:
        auditions.use(connection, used.id, turn, now_ms=START)
        racer = connection.execute("SELECT min(clone_id) FROM economy_pool_clones").fetchone()[0]
    asked = [
        till.quote(Wanted(user, "audition", clones[0])),
        till.quote(Wanted(user, "upgrade", clones[1], model_tier=2)),
        till.quote(Wanted(user, "retry", clones[2])),
        till.quote(Wanted(user, "ticket", racer, race_id=RACE, count=1)),
    ]
    assert {purchase.amount_wei for purchase in asked} == {TICKET}
    return asked


def claimed_at_once(till: Till, turns: int, *, with_keys: bool = True) -> list[Counter[str]]:
    """Each deposit by sixteen threads, four for each purpose; what they were told of it."""
    with till.clash.together():
        user = till.person(1)
        till.race([None] * 4)
        claims = [claims_of(till, user, turn, with_keys=with_keys) for turn in range(1, turns + 1)]
    told = [Counter[str]() for _ in claims]
    start, guard = threading.Barrier(THREADS), threading.Lock()

    def run(number: int) -> None:
        start.wait()
        for turn, same in enumerate(claims):
            heard = answer(till, same[number % len(same)])
            with guard:
                told[turn][heard] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def claims_of(till: Till, user: int, turn: int, *, with_keys: bool) -> list[VerifiedDeposit]:
    """One place on the chain, told as the deposit of each of the four purposes."""
    first, *others = [till.deposit(asked) for asked in four(till, user, turn)]
    place = {"tx_hash": first.tx_hash, "log_index": first.log_index} if with_keys else {}
    return [first, *(replace(other, **place) for other in others)]  # type: ignore[arg-type]


def answer(till: Till, claim: VerifiedDeposit) -> str:
    while True:
        try:
            made = till.record(claim)
        except StorageBusy:
            continue
        except DepositUsed:
            return "used"
        return made.outcome if made.is_new else "again"


def test_one_deposit_is_granted_once(till: Till) -> None:
    assert claimed_at_once(till, 40) == [{"granted": 1, "again": 3, "used": 12}] * 40
    assert audit(till.clash).differences == ()


@pytest.mark.soak
@pytest.mark.parametrize("part", range(25))
def test_ten_thousand_deposits_are_granted_once_each(till: Till, part: int) -> None:
    assert claimed_at_once(till, 400) == [{"granted": 1, "again": 3, "used": 12}] * 400
    assert audit(till.clash).differences == ()


def test_control_with_keys_of_their_own_they_are_four_grants(till: Till) -> None:
    assert claimed_at_once(till, 1, with_keys=False) == [{"granted": 4, "again": 12}]
