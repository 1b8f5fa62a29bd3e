"""W6 and M2: a race that is killed at the fault points of its way, or advanced by many processes at once, ends with the
same rows as the undisturbed one, byte for byte."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline import faults
from clash_pipeline.arena import finishing, race_audit
from clash_pipeline.economy.audit import audit as audit_money
from clash_pipeline.storage import sqlite as storage
from tests.fakes import racing
from tests.fakes.circuit import Circuit
from tests.fakes.forking import Parent, parent_of
from tests.fakes.racing import POINTS, REMOVAL, Scenario

KILLED = -9
SEEDS, SOAK_SEEDS = range(30), range(30, 1_030)
OTHERS = 7
EVERY = 12
KILLED_AT: set[str] = set()
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with nine clones in slots."""
    home = tmp_path_factory.mktemp("races") / "template"
    racing.build(home)
    return home


@pytest.fixture(scope="module")
def parent() -> Iterator[Parent]:
    with parent_of("tests.fakes.racing") as running:
        yield running


class Undisturbed:
    """Advances in this process, and notes which points each moment reaches, in order."""

    def __init__(self) -> None:
        self.reached: list[list[str]] = []

    def __call__(self, circuit: Circuit) -> None:
        seen: list[str] = []
        faults._observers[:] = [seen.append]
        try:
            racing.in_process(circuit)
        finally:
            faults._observers.clear()
        self.reached.append(list(dict.fromkeys(seen)))


class Killed:
    """Is killed at some points of each moment, one process after the other, before one comes through.

    These are every n-th that a race reaches, and each at which none was killed before.
    """

    def __init__(self, parent: Parent, home: Path, reached: list[list[str]], every: int, seed: int) -> None:
        self.parent, self.home = parent, home
        self.moments = iter(reached)
        self.every, self.number = every, seed
        self.at: list[str] = []

    def __call__(self, circuit: Circuit) -> None:
        for point in next(self.moments):
            self.number += 1
            if self.number % self.every == 0 or point not in KILLED_AT:
                KILLED_AT.add(point)
                status = self.parent.order(
                    home=str(self.home), now_ms=circuit.now, price=circuit.venue.price, fault=f"{point}:kill"
                )
                assert status == KILLED, point
                self.at.append(point)
        racing.in_process(circuit)


def undisturbed(template: Path, folder: Path, seed: int) -> tuple[Rows, list[list[str]], str]:
    advance = Undisturbed()
    with racing.opened(racing.copied(template, folder / f"calm-{seed}")) as circuit:
        race = Scenario(seed).run(circuit, advance)
        assert race_audit.audit(circuit.clash) == []
        assert audit_money(circuit.clash).differences == ()
        return racing.rows(circuit.clash), advance.reached, race.state


def killed(
    template: Path, folder: Path, parent: Parent, seed: int, reached: list[list[str]], every: int
) -> tuple[Rows, list[str]]:
    home = racing.copied(template, folder / f"killed-{seed}")
    advance = Killed(parent, home, reached, every, seed)
    with racing.opened(home) as circuit:
        Scenario(seed).run(circuit, advance)
        return racing.rows(circuit.clash), advance.at


def test_a_race_that_is_killed_ends_as_the_undisturbed_one(template: Path, parent: Parent, tmp_path: Path) -> None:
    """Thirty races, each killed at a share of the points it reaches; together at every point there is."""
    at: set[str] = set()
    states = set()
    for seed in SEEDS:
        calm, reached, state = undisturbed(template, tmp_path, seed)
        rows, points = killed(template, tmp_path, parent, seed, reached, EVERY)
        assert rows == calm, seed
        at |= set(points)
        states.add(state)
    assert states == {"archived", "cancelled"}
    assert at >= POINTS


def test_a_removal_that_is_killed_happened_whole_or_not_at_all(template: Path, parent: Parent, tmp_path: Path) -> None:
    home = racing.copied(template, tmp_path / "removal")
    with racing.opened(home) as circuit:
        circuit.hear()
        racing.in_process(circuit)
        one = circuit.entrants(1)[0].clone_id
        before = racing.rows(circuit.clash)
        order = {"home": str(home), "now_ms": circuit.now, "price": "100", "remove": one}
        for point in sorted(REMOVAL):
            assert parent.order(**order, fault=f"{point}:kill") == KILLED
            assert racing.rows(circuit.clash) == before
        assert parent.order(**order) == 0
        assert [one.state for one in circuit.entrants(1)].count("removed") == 1
        assert race_audit.audit(circuit.clash) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", SOAK_SEEDS)
def test_a_race_that_is_killed_everywhere_soak(template: Path, parent: Parent, tmp_path: Path, seed: int) -> None:
    calm, reached, _ = undisturbed(template, tmp_path, seed)
    rows, points = killed(template, tmp_path, parent, seed, reached, 1)
    assert rows == calm
    assert len(points) == sum(map(len, reached))


def test_control_an_arrow_that_is_not_one_transaction_shows(
    template: Path, parent: Parent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the settlement made of single statements, a kill between them would leave what a repeat cannot mend."""
    _, reached, _ = undisturbed(template, tmp_path, 0)
    moment = next(number for number, points in enumerate(reached) if finishing.AFTER_RANKS in points)
    home = racing.copied(template, tmp_path / "torn")
    seen = iter(range(len(reached)))

    def torn(circuit: Circuit) -> None:
        if next(seen) != moment:
            racing.in_process(circuit)
            return
        with monkeypatch.context() as patch:
            patch.setattr(storage, "_begin_immediate", lambda connection: None)
            patch.setattr(storage, "_commit", lambda connection: None)
            faults.arm(f"{finishing.AFTER_RANKS}:raise")
            with pytest.raises(faults.InjectedFault):
                racing.in_process(circuit)
            faults.arm("")
        raise StopIteration

    with racing.opened(home) as circuit, pytest.raises(StopIteration):
        Scenario(0).run(circuit, torn)
    with racing.opened(home) as circuit:
        assert [found.message for found in race_audit.audit(circuit.clash)] != []


def settled_by_many(template: Path, folder: Path, parent: Parent, seed: int) -> Rows:
    """Every moment is advanced by eight processes at once."""
    home = racing.copied(template, folder / f"many-{seed}")

    def advance(circuit: Circuit) -> None:
        order = {"home": str(home), "now_ms": circuit.now, "price": circuit.venue.price}
        assert parent.order(**order, others=OTHERS) == 0

    with racing.opened(home) as circuit:
        Scenario(seed).run(circuit, advance)
        return racing.rows(circuit.clash)


def test_settled_by_many_is_settled_once(template: Path, parent: Parent, tmp_path: Path) -> None:
    """M2 over the Arena: one row set, one hash."""
    for seed in range(2):
        calm, _, _ = undisturbed(template, tmp_path, seed)
        assert settled_by_many(template, tmp_path, parent, seed) == calm, seed


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 300))
def test_settled_by_many_is_settled_once_soak(template: Path, parent: Parent, tmp_path: Path, seed: int) -> None:
    calm, _, _ = undisturbed(template, tmp_path, seed)
    assert settled_by_many(template, tmp_path, parent, seed) == calm
