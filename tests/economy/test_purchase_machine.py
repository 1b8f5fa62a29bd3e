"""M5: purchases under any order of events reach exactly one end, and what was deposited is what was granted, kept for
somebody, or paid back, to the wei."""

import itertools
import shutil
import tempfile
from collections import Counter
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from clash_pipeline.clock import DAY_MS
from clash_pipeline.economy import credits as auditions
from clash_pipeline.economy import deposits, ledger, payables, pools, purchases, settling
from clash_pipeline.economy.audit import audit
from clash_pipeline.economy.purchases import ARROWS, TERMINAL, Purchase
from clash_pipeline.economy.quotes import Wanted
from clash_pipeline.economy.refusals import EconomyError
from clash_pipeline.storage.files import CLASH_APPLICATION_ID
from clash_pipeline.storage.sqlite import Database
from tests.fakes.till import CLOSES, OPENS, RACE, START, TERMS, Till, digest, wallet

USERS = 3
FOLDER = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
CHANGES: list[dict[str, Any]] = [
    {}, {}, {}, {"amount_wei": 1}, {"amount_wei": 10**18}, {"asset": "0x" + "aa" * 20}, {"depositor": wallet(66)},
    {"depositor": wallet(1)}, {"block_time_ms": CLOSES + 1}, {"contract": "0x" + "bb" * 20}, {"nonce": 1},
    {"amount_wei": 0},
]  # fmt: skip
PURPOSES = ("audition", "upgrade", "retry", "ticket", "ticket")


class Machine(RuleBasedStateMachine):
    """People who buy, pay, mispay and forget, a watcher, a race that runs, and a resolver that pays out."""

    template: Path
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=FOLDER))
        path = Path(shutil.copy(self.template, self.folder / "clash.db"))
        self.clash = Database(path, application_id=CLASH_APPLICATION_ID, synchronous="NORMAL")
        self.till, self.now = Till(self.clash), START
        with self.clash.together():
            self.users = [self.till.person(number) for number in range(1, USERS + 1)]
            self.clones = [self.till.clone(f"Clone {user}", user) for user in self.users]
            self.field = self.till.race([*self.users, None])
        self.asked: list[Purchase] = []
        self.paid_in: Counter[str] = Counter()
        self.told: Counter[tuple[str, str]] = Counter()
        self.taken: Counter[str] = Counter()
        self.states: dict[int, str] = {}

    def teardown(self) -> None:
        """The audit finds nothing, and once everybody has waited long enough each purchase has come to its one end."""
        try:
            assert audit(self.clash).differences == ()
            self.come_to_an_end()
            self.all_is_somewhere()
            assert self.ends() == self.told
        finally:
            self.clash.close()
            shutil.rmtree(self.folder)

    # what people do

    @rule(user=st.integers(0, USERS - 1), purpose=st.sampled_from(PURPOSES), tier=st.integers(1, 3),
          size=st.sampled_from(("starter", "builder", "pro")), count=st.integers(1, 3))  # fmt: skip
    def quote(self, user: int, purpose: Any, tier: int, size: str, count: int) -> None:
        """Ask for a price; a refusal is an answer."""
        ticket = Wanted(self.users[user], "ticket", self.field[count], race_id=RACE, count=count)
        tiers = {} if purpose == "retry" else {"capacity_tier": size, "model_tier": tier}
        other = Wanted(self.users[user], purpose, self.clones[user], **tiers)  # type: ignore[arg-type]
        try:
            made = self.till.quote(ticket if purpose == "ticket" else other, now_ms=self.now)
        except EconomyError:
            return
        self.asked.append(made)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), change=st.sampled_from(CHANGES), after=st.sampled_from((0, 1_000, 1_100_000)),
          again=st.booleans())  # fmt: skip
    def deposit(self, data: st.DataObject, change: dict[str, Any], after: int, again: bool) -> None:
        """A deposit of some kind becomes final, perhaps told twice."""
        asked = data.draw(st.sampled_from(self.asked))
        found = self.till.deposit(asked, **{"block_time_ms": asked.quoted_at + after, **change})
        for _ in range(1 + again):
            try:
                made = self.till.record(found, now_ms=self.now)
            except EconomyError:
                return
            if made.is_new:
                self.paid_in[found.asset] += found.amount_wei
                self.told[made.outcome, found.asset] += found.amount_wei

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), number=st.integers(1, 40))
    def hint(self, data: st.DataObject, number: int) -> None:
        self.attempt(purchases.hint, data, tx_hash=digest(number))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def put_off(self, data: st.DataObject) -> None:
        self.attempt(purchases.put_off, data, reason="not_final")

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        self.attempt(purchases.reject, data, code="tx_failed")

    def attempt(self, act: Any, data: st.DataObject, **given: Any) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        try:
            with self.clash.write() as connection:
                act(connection, asked.id, now_ms=self.now, **given)
        except EconomyError:
            return

    @rule(user=st.integers(0, USERS - 1))
    def audition(self, user: int) -> None:
        """Use a credit, so that a retry can be sold."""
        with self.clash.write() as connection:
            credit = auditions.unused(connection, self.clones[user])
            if credit is not None:
                auditions.use(connection, credit, credit, now_ms=self.now)

    # what the system does

    @rule(step=st.sampled_from((1_000, 600_000, 1_200_000, 90_000_000)))
    def time_passes(self, step: int) -> None:
        """Not beyond the sales of the race too soon, for then nothing is sold any more."""
        self.now += step if step < 90_000_000 or self.now > CLOSES else 60_000
        with self.clash.write() as connection:
            purchases.expire(connection, now_ms=self.now)

    @rule(clone=st.integers(0, 3))
    def leave(self, clone: int) -> None:
        try:
            with self.clash.write() as connection:
                pools.leave(connection, RACE, self.field[clone], now_ms=self.now)
        except EconomyError:
            return

    @precondition(lambda self: self.now > OPENS)
    @rule(is_cancelled=st.booleans(), order=st.permutations(range(4)))
    def settle(self, is_cancelled: bool, order: list[int]) -> None:
        """The race is launched and settled, or cancelled; any number of times."""
        with self.clash.write() as connection:
            pools.close_pool(connection, RACE, now_ms=self.now)
            running = {clone.clone_id for clone in pools.field(connection, RACE, with_left=False)}
            started = [self.field[place] for place in order if self.field[place] in running]
            settling.settle_race(connection, RACE, started, is_cancelled=is_cancelled, now_ms=self.now)

    @rule(does_claim=st.booleans())
    def pay_out(self, does_claim: bool) -> None:
        """The oldest that is open is authorised, and perhaps taken."""
        with self.clash.write() as connection:
            owed = [item for item in payables.every(connection, limit=1_000) if item.state != "claimed"]
            if not owed:
                return
            payables.authorise(connection, owed[-1].id, actor="resolver", now_ms=self.now)
            if does_claim:
                payables.claim(connection, owed[-1].id, reason="withdrawn", now_ms=self.now)
                self.taken[owed[-1].asset] += owed[-1].amount_wei

    # how it ends

    def come_to_an_end(self) -> None:
        """Ten days later, with everything paid out that is owed: one end each, and no arrow that leaves it."""
        self.now += 10 * DAY_MS
        with self.clash.together():
            with self.clash.write() as connection:
                purchases.expire(connection, now_ms=self.now)
                owed = payables.every(connection, limit=10_000)
            for _ in owed:
                self.pay_out(does_claim=True)
            with self.clash.write() as connection:
                ways = connection.execute("SELECT * FROM purchase_moves ORDER BY purchase_id, seq").fetchall()
        for _, way in groupby(ways, key=itemgetter("purchase_id")):
            states = [move["to_state"] for move in way]
            assert states[-1] in TERMINAL
            assert sum(state in TERMINAL - {"expired"} for state in states) == (states[-1] != "expired")

    def ends(self) -> Counter[tuple[str, str]]:
        """What was deposited, in wei, by what became of it, out of the rows of purchases and of what went back."""
        found: Counter[tuple[str, str]] = Counter()
        with self.clash.read() as connection:
            for row in connection.execute("SELECT asset, amount_wei FROM purchases WHERE state = 'granted'"):
                found["granted", row["asset"]] += int(row["amount_wei"])
            for owed in payables.every(connection, limit=10_000):
                if owed.ticket_id is None and owed.kind == "refund":
                    found["stray" if owed.purchase_id is None else "refund_due", owed.asset] += owed.amount_wei
        return found

    # what must always hold

    @invariant()
    def states_follow_arrows(self) -> None:
        """After each step a purchase stands where its last state leads, over any number of arrows at once."""
        with self.clash.read() as connection:
            stored = {row["id"]: row["state"] for row in connection.execute("SELECT id, state FROM purchases")}
        Machine.steps += 1
        for purchase_id, now in stored.items():
            before = self.states.get(purchase_id, "quoted")
            assert now == before or now in reachable(before), (purchase_id, before, now)
        self.states = stored

    @invariant()
    def all_is_somewhere(self) -> None:
        """What came in less what was taken is what every account holds together, and the vault has it."""
        with self.clash.read() as connection:
            for asset in self.paid_in:
                held = ledger.wei_sum(
                    row["balance_wei"]
                    for row in connection.execute(
                        "SELECT balance_wei FROM wei_balances WHERE asset = ? AND account <> 'chain:vault'", (asset,)
                    )
                )
                vault = ledger.balance(connection, ledger.VAULT, TERMS.chain_id, asset)
                assert held == vault == self.paid_in[asset] - self.taken[asset]


def reachable(state: str) -> set[str]:
    found, ahead = set[str](), set(ARROWS[state])
    while ahead:
        found |= ahead
        ahead = {to for at in ahead for to in ARROWS[at]} - found
    return found


def run(home: Path, examples: int, more: tuple[Phase, ...] = (Phase.shrink,), seed: int | None = None) -> None:
    Machine.template, Machine.steps = home / "clash.db", 0
    chosen = hypothesis_settings(
        max_examples=examples, stateful_step_count=50, derandomize=seed is None, phases=[Phase.generate, *more]
    )
    machine = Machine if seed is None else hypothesis.seed(seed)(type("Machine", (Machine,), {}))
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[no-untyped-call]


def test_every_purchase_ends_once_and_every_wei_is_somewhere(migrated_home: Path) -> None:
    run(migrated_home, examples=100)
    assert Machine.steps >= 5_000


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))
def test_a_hundred_thousand_steps(migrated_home: Path, part: int) -> None:
    taken = 0
    for seed in itertools.count(1_000 * part):
        run(migrated_home, examples=100, seed=seed)
        taken += Machine.steps
        if taken >= 5_000:
            return


def test_control_a_refund_that_is_forgotten_is_found(monkeypatch: pytest.MonkeyPatch, migrated_home: Path) -> None:
    monkeypatch.setattr(deposits.refunds, "owe", lambda *_, **__: 0)
    with pytest.raises(AssertionError):
        run(migrated_home, examples=60, more=())


def test_control_a_move_that_is_no_arrow_is_refused(monkeypatch: pytest.MonkeyPatch, till: Till) -> None:
    """The code's own list of arrows and the trigger's are two; either alone holds."""
    monkeypatch.setitem(purchases.ARROWS, "quoted", frozenset({"granted"}))
    user = till.person(1)
    asked = till.quote(Wanted(user, "audition", till.clone("Ada", user)))
    with pytest.raises(Exception, match="cannot move"), till.clash.write() as connection:
        purchases.move(connection, asked.id, "granted", reason=None, actor="test", now_ms=START)
