"""`clash auditions` and `clash arena`: the way of a clone from purchase to Hall of Fame, and what is refused."""

import json

import pytest

from clash_pipeline.clock import DAY_MS, MINUTE_MS
from tests.cli.trading import Run, run, world
from tests.fakes.till import Till
from tests.fakes.troupe import PASSED, Troupe
from tests.fakes.world import World

__all__ = ["run", "world"]


@pytest.fixture
def troupe(world: World) -> Troupe:
    return Troupe(world.settings, world.clock, world.clash, Till(world.clash))


def test_an_audition_is_submitted_judged_and_shown_with_its_criteria(run: Run, troupe: Troupe) -> None:
    clone_id = troupe.clone()
    made = run("auditions", "submit", str(clone_id))
    assert made.stdout.startswith("audition 1 of clone 1 is running; account 1, from 2025-07-21T12:14:00Z")
    assert run("auditions", "submit", str(clone_id)).stdout == made.stdout
    troupe.clock.advance(DAY_MS + 2 * MINUTE_MS)
    assert "0 passed, 0 failed, 0 admitted" in run("worker", "auditions", "--once").stdout
    troupe.mark(troupe.get(1), "100")
    assert "0 passed, 1 failed, 0 admitted" in run("worker", "auditions", "--once").stdout
    shown = run("auditions", "show", "1").stdout
    assert "is failed: profit_target: 0 %, the bound is 2 %" in shown
    assert "best_hour" in shown
    (listed,) = json.loads(run("auditions", "list", "--json").stdout)
    assert (listed["state"], listed["cause"]) == ("failed", "profit_target")
    assert [finding["criterion"] for finding in listed["findings"]][:2] == ["max_loss", "survival"]
    assert "profit_target" in run("auditions", "list").stdout


def test_a_retry_and_a_void(run: Run, troupe: Troupe) -> None:
    clone_id = troupe.clone()
    run("auditions", "submit", str(clone_id))
    voided = run("auditions", "void", "1", "--reason", "an outage", "--as", "root")
    assert "audition 1 of clone 1 is voided: an outage" in voided.stdout
    assert run("auditions", "void", "1", "--reason", "an outage").stdout == voided.stdout
    refused = run("auditions", "retry", "1")
    assert (refused.exit_code, refused.stderr) == (2, "clash: every audition bought for clone 1 was used\n")
    troupe.pay(clone_id, troupe.owner_of(clone_id), "retry")
    assert "audition 2 of clone 1 is running" in run("auditions", "retry", "1").stdout
    assert [act["outcome"] for act in json.loads(run("arena", "acts", "--json").stdout)] == ["unchanged", "done"]
    assert "an outage" in run("arena", "acts").stdout


def test_slots_queue_retirement_and_fame(run: Run, troupe: Troupe) -> None:
    passed, faceless = troupe.passed(), troupe.passed(face="submitted")
    assert "1 admitted, 1 passed over, 0 expired, 19 slots free" in run("arena", "sync").stdout
    assert json.loads(run("arena", "sync", "--json").stdout)["admitted"] == []
    assert "has no approved profile" in run("arena", "queue").stdout
    (place,) = json.loads(run("arena", "queue", "--json").stdout)
    assert (place["clone_id"], place["blocked"][0]) == (faceless, "profile_not_approved")
    (slot,) = json.loads(run("arena", "slots", "--json").stdout)
    assert (slot["slot_no"], slot["clone_id"], slot["strikes"]) == (1, passed, 0)
    assert "1 of 20 slots" in run("arena", "slots").stdout
    assert "competing" in run("clones", "show", str(passed)).stdout
    assert run("arena", "retire", str(passed), "--reason", "enough").stdout == f"clone {passed} is retired\n"
    assert "was already retired" in run("arena", "retire", str(passed), "--reason", "enough").stdout
    (entry,) = json.loads(run("arena", "hall-of-fame", "--json").stdout)
    assert (entry["clone_id"], entry["career"]["races"]) == (passed, 0)
    assert "Player 1" in run("arena", "hall-of-fame").stdout
    assert "is reinstated" in run("arena", "reinstate", str(passed), "--reason", "again").stdout


def test_house_clones_are_admitted_and_removed(run: Run, troupe: Troupe) -> None:
    house = str(troupe.clone(is_house=True))
    assert "has a slot" in run("arena", "admit", house, "--reason", "to fill the field").stdout
    assert "had a slot already" in run("arena", "admit", house, "--reason", "to fill the field").stdout
    assert "left its slot" in run("arena", "remove", house, "--reason", "enough").stdout
    assert "has no slot" in run("arena", "remove", house, "--reason", "enough").stdout


def test_a_retirement_that_waits_says_so(run: Run, troupe: Troupe) -> None:
    clone_id = str(troupe.clone())
    run("auditions", "submit", clone_id)
    assert "will be retired once nothing holds it" in run("arena", "retire", clone_id, "--reason", "enough").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("auditions", "show", "9"), "there is no audition 9"),
        (("auditions", "submit", "9"), "there is no clone 9"),
        (("arena", "admit", "1", "--reason", "x"), "only house clones enter without an audition"),
        (("arena", "remove", "1", "--reason", " "), "remove needs an actor and a reason"),
        (("arena", "retire", "9", "--reason", "x"), "there is no clone 9"),
        (("auditions", "void", "1", "--reason", "x"), "audition 1 is passed and cannot be voided"),
    ],
)
def test_control_what_cannot_be_is_one_line_and_exit_2(
    run: Run, troupe: Troupe, words: tuple[str, ...], said: str
) -> None:
    troupe.cut_short(troupe.submit(troupe.clone()))
    troupe.judge(PASSED)
    done = run(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
