"""`clash clones`: what is created, edited, published, toggled, granted, shown and refused."""

import json
from pathlib import Path

import pytest

from clash_pipeline.clones import holds
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.storage.sqlite import one
from tests.cli.trading import EXAMPLE_GRAPH, Run, run, world
from tests.fakes.world import World

__all__ = ["run", "world"]


@pytest.fixture
def graph_file(tmp_path: Path) -> str:
    """A graph that trades ETH."""
    file = tmp_path / "eth.json"
    file.write_text(json.dumps(simple_graph(("ETH",)).wire()))
    return str(file)


# create and show


def test_create_publishes_opens_an_account_and_trades(run: Run) -> None:
    made = json.loads(run("clones", "create", "Ada", "--engine", "rules", "--symbols", "BTC,ETH", "--json").stdout)
    assert (made["clone_id"], made["account_id"], made["symbols"], made["version"]) == (1, 1, ["BTC", "ETH"], 1)
    (listed,) = json.loads(run("clones", "list", "--json").stdout)
    assert (listed["name"], listed["engine"], listed["is_trading"]) == ("Ada", "rules", True)


def test_create_from_a_graph_file(run: Run) -> None:
    made = json.loads(run("clones", "create", "Ada", "--graph", str(EXAMPLE_GRAPH), "--json").stdout)
    assert (made["symbols"], made["engine"]) == (["BTC", "SOL"], "hold")
    shown = json.loads(run("clones", "show", "1", "--json").stdout)
    assert (shown["branches"][0]["id"], shown["product_state"]) == ("prompt-1", "configured")
    assert "mock starter" in run("clones", "show", "1").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "Ada", "--symbols", "NOPE"), "Hyperliquid lists no asset"),
        (("create", "Ada", "--symbols", ""), "trades no asset"),
        (("create", "Ada", "--graph", "/nowhere.json"), "No such file"),
        (("create", "Ada", "--symbols", "BTC", "--cadence", "5"), "decisionCadenceSec"),
        (("create", " "), "1 to 64 characters"),
        (("show", "9"), "there is no clone 9"),
        (("trading", "9", "on"), "there is no clone 9"),
        (("engine", "9", "rules"), "there is no clone 9"),
        (("model", "9", "2"), "there is no clone 9"),
        (("draft", "9"), "there is no clone 9"),
        (("publish", "9"), "has no draft"),
        (("versions", "9"), "there is no clone 9"),
        (("rename", "9", "Bob"), "there is no clone 9"),
        (("sandbox", "9"), "there is no clone 9"),
        (("grants", "9"), "there is no clone 9"),
        (("grant", "9", "--capacity", "pro", "--reason", "x"), "there is no clone 9"),
        (("grant", "9", "--reason", "x"), "say what is granted"),
        (("revoke", "9", "--reason", "x"), "there is no grant 9"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(run: Run, world: World, words: tuple[str, ...], said: str) -> None:
    done = run("clones", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    with world.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM clones") == 0


def test_of_very_many_problems_five_are_said(run: Run) -> None:
    said = run("clones", "create", "Ada", "--symbols", ",".join(f"NOPE{number}" for number in range(9))).stderr
    assert said.count("symbol_unknown") == 5
    assert "more" in said


def test_a_file_that_is_no_json(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "graph.json"
    bad.write_text("{")
    assert "is not JSON" in run("clones", "create", "Ada", "--graph", str(bad)).stderr


def test_an_empty_registry_is_said(run: Run, world: World) -> None:
    with world.market.write() as connection:
        connection.execute("DELETE FROM hyperliquid_assets")
    assert "the registry is empty" in run("clones", "create", "Ada").stderr


def test_owners_are_listed_apart_and_clones_renamed(run: Run) -> None:
    for name, owner in (("Ada", "ann"), ("Bob", "bea")):
        run("clones", "create", name, "--owner", owner)
    assert run("clones", "rename", "2", "Cleo").stdout == "clone 2: Cleo\n"
    (listed,) = json.loads(run("clones", "list", "--owner", "bea", "--json").stdout)
    assert (listed["id"], listed["name"]) == (2, "Cleo")


# graph


def test_from_an_empty_clone_to_one_that_trades(run: Run, graph_file: str) -> None:
    assert run("clones", "create", "Ada", "--empty").stdout == "clone 1 (Ada) has no graph yet\n"
    assert "clone 1 has no draft" in run("clones", "draft", "1").stderr
    assert "saved" in run("clones", "draft", "1", graph_file).stdout
    assert json.loads(run("clones", "draft", "1").stdout) == simple_graph(("ETH",)).wire()
    assert run("clones", "publish", "1").stdout.endswith("trades ETH\n")
    assert run("clones", "sandbox", "1").stdout == "clone 1: sandbox account 1\n"
    run("clones", "trading", "1", "on")
    assert "configured, hold, trading, version 1" in run("clones", "show", "1").stdout


def test_versions_are_listed_and_shown_as_published(run: Run, graph_file: str) -> None:
    run("clones", "create", "Ada")
    assert run("clones", "publish", "1", graph_file).stdout.startswith("clone 1: version 2 (")
    listed = json.loads(run("clones", "versions", "1", "--json").stdout)
    assert [(item["number"], item["is_active"]) for item in listed] == [(2, True), (1, False)]
    assert json.loads(run("clones", "versions", "1", "2").stdout) == simple_graph(("ETH",)).wire()
    assert "clone 1 has no version 3" in run("clones", "versions", "1", "3").stderr
    assert "active" in run("clones", "versions", "1").stdout


# toggles and grants


def test_trading_is_turned_off_and_on(run: Run) -> None:
    run("clones", "create", "Ada")
    assert run("clones", "trading", "1", "off").stdout == "clone 1: trading off\n"
    assert json.loads(run("clones", "list", "--json").stdout)[0]["is_trading"] is False


def test_a_held_clone_says_what_holds_it(run: Run, world: World) -> None:
    run("clones", "create", "Ada")
    with world.clash.write() as connection:
        holds.place(connection, 1, "audition", "7", now_ms=1)
    done = run("clones", "trading", "1", "off")
    assert (done.exit_code, "held by audition 7" in done.stderr) == (2, True)
    assert "held by audition 7" in run("clones", "show", "1").stdout
    assert json.loads(run("clones", "show", "1", "--json").stdout)["holds"][0]["ref"] == "7"


def test_a_model_needs_a_grant_for_its_tier(run: Run) -> None:
    run("clones", "create", "Ada")
    assert "up to tier 1, not 3" in run("clones", "model", "1", "3").stderr
    granted = run("clones", "grant", "1", "--model", "3", "--days", "1", "--reason", "a test").stdout
    assert granted == "clone 1: grant 1; now mock starter, model tier 3\n"
    assert run("clones", "model", "1", "3").stdout == "clone 1: model tier 3\n"
    assert run("clones", "engine", "1", "model").stdout == "clone 1: engine model\n"


def test_grants_are_listed_with_their_end(run: Run) -> None:
    run("clones", "create", "Ada")
    for _ in range(2):
        run("clones", "grant", "1", "--capacity", "pro", "--candidates", "15", "--reason", "test", "--ref", "t1")
    assert "mock pro, model tier 1, 15 candidates" in run("clones", "grants", "1").stdout
    assert run("clones", "revoke", "1", "--reason", "over", "--as", "root").stdout == "grant 1 is revoked\n"
    assert "already revoked" in run("clones", "revoke", "1", "--reason", "over").stdout
    shown = json.loads(run("clones", "grants", "1", "--json").stdout)
    assert [(item["source"], item["is_live"]) for item in shown["grants"]] == [("debug", False), ("operator", True)]
    assert shown["may_audition"] is False
    assert "revoked by root: over" in run("clones", "grants", "1").stdout
