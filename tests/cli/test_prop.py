"""`clash prop`: an account as a person and as a program see it, marks, switches, moves."""

import json

import pytest

from tests.cli.trading import Run, run, world
from tests.fakes.world import World

__all__ = ["run", "world"]


@pytest.fixture
def traded(run: Run) -> None:
    """An account with one open position and one mark."""
    run("clones", "create", "Ada", "--engine", "rules", "--symbols", "BTC")
    run("decisions", "run-once", "--clone-id", "1", "--force")
    run("prop", "mark")


@pytest.mark.usefixtures("traded")
def test_an_account_in_json_and_in_text(run: Run, world: World) -> None:
    view = json.loads(run("prop", "account", "1", "--json").stdout)
    assert (view["state"], view["balance"]) == ("active", "99991.00000144")
    assert (view["positions"][0]["size"], view["positions"][0]["mark"]) == ("199.92", "100")
    assert [group["kind"] for group in view["ledger"]] == ["fill", "state"]
    world.clock.advance(60_000)
    assert "equity 99983.00320144 USD" in run("prop", "mark", "1").stdout
    text = run("prop", "account", "1").stdout
    assert "account 1 of clone 1: sandbox, active" in text
    assert "199.92" in text
    assert "equity  ▁" in text
    assert json.loads(run("prop", "accounts", "--json").stdout)[0]["id"] == 1


@pytest.mark.usefixtures("traded")
def test_switches_and_moves(run: Run) -> None:
    assert run("prop", "halt", "--reason", "drill").stdout == "all accounts halted\n"
    assert run("prop", "halt", "--reason", "drill").stdout == "all accounts was already halted\n"
    assert "HALTED (all accounts: drill)" in run("prop", "account", "1").stdout
    assert run("prop", "release").stdout == "all accounts released\n"
    assert run("prop", "pause", "1", "--reason", "look").stdout == "account 1 is paused\n"
    assert run("prop", "lock", "1", "--reason", "look").stdout == "account 1 is locked\n"
    assert run("prop", "resume", "1", "--reason", "fine").stdout == "account 1 is active\n"


def test_a_refusal_is_shown_with_its_figures(run: Run, world: World) -> None:
    run("clones", "create", "Ada", "--engine", "rules", "--symbols", "BTC")
    run("prop", "halt", "--reason", "drill", "--account-id", "1")
    run("decisions", "run-once", "--clone-id", "1", "--force")
    assert "trading_halted" in run("prop", "account", "1").stdout


@pytest.mark.parametrize("words", [("account", "9"), ("mark", "9"), ("pause", "9", "--reason", "x")])
def test_an_unknown_account_is_one_line(run: Run, words: tuple[str, ...]) -> None:
    done = run("prop", *words)
    assert (done.exit_code, done.stderr) == (2, "clash: there is no prop account 9\n")
