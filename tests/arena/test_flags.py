"""Flags on equity that moves as one: exact, both ways, over three common races, and never an act."""

from statistics import correlation as oracle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.arena import flags
from clash_pipeline.arena.flags import RHO_BP
from clash_pipeline.arena.refusals import ArenaConflict, ArenaUnknown
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.prop.proposal import Proposal
from tests.fakes.circuit import Circuit

PAIRS = st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12)), min_size=3, max_size=40)


@given(PAIRS)
def test_the_correlation_is_that_of_statistics(pairs: list[tuple[int, int]]) -> None:
    found = flags.correlation(pairs)
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        assert found is None
        return
    assert found is not None
    assert abs(found - 10_000 * oracle(xs, ys)) <= 1.01


def test_opposites_are_as_alike_as_twins() -> None:
    steps = [(n % 7, 3 * (n % 7)) for n in range(40)]
    assert flags.correlation(steps) == 10_000
    assert flags.correlation([(x, -y) for x, y in steps]) == -10_000


def three_races(circuit: Circuit, sides: dict[int, str]) -> None:
    """Three settled races in which clones hold these sides while the price swings."""
    circuit.advance()
    for number in (1, 2, 3):
        race = circuit.launch(circuit.race(number))
        circuit.venue.price = "100"
        circuit.clock.set(race.starts_at + 20 * MINUTE_MS)
        for clone_id, side in sides.items():
            circuit.trade(race.id, clone_id, Proposal("BTC", side, "30", 2))
        for minute in range(14):
            circuit.clock.advance(MINUTE_MS)
            circuit.mark(race.id, str(100 + (minute * 5) % 7))
        circuit.finish(race)


def test_a_pair_is_flagged_once_three_races_are_archived(circuit: Circuit) -> None:
    a, b, c, _ = circuit.enter(houses=4)
    three_races(circuit, {a: "open_long", b: "open_long", c: "open_short"})
    assert found(circuit) == []
    circuit.go(circuit.now + HOUR_MS)
    pairs = {(one.clone_id, one.other_id): one.rho_bp for one in found(circuit)}
    assert set(pairs) == {(a, b), (a, c), (b, c)}
    assert pairs[a, b] > RHO_BP
    assert pairs[a, c] < -RHO_BP
    assert len(circuit.troupe.occupants()) == 4
    newest = found(circuit)[0]
    with circuit.clash.write() as connection:
        assert flags.look_at(connection, newest.id, actor="root", verdict="one author", now_ms=circuit.now)
        assert not flags.look_at(connection, newest.id, actor="root", verdict="again", now_ms=circuit.now)
        with pytest.raises(ArenaConflict):
            flags.look_at(connection, newest.id, actor="root", verdict=" ", now_ms=circuit.now)
        with pytest.raises(ArenaUnknown):
            flags.look_at(connection, 99, actor="root", verdict="who", now_ms=circuit.now)
    with circuit.clash.read() as connection:
        assert len(flags.newest(connection, only_open=True)) == 2


def found(circuit: Circuit) -> list[flags.Flag]:
    with circuit.clash.read() as connection:
        return flags.newest(connection)
