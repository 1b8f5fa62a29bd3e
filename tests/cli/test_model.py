"""`clash model`: tiers, spending, and a clone that trades by a replayed model from one command to the next."""

import json

import pytest

from clash_pipeline.replay.model_server import ModelServer, served
from tests.cli.trading import Run, run, world
from tests.fakes.llm_server import LONG
from tests.fakes.world import World

__all__ = ["run", "world"]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> object:
    """An endpoint that always goes long, in the environment."""
    with served(ModelServer(lambda asked: LONG)) as url:
        given = {"URL": url, "KEY": "canary-5e1", "1": "clash-replay", "1_PRICES": "1,4"}
        for name, value in given.items():
            monkeypatch.setenv(f"CLASH_MODEL_{name}", value)
        yield


def test_without_a_key_no_tier_is_ready(run: Run) -> None:
    shown = run("model", "tiers", "--json")
    assert shown.exit_code == 1
    assert {tier["state"] for tier in json.loads(shown.stdout)} == {"key_missing"}


@pytest.mark.usefixtures("model")
def test_a_clone_trades_by_its_model_and_its_spending_is_shown(run: Run, world: World) -> None:
    run("clones", "create", "Ada", "--engine", "model", "--symbols", "BTC")
    wave = json.loads(run("decisions", "run-once", "--clone-id", "1", "--force", "--json").stdout)
    assert [(ended["state"], ended["reason"]) for ended in wave["runs"]] == [("completed", "filled")]
    spent = json.loads(run("model", "spending", "--json").stdout)
    assert {row["scope"] for row in spent} == {"clone/1", "user/operator", "tier/1", "system"}
    assert all(float(row["spent"]) > 0 for row in spent if row["span"] == "day")
    assert "canary-5e1" not in run("model", "tiers").stdout


def test_a_persona_that_does_not_exist_is_refused_in_one_line(run: Run) -> None:
    refused = run("model", "serve", "--persona", "guru")
    assert refused.exit_code == 2
    assert "there are trader, obedient" in refused.stderr
