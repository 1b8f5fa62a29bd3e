"""Clocks that step back, or are an hour off for a while: no arrow of a race is skipped or taken twice (W4)."""

import random

import pytest

from clash_pipeline.arena import race_audit, race_rules, races
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.economy.audit import audit as audit_money
from clash_pipeline.settings import Settings
from tests.fakes.circuit import Circuit

SEEDS, SOAK_SEEDS = range(1), range(2, 202)
STEP_MS = 15 * MINUTE_MS
STEPS = 84
"""Twenty-one hours: two races and most of a third."""


def wander(circuit: Circuit, seed: int, largest_ms: int) -> None:
    """Advance through time with a clock that is off by up to so much for stretches, and right at the end."""
    chance = random.Random(seed)
    begin, off = circuit.now, 0
    for step in range(STEPS):
        if chance.random() < 0.15:
            off = chance.choice((0, 0, -largest_ms, largest_ms, chance.randint(-largest_ms, largest_ms)))
        circuit.clock.set(begin + step * STEP_MS + off)
        for race in races_of(circuit):
            if race.state == "live":
                circuit.mark(race.id)
        circuit.advance()
        if chance.random() < 0.3:
            circuit.advance()
    circuit.clock.set(begin + STEPS * STEP_MS)
    for race in races_of(circuit):
        if race.state in {"live", "settling"}:
            circuit.mark(race.id)
    circuit.advance()


def races_of(circuit: Circuit) -> list[races.Race]:
    with circuit.clash.read() as connection:
        return races.newest(connection, limit=100)[::-1]


def holds(circuit: Circuit) -> list[str]:
    """The ends of the races, after looking whether each took its way once and none is missing."""
    found = races_of(circuit)
    assert [race.id for race in found] == list(range(1, len(found) + 1))
    assert [race.starts_at for race in found] == [
        found[0].starts_at + number * (found[0].ends_at - found[0].starts_at) for number in range(len(found))
    ]
    assert race_audit.audit(circuit.clash) == []
    assert audit_money(circuit.clash).differences == ()
    over = [race for race in found if race.ends_at + 2 * HOUR_MS < circuit.now]
    assert len(over) >= 2
    return [race.state for race in over]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_is_minutes_off_changes_no_race(circuit: Circuit, seed: int) -> None:
    circuit.enter(houses=4)
    wander(circuit, seed, 5 * MINUTE_MS)
    assert set(holds(circuit)) == {"archived"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_is_an_hour_off_skips_and_doubles_nothing(circuit: Circuit, seed: int) -> None:
    """A jump over a start by more than half an hour is a late launch, and refunds; no window is left out for it."""
    circuit.enter(houses=4)
    wander(circuit, seed, HOUR_MS)
    assert set(holds(circuit)) <= {"archived", "cancelled"}


@pytest.mark.soak
@pytest.mark.parametrize("seed", SOAK_SEEDS)
def test_a_clock_that_is_an_hour_off_skips_and_doubles_nothing_soak(circuit: Circuit, seed: int) -> None:
    circuit.enter(houses=4)
    wander(circuit, seed, HOUR_MS)
    assert set(holds(circuit)) <= {"archived", "cancelled"}


def test_control_a_clock_without_a_guard_would_launch_twice(circuit: Circuit) -> None:
    """Put back to its state before, the same race would open a second account for its clones, which the rows refuse."""
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    with circuit.clash.write() as connection:
        assert not races.move(connection, circuit_before(race), "live", now_ms=circuit.now, actor="test")


def circuit_before(race: races.Race) -> races.Race:
    """The race as somebody read it before its launch."""
    return races.Race(**{**vars(race), "state": "launching"})


@pytest.mark.parametrize("after", [None, 0])
def test_windows_lie_on_the_grid(settings: Settings, after: int | None) -> None:
    """From any moment: a start on the grid, sales that last long enough, and never the window of the race before."""
    length = settings.race_length_sec * 1_000
    for now_ms in range(10**12, 10**12 + length, 7 * MINUTE_MS):
        before = None if after is None else now_ms // length * length
        window = race_rules.window(settings, now_ms, before)
        assert window.starts_at % length == 0
        assert window.sales_close_at - now_ms >= settings.race_least_sales_sec * 1_000
        assert window.starts_at - now_ms < 2 * length + HOUR_MS
        assert now_ms <= window.hidden_from <= window.sales_close_at
        if before is not None:
            assert window.starts_at >= before + length
