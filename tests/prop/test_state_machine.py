"""L1 and L2: everything that can happen to an account, in any order, on the engine and on a model of plain fractions.

L1 lets Hypothesis choose the steps and shrink them; L2 is a plain walk whose seed decides everything, and which shrinks
by leaving steps out. After each step balance, positions, state and ledger are those of the model; in the end the audit
goes over every account that there was.
"""

import itertools
import logging
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from clash_pipeline.prop import funding, intake, liquidation, triggers
from clash_pipeline.settings import load
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.sqlite import IntegrityError
from tests.conftest import NOW
from tests.fakes.prop_walk import ASSETS, BREAKS, Walk, random_proposal, random_step, replay, shrunk

EXAMPLES, STEPS = 20, 200
"""Examples of one seed, and the most steps of an example: some end early, so seeds follow until all are taken."""
TAKEN, SOAK_TAKEN = 20_000, 1_000_000
WALKS, WALK = 4, 25_000
SOAK_WALKS, SOAK_WALK = 100, 100_000
"""So many walks of so many steps: a hundred thousand at CI size, ten million in the soak."""
IN_MEMORY = Path("/dev/shm")
"""Where there is one: durability is not what these tests are about, and it costs most of their time."""

symbols = st.sampled_from(sorted(ASSETS))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """An hour without a rate is said at each mark of each step: printing it would cost more than the step."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture
def make(migrated_home: Path) -> Iterator[Callable[[], Walk]]:
    """A walk in a home of its own, as often as wanted."""
    where = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        made: list[Walk] = []

        def one() -> Walk:
            home = Path(folder) / str(len(made))
            shutil.copytree(migrated_home, home)
            made.append(Walk(load({"CLASH_HOME": str(home)}), NOW))
            return made[-1]

        yield one
        for walk in made:
            walk.clash.close()


class Account(RuleBasedStateMachine):
    """Every step of a walk as a rule."""

    make: Callable[[], Walk]
    taken: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.walk = type(self).make()

    @rule(seed=st.integers(0, 2**16), count=st.integers(1, 3))
    def submit(self, seed: int, count: int) -> None:
        source = random.Random(seed)
        self.walk.submit(*(random_proposal(source) for _ in range(count)))

    @rule(symbol=symbols)
    def flip(self, symbol: str) -> None:
        self.walk.flip(symbol)

    @rule()
    def duplicate(self) -> None:
        self.walk.repeat()

    @rule()
    def contradict(self) -> None:
        self.walk.contradict()

    @rule(symbol=symbols, thousandths=st.integers(-400, 400))
    def move_price(self, symbol: str, thousandths: int) -> None:
        self.walk.move_price(symbol, thousandths)

    @rule(minutes=st.integers(1, 120))
    def mark(self, minutes: int) -> None:
        self.walk.tick(minutes)

    @rule(rate_e10=st.integers(-400_000_000, 400_000_000))
    def fund(self, rate_e10: int) -> None:
        self.walk.hour(rate_e10)

    @rule(name=st.sampled_from(("pause", "resume", "lock", "unlock")))
    def act(self, name: str) -> None:
        self.walk.act(name)

    @precondition(lambda self: self.walk.halted or self.walk.model.open())
    @rule()
    def switch(self) -> None:
        self.walk.switch(not self.walk.halted)

    @rule(name=st.sampled_from(("complete", "liquidate")))
    def end(self, name: str) -> None:
        self.walk.end(name)

    @rule(place=st.sampled_from(BREAKS), is_flip=st.booleans(), is_fatal=st.booleans())
    def crash(self, place: str, is_flip: bool, is_fatal: bool) -> None:
        self.walk.break_at(place, is_flip)
        if is_fatal:
            self.walk.reopen()

    def teardown(self) -> None:
        type(self).taken.append(len(self.walk.trace))
        self.walk.full_audit()
        self.walk.remove()


def run_machine(make: Callable[[], Walk], steps: int) -> None:
    """Take so many steps, seed after seed."""
    taken: list[int] = []
    quiet = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    for number in itertools.count():
        machine = hypothesis.seed(number)(type("Machine", (Account,), {"make": staticmethod(make), "taken": taken}))
        run_state_machine_as_test(machine, settings=quiet)
        if sum(taken) >= steps:
            return


def take(make: Callable[[], Walk], seed: int, steps: int) -> Walk:
    """A walk of a seed; a failure names the seed and the fewest steps that repeat it."""
    walk, source = make(), random.Random(seed)
    try:
        random_steps(walk, source, steps)
        walk.full_audit()
    except (AssertionError, StorageError, IntegrityError) as error:
        few = shrunk(make, walk.trace) if replay(make(), walk.trace) else walk.trace[-20:]
        raise AssertionError(f"seed {seed}, step {len(walk.trace)}: {few}") from error
    return walk


def random_steps(walk: Walk, source: random.Random, count: int) -> None:
    for _ in range(count):
        random_step(walk, source)


@pytest.mark.timeout(1_200)
def test_a_state_machine_agrees_with_the_model(make: Callable[[], Walk]) -> None:
    run_machine(make, TAKEN)


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_a_state_machine_agrees_with_the_model_soak(make: Callable[[], Walk]) -> None:
    run_machine(make, SOAK_TAKEN)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(20250721, 20250721 + WALKS))
def test_a_random_walk_agrees_with_the_model(make: Callable[[], Walk], seed: int) -> None:
    walk = take(make, seed, WALK)
    with walk.clash.read() as connection:
        origins = {row["origin"] for row in connection.execute("SELECT DISTINCT origin FROM prop_orders")}
        reasons = {row[0][:8] for row in connection.execute("SELECT reason FROM prop_results")}
        shortfalls = connection.execute("SELECT count(*) FROM prop_results WHERE shortfall > 0").fetchone()[0]
    assert origins == {"decision", "stop", "target", "liquidation", "admin"}, "the walk went everywhere"
    assert {"drawdown", "maintena", "admin: w"} == reasons
    assert shortfalls > 0


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("seed", range(SOAK_WALKS))
def test_a_random_walk_agrees_with_the_model_soak(make: Callable[[], Walk], seed: int) -> None:
    take(make, seed, SOAK_WALK)


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (funding, "payment", lambda size, decimals, oracle, rate: 0),
        (liquidation, "breach", lambda account, book, listing: None),
        (triggers, "fire", lambda desk: []),
        (intake, "_repeats", lambda connection, account_id, run_id, proposals: None),
    ],
    ids=["funding for nothing", "no liquidation", "no stops", "no idempotency"],
)
def test_control_a_broken_rule_is_found(
    make: Callable[[], Walk], monkeypatch: pytest.MonkeyPatch, module: object, name: str, broken: Callable[..., object]
) -> None:
    monkeypatch.setattr(module, name, broken)
    walk, source = make(), random.Random(1)
    with pytest.raises((AssertionError, StorageError, IntegrityError)):
        random_steps(walk, source, 800)


def test_control_a_failure_shrinks_to_the_steps_that_matter(
    make: Callable[[], Walk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funding, "payment", lambda size, decimals, oracle, rate: 0)
    steps = [
        ("tick", 1), ("repeat",), ("flip", "BTC"), ("move_price", "DOGE", 5), ("hour", 125_000), ("reopen",),
    ]  # fmt: skip
    assert shrunk(make, steps) == [("flip", "BTC"), ("hour", 125_000)]
