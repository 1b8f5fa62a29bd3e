"""`clash alerts`: what stands, one look, and a trial of the channels."""

import json

import pytest

from tests.cli.trading import Run, run, world
from tests.fakes.world import World

__all__ = ["run", "world"]


def test_a_look_raises_what_the_list_then_shows(run: Run, world: World) -> None:
    assert (run("alerts", "list").exit_code, run("alerts", "list").stdout.splitlines()[0]) == (0, "nothing stands")
    looked = run("alerts", "look", "--json")
    assert looked.exit_code == 1
    found = {(alert["rule"], alert["finding"]["subject"]) for alert in json.loads(looked.stdout)["found"]}
    assert ("stale_channel", "polymarket") in found
    listed = run("alerts", "list", "--json")
    assert listed.exit_code == 1
    assert {(alert["rule"], alert["subject"]) for alert in json.loads(listed.stdout)} == found
    assert "stale_channel" in run("worker", "alerts", "--once").stdout + run("alerts", "list", "--history").stdout


@pytest.mark.parametrize(
    ("urls", "code", "said"),
    [
        ("", 2, "CLASH_ALERT_URLS names no channel"),
        ("json://127.0.0.1:1/x nonsense://token", 3, "URL 2 of CLASH_ALERT_URLS"),
        ("json://127.0.0.1:1/x", 4, "one of 1 channels did not take the message"),
    ],
)
def test_a_trial_says_which_channel_does_not_work(
    run: Run, monkeypatch: pytest.MonkeyPatch, urls: str, code: int, said: str
) -> None:
    monkeypatch.setenv("CLASH_ALERT_URLS", urls)
    done = run("alerts", "test")
    assert done.exit_code == code
    assert said in done.stderr
    assert "token" not in done.stderr + done.stdout
