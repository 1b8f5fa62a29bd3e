"""One deposit that many claim at once for four purposes of the same price: one grant (M4, F6)."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace

import pytest

from clash_pipeline.economy import credits as auditions
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.deposits import VerifiedDeposit
from clash_pipeline.economy.purchases import Purchase
from clash_pipeline.economy.quotes import Wanted
from tests.fakes.forking import ROOT
from tests.fakes.till import RACE, START, TICKET, Till

PROCESSES, THREADS = 4, 4
ONCE = {"granted": 1, "again": 3, "used": 12}


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
    """Each deposit by the sixteen threads of four processes, four for each purpose; what they were told of it."""
    with till.clash.together():
        user = till.person(1)
        till.race([None] * 4)
        claims = [claims_of(till, user, turn, with_keys=with_keys) for turn in range(1, turns + 1)]
    order = {
        "home": str(till.clash.path.parent), "processes": PROCESSES, "threads": THREADS,
        "turns": [[asdict(claim) for claim in same] for same in claims],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.claimants"], cwd=ROOT, input=json.dumps(order), stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    told = [Counter[str]() for _ in claims]
    for turn, heard in json.loads(done.stdout):
        told[int(turn)][heard] += 1
    return told


def claims_of(till: Till, user: int, turn: int, *, with_keys: bool) -> list[VerifiedDeposit]:
    """One place on the chain, told as the deposit of each of the four purposes."""
    first, *others = [till.deposit(asked) for asked in four(till, user, turn)]
    place = {"tx_hash": first.tx_hash, "log_index": first.log_index} if with_keys else {}
    return [first, *(replace(other, **place) for other in others)]  # type: ignore[arg-type]


def test_one_deposit_is_granted_once(till: Till) -> None:
    assert claimed_at_once(till, 200) == [ONCE] * 200
    assert audit(till.clash).differences == ()


@pytest.mark.soak
@pytest.mark.parametrize("part", range(25))
def test_ten_thousand_deposits_are_granted_once_each(till: Till, part: int) -> None:
    assert claimed_at_once(till, 400) == [ONCE] * 400
    assert audit(till.clash).differences == ()


def test_control_with_keys_of_their_own_they_are_four_grants(till: Till) -> None:
    assert claimed_at_once(till, 1, with_keys=False) == [{"granted": 4, "again": 12}]
