"""A career of real races: counted from how they finished, frozen when the clone goes, once no race holds it."""

from clash_pipeline.arena import admin, careers, hall_of_fame
from clash_pipeline.arena.audit import audit
from clash_pipeline.clones import retirement
from clash_pipeline.economy import settling
from tests.fakes.circuit import Circuit
from tests.fakes.troupe import ADMIN


def test_a_clone_that_is_asked_to_go_runs_its_frozen_race_and_leaves_with_its_career(circuit: Circuit) -> None:
    *others, winner = circuit.enter(houses=4, people=1)
    circuit.advance()
    first = circuit.race()
    circuit.bet(1, winner, first.id, 3)
    first = circuit.launch(first)
    second = circuit.race()
    circuit.run(first, [(winner, "90"), (others[0], "40")])
    assert admin.retire(circuit.clash, winner, actor=ADMIN, reason="enough", now_ms=circuit.now) == "waits"
    if circuit.race(second.id).state != "live":
        circuit.launch(second)
    third = circuit.race()
    was_frozen = winner in [entrant.clone_id for entrant in circuit.entrants(third.id)]
    circuit.run(circuit.race(second.id), [(others[0], "90"), (winner, "40")], "102")
    if was_frozen:  # it was in the field of the third before anybody asked
        circuit.run(circuit.race(third.id), [(others[0], "90")], "103")
    with circuit.clash.read() as connection:
        assert retirement.is_retired(connection, winner)
        (found,) = hall_of_fame.of(connection, winner)
        paid = settling.settlement_of(connection, first.id)
        assert careers.of(connection, winner, now_ms=found.retired_at) == found.career
    career = found.career
    assert paid is not None
    assert (career.races, career.wins, career.tickets) == (2 + was_frozen, 1, 3)
    assert career.podiums >= 2
    assert career.best_return is not None
    assert career.worst_return is not None
    assert career.best_return > career.worst_return
    assert career.pnl > 0
    assert int(career.royalties_wei) == sum(int(one.wei) for one in paid.royalties) > 0
    newest = circuit.race()
    assert winner not in [entrant.clone_id for entrant in circuit.entrants(newest.id)]
    (found_wrong,) = audit(circuit.clash)
    assert "passed no audition" in found_wrong.message  # it was put into its slot by the test
