"""`clash decisions`: one wave, its rows, one run whole."""

import json

import pytest

from tests.cli.trading import Run, run, world
from tests.fakes.world import World

__all__ = ["run", "world"]


@pytest.fixture
def clone(run: Run) -> int:
    """A rules clone on BTC."""
    run("clones", "create", "Ada", "--engine", "rules", "--symbols", "BTC")
    return 1


def test_run_once_with_force_goes_all_the_way(run: Run, clone: int) -> None:
    done = run("decisions", "run-once", "--clone-id", "1", "--force", "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    assert (report["due"], report["runs"][0]["reason"], report["runs"][0]["effective"]) == (1, "filled", "open_long")
    shown = json.loads(run("decisions", "show", "1", "--json").stdout)
    assert shown["packet"]["schema"] == "decision_v1"
    assert shown["actions"][0]["status"] == "filled"
    text = run("decisions", "show", "1").stdout
    assert "rules answered open_long" in text
    assert "buy 199.92 at 100.04" in text
    assert json.loads(run("decisions", "list", "--json").stdout)[0]["state"] == "completed"
    assert "open_long" in run("decisions", "list", "--clone-id", "1").stdout


def test_a_packet_is_shown_with_ages_gaps_and_cost(run: Run, clone: int) -> None:
    run("decisions", "run-once", "--clone-id", "1", "--force")
    text = run("decisions", "packet", "1").stdout
    assert "price 100 (candle, 20 s old), mark 100 (venue, 0 s old)" in text
    assert "missing" in text
    assert "tokens of 24000" in text
    assert "clone.name  Ada" in text
    packet = json.loads(run("decisions", "packet", "1", "--json").stdout)
    assert (packet["schema"], packet["untrusted"][0]["text"]) == ("decision_v1", "Ada")
    told = run("decisions", "packet", "1", "--prompt").stdout
    assert told.endswith("task: decide about BTC and answer with one JSON object\n")
    stored = json.loads(run("decisions", "packet", "1", "--prompt", "--json").stdout)
    assert told == stored["system"] + "\n" + stored["user"]


def test_a_run_without_a_packet_says_why(run: Run, clone: int, world: World) -> None:
    run("clones", "create", "Eve", "--engine", "hold", "--symbols", "ETH")
    run("decisions", "run-once", "--clone-id", "2", "--force")
    done = run("decisions", "packet", "1")
    assert done.exit_code == 2
    assert "decision run 1 has no packet: skipped, no_fresh_data" in done.stderr
    assert "there is no decision run 9" in run("decisions", "packet", "9").stderr


def test_nothing_is_due_is_no_error(run: Run, clone: int) -> None:
    done = run("decisions", "run-once")
    assert (done.exit_code, done.stdout) == (0, "nothing is due\n")


def test_a_failed_run_is_exit_1(run: Run, clone: int, world: World) -> None:
    """A clone that asks a model where no key is set."""
    with world.clash.write() as connection:
        connection.execute("UPDATE clones SET engine = 'model'")
    done = run("decisions", "run-once", "--clone-id", "1", "--force")
    assert done.exit_code == 1
    assert "key_missing" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run-once", "--clone-id", "9", "--force"), "there is no clone 9"),
        (("run-once", "--account-id", "9"), "there is no prop account 9"),
        (("run-once", "--force"), "--force needs"),
        (("show", "9"), "there is no decision run 9"),
    ],
)
def test_errors_are_one_line(run: Run, words: tuple[str, ...], said: str) -> None:
    done = run("decisions", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
