"""A final deposit that the chain loses (M10): its effect is frozen within one step of the watch, nobody else's."""

import random
import shutil
from pathlib import Path

import pytest

from clash_pipeline.clock import HOUR_MS
from clash_pipeline.clones import entitlements
from clash_pipeline.economy import credits as auditions
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.chain import looks
from clash_pipeline.economy.payouts import PayoutPaused
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import EconomyConflict
from clash_pipeline.settings import load
from clash_pipeline.storage.files import open_clash
from clash_pipeline.storage.sqlite import Database
from tests.fakes.chained import Chained


def lose(clash: Database, seed: int) -> None:
    """One race with backers and an audition; one deposit is lost after it was granted."""
    chance = random.Random(seed)
    chained = Chained(clash, seed=seed)
    chained.move_to(50_000 + seed)
    people = [chained.till.person(number) for number in range(1, 6)]
    race, own = 2_000 + seed, chained.till.clone(f"Own {seed}", people[4])
    field = chained.till.race(people[:4], race_id=race)
    bought = [chained.quote(Wanted(people[4], "audition", own))]
    bought += [chained.quote(Wanted(user, "ticket", clone, race_id=race, count=1))
               for user, clone in zip(people[:4], field, strict=True)]  # fmt: skip
    for purchase in bought:
        chained.pay(purchase)
        chained.chain.mine(chance.randrange(1, 3))
    chained.settle_in()
    assert {chained.get(purchase).state for purchase in bought} == {"granted"}
    lost = chance.choice(bought)
    chained.chain.mine(chance.randrange(1, 30))
    chained.chain.reorganise(
        len(chained.chain.blocks) - 1, lambda tx: not (tx.sender == lost.wallet and tx.value == lost.amount_wei)
    )
    chained.chain.mine(1)
    done = chained.step(1_000 if chance.random() < 0.5 else HOUR_MS)

    gone = [purchase for purchase in bought if purchase.wallet == lost.wallet]
    assert len(done.gone) == len(gone) == 1, "one step, and one purchase"
    with clash.read() as connection:
        frozen = [row["purchase_id"] for row in connection.execute(
            "SELECT f.* FROM frozen_deposits f JOIN chain_deposits d ON d.id = f.deposit_id WHERE d.chain_id = ?",
            (chained.vault.chain_id,))]  # fmt: skip
        assert frozen == [lost.id]
        tickets = connection.execute("SELECT count(*) FROM tickets WHERE race_id = ?", (race,)).fetchone()[0]
        is_mock = entitlements.effective(connection, own).is_mock
        unused = auditions.unused(connection, own)
    assert ("deposit_gone", f"deposit {done.gone[0]}") in chained.incidents()
    assert tickets == 4
    assert is_mock == (lost.purpose == "audition")
    assert (unused is None) == (lost.purpose == "audition")
    _settle(chained, field, race, lost.wallet if lost.purpose == "ticket" else None)
    if lost.purpose == "audition":
        with pytest.raises(EconomyConflict, match="gone from the chain"), clash.write() as connection:
            auditions.use(connection, lost.id, 1, now_ms=chained.clock.now_ms())


def _settle(chained: Chained, field: list[int], race: int, loser: str | None) -> None:
    """The race pays as it would have; only what rests on the lost deposit is held back."""
    settled = chained.till.settle(field, race_id=race)
    assert settled is not None
    before = {owed.id: owed for owed in chained.owed() if owed.race_id == race and owed.kind == "payout"}
    assert before
    for payable in before.values():
        if payable.recipient == loser:
            with pytest.raises(PayoutPaused, match="gone from the chain"):
                chained.authorise(payable.id)
        elif sum(each.amount_wei for each in before.values()) < chained.chain.head.state.balances.get(
            chained.vault.resolver, 0
        ):
            chained.authorise(payable.id)


@pytest.mark.parametrize("seed", range(10))
def test_ten_lost_deposits(clash: Database, seed: int) -> None:
    lose(clash, seed)
    assert audit(clash).is_clean


@pytest.mark.soak
def test_a_thousand_lost_deposits(migrated_home: Path, tmp_path: Path) -> None:
    """Each on a chain and in a file of its own: together they would want more in an hour than is paid out in one."""
    for seed in range(100, 1_100):
        clash = open_clash(load({"CLASH_HOME": str(shutil.copytree(migrated_home, tmp_path / "home"))}))
        lose(clash, seed)
        assert audit(clash).is_clean
        clash.close()
        shutil.rmtree(tmp_path / "home")


def test_control_a_watcher_that_looks_once_does_not_notice(clash: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "after_a_reorganisation", lambda *_: [])
    monkeypatch.setattr(looks, "due", lambda *_: [])
    with pytest.raises(AssertionError, match="one step"):
        lose(clash, 1)


def test_a_deposit_that_is_mined_again_elsewhere_is_still_there(chained: Chained) -> None:
    user = chained.till.person(1)
    purchase = chained.quote(Wanted(user, "audition", chained.till.clone("One", user)))
    chained.pay(purchase)
    chained.chain.mine(2)
    chained.settle_in()
    chained.chain.reorganise(6)
    chained.chain.mine(1)
    assert chained.step(1_000).gone == []
    assert chained.get(purchase).state == "granted"
    assert {kind for kind, _ in chained.incidents()} == {"final_block_replaced"}
