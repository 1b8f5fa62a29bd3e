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


@pytest.mark.usefixtures("model")
def test_a_run_shows_its_model_call_whole(run: Run, world: World) -> None:
    run("clones", "create", "Ada", "--engine", "model", "--symbols", "BTC")
    run("decisions", "run-once", "--clone-id", "1", "--force")
    (call,) = json.loads(run("decisions", "show", "1", "--json").stdout)["calls"]
    assert (call["state"], call["code"], call["tier"], call["attempts"]) == ("settled", None, 1, 1)
    assert (call["model"], call["served_model"]) == ("clash-replay", "clash-replay")
    assert call["tokens"] == call["prompt_tokens"] + call["completion_tokens"]
    micro_usd = call["prompt_tokens"] * 1 + call["completion_tokens"] * 4
    assert call["cost"] == f"0.{micro_usd:06d}".rstrip("0")
    shown = run("decisions", "show", "1").stdout
    assert "asked: clash-replay of tier 1, served by clash-replay: answered after 1 attempts" in shown
    assert f"charged {call['tokens']:,} tokens, {call['cost']} USD" in shown
    assert "model answered open_long" in shown
    assert max(map(len, map(str.rstrip, shown.splitlines()))) <= 100


def test_a_call_that_nobody_answered_shows_its_code_and_what_is_unknown(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is gone: no tokens, no model that served."""
    for name, value in {"URL": "http://127.0.0.1:9/v1", "KEY": "k", "1": "gone", "1_PRICES": "1,4"}.items():
        monkeypatch.setenv(f"CLASH_MODEL_{name}", value)
    monkeypatch.setenv("CLASH_MODEL_BACKOFF_SEC", "0")
    run("clones", "create", "Ada", "--engine", "model", "--symbols", "BTC")
    assert run("decisions", "run-once", "--clone-id", "1", "--force").exit_code == 1
    shown = run("decisions", "show", "1").stdout
    assert "Run 1: failed, model_unavailable; effect hold" in shown
    assert "asked: gone of tier 1, served by unknown: failed as model_unavailable after 2 attempts" in shown
    assert "unknown tokens in, unknown out; charged 0 tokens, 0 USD" in shown
    assert "no answer: model_unavailable" in shown


def test_a_persona_that_does_not_exist_is_refused_in_one_line(run: Run) -> None:
    refused = run("model", "serve", "--persona", "guru")
    assert refused.exit_code == 2
    assert "there are trader, obedient" in refused.stderr
