"""What everybody sees of a race, and what its accounts decide: rank and equity only, on one grid for all starters."""

import pytest

from clash_pipeline.arena import race_admin, standings
from clash_pipeline.arena.refusals import ArenaConflict, ArenaUnknown
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.decisions import grid
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import RATE
from tests.fakes.circuit import Circuit


def test_a_live_race_shows_rank_and_equity_only(circuit: Circuit) -> None:
    a, b, c, d = circuit.enter(houses=4)
    circuit.advance()
    with circuit.clash.read() as connection:
        assert {one.rank for one in standings.of(connection, 1)} == {None}
    race = circuit.launch(circuit.race())
    circuit.clock.set(race.starts_at + 20 * MINUTE_MS)
    circuit.trade(1, a, Proposal("BTC", "open_short", "50", 2))
    circuit.trade(1, b, Proposal("BTC", "open_long", "50", 2))
    circuit.trade(1, c, Proposal("BTC", "open_long", "20", 2))
    circuit.clock.advance(HOUR_MS)
    circuit.mark(1, "105")
    race_admin.remove(circuit.clash, 1, b, actor="root", reason="a cheat", now_ms=circuit.now)
    with circuit.clash.read() as connection:
        found = standings.of(connection, 1)
        assert not standings.reveals(circuit.race(1))
        with pytest.raises(ArenaConflict, match="race 1 is live: fills and positions follow"):
            standings.revealed_account(connection, 1, a)
    assert [one.clone_id for one in found] == [c, d, a, b]
    assert {one.standing for one in found} == {None}
    assert (found[1].return_rate, found[1].marked_at) == (0, circuit.now)
    assert (found[2].return_rate or 0) < -2 * RATE // 100
    circuit.clock.set(race.ends_at - MINUTE_MS)
    circuit.mark(1)
    circuit.finish(race)
    with circuit.clash.read() as connection:
        final = standings.of(connection, 1)
        paths = standings.paths(connection, 1)
        assert standings.revealed_account(connection, 1, a) == circuit.account(1, a)
        with pytest.raises(ArenaUnknown):
            standings.revealed_account(connection, 1, 99)
    assert [(one.clone_id, one.standing) for one in final][-1] == (b, "removed")
    assert paths[c][-1] == (race.ends_at, next(one.equity for one in final if one.clone_id == c))


def test_all_starters_decide_on_one_grid_from_the_start_to_the_end(circuit: Circuit) -> None:
    """Cadences of 360, 420, … s become the next multiple of 300 s; no phase, nothing before the launch or after it."""
    circuit.enter(houses=4)
    circuit.advance()
    race = circuit.launch(circuit.race())
    ids = {circuit.account(1, one.clone_id) for one in circuit.entrants(1)}
    due = due_at(circuit, race.starts_at + 600 * SECOND_MS)
    assert {one.account_id for one in due} == ids
    assert {(one.tick, one.cadence_sec) for one in due} == {(race.starts_at + 600 * SECOND_MS, 600)}
    assert {one.fill_at for one in due} == {race.starts_at + 660 * SECOND_MS}
    assert due_at(circuit, race.ends_at + 1) == []
    with circuit.clash.read() as connection:
        assert grid.forced(connection, now_ms=race.starts_at + HOUR_MS, clone_id=None, account_id=None) == []


def due_at(circuit: Circuit, now_ms: int) -> list[grid.Due]:
    with circuit.clash.read() as connection:
        return [one for one in grid.due(connection, now_ms=now_ms) if one.kind == "due"]
