"""`clash race`: a race from its opening to its settlement, as a person and as a program see it."""

import json

import pytest

from clash_pipeline.cli.chart import field_chart
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.prop.fixing import SETTLE_MS
from clash_pipeline.prop.proposal import Proposal
from tests.cli.trading import Run, run, world
from tests.fakes.circuit import Circuit
from tests.fakes.till import Till
from tests.fakes.troupe import Troupe
from tests.fakes.world import World

__all__ = ["run", "world"]


@pytest.fixture
def circuit(world: World) -> Circuit:
    troupe = Troupe(world.settings, world.clock, world.clash, Till(world.clash))
    return Circuit(world.settings, world.clock, world.clash, world.market, troupe)


def test_a_race_from_its_opening_to_its_settlement(run: Run, circuit: Circuit) -> None:
    assert run("race", "advance").stdout == "nothing is due\n"
    a, b, *_ = circuit.enter(houses=4)
    assert run("race", "advance").stdout == "race 1: accumulating\n"
    assert "race 1 is accumulating" in run("race", "show", "1").stdout
    (listed,) = json.loads(run("race", "list", "--json").stdout)
    assert (listed["id"], listed["state"], listed["entrants"], listed["tickets"]) == (1, "accumulating", 4, 0)
    race = circuit.launch(circuit.race())
    circuit.clock.set(race.starts_at + 20 * MINUTE_MS)
    circuit.trade(1, a, Proposal("BTC", "open_long", "50", 2))
    circuit.mark(1)
    circuit.clock.advance(HOUR_MS)
    circuit.mark(1, "110")
    live = run("race", "standings", "1").stdout
    assert f"Player {a}" in live
    assert "┤" in live
    circuit.clock.set(race.ends_at + SETTLE_MS)
    circuit.mark(1)
    circuit.hear()
    assert "race 1: settled" in run("worker", "arena", "--once").stdout.replace("race 1 ", "race 1: ")
    first, *others = json.loads(run("race", "standings", "1", "--json").stdout)
    assert (first["rank"], first["clone_id"], first["standing"]) == (1, a, "active")
    assert {one["standing"] for one in others} == {"inactive"}
    shown = json.loads(run("race", "show", "1", "--json").stdout)
    assert [move["state"] for move in shown["moves"]][-1] == "settled"
    assert shown["race"]["result_hash"]
    assert "Races" in run("race", "list").stdout
    assert run("race", "flags").exit_code == 0
    assert json.loads(run("race", "flags", "--json").stdout) == []
    differences = json.loads(run("audit", "--json").stdout)["differences"]
    assert {found["message"] for found in differences} == {"has no decision run"}  # the orders of this test
    assert b in {one["clone_id"] for one in others}


def test_an_admin_removes_and_cancels(run: Run, circuit: Circuit) -> None:
    a, *_ = circuit.enter(houses=5)
    circuit.advance()
    assert run("race", "remove", "1", str(a), "--reason", "a cheat").stdout == f"clone {a} is removed from race 1\n"
    assert "was removed before" in run("race", "remove", "1", str(a), "--reason", "a cheat").stdout
    assert run("race", "cancel", "1", "--reason", "an outage").stdout == "race 1 is cancelled: an outage\n"
    assert "race 1 is cancelled: an outage" in run("race", "show", "1").stdout
    unknown = run("race", "show", "9")
    assert (unknown.exit_code, unknown.stderr) == (2, "clash: there is no race 9\n")
    refused = run("race", "remove", "1", str(a + 1), "--reason", "late")
    assert (refused.exit_code, "race 1 is cancelled" in refused.stderr) == (2, True)


def test_a_field_is_drawn_on_one_scale_with_each_name_where_its_line_ends() -> None:
    drawn = field_chart([("up", [(0, 100.0), (60_000, 200.0)]), ("down", [(0, 100.0), (60_000, 50.0)])], height=4)
    rows = drawn.splitlines()
    assert len(rows) == 5
    assert (rows[0].split()[0], rows[3].split()[0]) == ("200.00", "50.00")
    assert (rows[0].split()[-1], rows[3].split()[-1]) == ("up", "down")
    assert rows[4].split() == ["00:00", "00:01"]


def test_a_field_without_a_line_is_no_chart() -> None:
    assert field_chart([("new", [(0, 1.0)])]) == ""
    assert "1.00" in field_chart([("flat", [(0, 1.0), (1, 1.0)])])
