"""`clash clones`: what is created, shown and refused."""

import json
from pathlib import Path

import pytest

from clash_pipeline.storage.sqlite import one
from tests.cli.trading import EXAMPLE_GRAPH, Run, run, world
from tests.fakes.world import World

__all__ = ["run", "world"]


def test_create_publishes_opens_an_account_and_trades(run: Run) -> None:
    made = json.loads(run("clones", "create", "Ada", "--engine", "rules", "--symbols", "BTC,ETH", "--json").stdout)
    assert (made["clone_id"], made["account_id"], made["symbols"], made["version"]) == (1, 1, ["BTC", "ETH"], 1)
    (listed,) = json.loads(run("clones", "list", "--json").stdout)
    assert (listed["name"], listed["engine"], listed["is_trading"]) == ("Ada", "rules", True)


def test_create_from_a_graph_file(run: Run) -> None:
    made = json.loads(run("clones", "create", "Ada", "--graph", str(EXAMPLE_GRAPH), "--json").stdout)
    assert (made["symbols"], made["engine"]) == (["BTC", "SOL"], "hold")
    shown = json.loads(run("clones", "show", "1", "--json").stdout)
    assert shown["branches"][0]["id"] == "prompt-1"
    assert "mock starter" in run("clones", "show", "1").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "Ada", "--symbols", "NOPE"), "Hyperliquid lists no asset NOPE"),
        (("create", "Ada", "--symbols", ""), "trades no asset"),
        (("create", "Ada", "--graph", "/nowhere.json"), "No such file"),
        (("create", "Ada", "--symbols", "BTC", "--cadence", "5"), "decisionCadenceSec"),
        (("show", "9"), "there is no clone 9"),
        (("trading", "9", "on"), "there is no clone 9"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(run: Run, world: World, words: tuple[str, ...], said: str) -> None:
    done = run("clones", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    with world.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM clones") == 0


def test_a_file_that_is_no_json(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "graph.json"
    bad.write_text("{")
    assert "is not JSON" in run("clones", "create", "Ada", "--graph", str(bad)).stderr


def test_an_empty_registry_is_said(run: Run, world: World) -> None:
    with world.market.write() as connection:
        connection.execute("DELETE FROM hyperliquid_assets")
    assert "the registry is empty" in run("clones", "create", "Ada").stderr


def test_trading_is_turned_off_and_on(run: Run) -> None:
    run("clones", "create", "Ada")
    assert run("clones", "trading", "1", "off").stdout == "clone 1: trading off\n"
    assert json.loads(run("clones", "list", "--json").stdout)[0]["is_trading"] is False
