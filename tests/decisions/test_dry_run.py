"""Dry run: everything a draft would do, through the real stages, and not a byte of any prop account changed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from clash_pipeline import canonical
from clash_pipeline.clones import clones, entitlements
from clash_pipeline.clones.clones import CloneError
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.clones.validation import GraphInvalid
from clash_pipeline.decisions import dry_run, waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.market import listing
from clash_pipeline.replay.model_server import ModelServer, served
from clash_pipeline.settings import load
from clash_pipeline.storage.sqlite import one
from tests.fakes.llm_server import LONG
from tests.fakes.spending import MODEL
from tests.fakes.world import RISING, World

PROP = (
    "prop_accounts", "prop_decision_actions", "prop_orders", "prop_fills", "prop_positions", "prop_ledger_groups",
    "prop_ledger", "prop_funding_charges", "prop_snapshots", "prop_halts", "prop_results",
)  # fmt: skip


@pytest.fixture
def clone(world: World) -> int:
    """A clone with an open position, whose draft trades ETH instead."""
    clone_id, _ = world.clone("BTC")
    for symbol in ("BTC", "ETH"):
        world.minute(symbol, "100", hist=0.5, hist_before=0.3, **RISING)
    waves.run_once(world, clone_id=clone_id, force=True)
    with world.market.read() as connection:
        listed = listing.read(connection)
    clones.save_draft(world.clash, clone_id, simple_graph(("ETH",)).wire(), listed, now_ms=world.clock.now_ms())
    return clone_id


def contents(world: World) -> str:
    """The digest of every prop table and of the decision runs."""
    with world.clash.read() as connection:
        tables = {row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert {name for name in tables if name.startswith("prop_")} >= set(PROP)
        wanted = sorted(name for name in tables if name.startswith(("prop_", "decision_")))
        rows: dict[str, Any] = {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in wanted
        }
    return canonical.digest(rows)


def test_a_draft_runs_through_packet_engine_and_gates_and_touches_no_account(world: World, clone: int) -> None:
    before = contents(world)
    found = dry_run.dry_run(world, clone)
    assert contents(world) == before
    (run,) = found.runs
    assert (run.symbol, run.state, run.reason, run.effective) == ("ETH", "completed", "filled", "open_long")
    assert run.packet["schema"] == "decision_v1"
    assert run.response["answer"]["action"] == "open_long"
    assert run.actions[0].fills[0].side == "buy"
    assert "custom" not in run.prompt["system"] or run.prompt["user"]
    assert (found.id, found.start_balance) == (1, "100000")
    assert [line["kind"] for group in found.ledger for line in group["lines"]] == ["fee"]
    assert audit(world.clash).is_clean


def test_it_is_kept_in_the_clone_scoped_tables(world: World, clone: int) -> None:
    found = dry_run.dry_run(world, clone)
    with world.clash.read() as connection:
        (kept,) = dry_run.latest(connection, clone)
        order = connection.execute("SELECT symbol, action, status FROM clone_dry_run_orders").fetchone()
        line = connection.execute("SELECT kind, amount FROM clone_dry_run_ledger").fetchone()
    assert (kept["id"], kept["runs"], kept["compiled_hash"]) == (found.id, 1, found.compiled_hash)
    assert tuple(order) == ("ETH", "open_long", "filled")
    assert (line["kind"], line["amount"] < 0) == ("fee", True)


def test_control_a_forced_run_of_the_same_clone_does_change_the_tables(world: World, clone: int) -> None:
    before = contents(world)
    world.clock.advance(1)
    waves.run_once(world, clone_id=clone, force=True)
    assert contents(world) != before


def test_another_graph_and_another_engine_may_be_tried(world: World, clone: int) -> None:
    found = dry_run.dry_run(world, clone, graph=simple_graph(("BTC", "ETH")), engine="hold")
    assert [(run.symbol, run.reason) for run in found.runs] == [("BTC", "hold"), ("ETH", "hold")]
    assert found.engine == "hold"


def test_it_repeats_itself(world: World, clone: int) -> None:
    first, second = dry_run.dry_run(world, clone), dry_run.dry_run(world, clone)
    assert [run.packet_hash for run in first.runs] == [run.packet_hash for run in second.runs]
    assert [run.actions for run in first.runs] == [run.actions for run in second.runs]


def test_a_clone_without_a_draft_an_invalid_graph_and_an_unknown_clone_are_refused(world: World, clone: int) -> None:
    other = clones.create(world.clash, "Bea", engine="hold", now_ms=1)
    with pytest.raises(CloneError, match="has no draft"):
        dry_run.dry_run(world, other)
    with pytest.raises(GraphInvalid):
        dry_run.dry_run(world, clone, graph=simple_graph(("NOPE",)))
    with pytest.raises(CloneError, match="no clone 99"):
        dry_run.dry_run(world, 99)


def test_the_clones_own_entitlement_holds(world: World, clone: int) -> None:
    with world.clash.write() as connection:
        entitlements.grant(connection, clone, "pro", 3, source="debug", ref="x", now_ms=world.clock.now_ms())
    assert len(dry_run.dry_run(world, clone).runs) == 1


def test_without_a_key_a_model_is_not_asked(world: World, clone: int) -> None:
    (run,) = dry_run.dry_run(world, clone, engine="model").runs
    assert (run.state, run.reason) == ("failed", "key_missing")


@pytest.fixture
def asked(world: World) -> Iterator[World]:
    """The world with a model that always goes long."""
    with served(ModelServer(lambda _: LONG)) as url:
        home = str(world.settings.home)
        yield replace(world, settings=load({**MODEL, "CLASH_MODEL_URL": url, "CLASH_HOME": home}))


def calls(world: World) -> list[tuple[Any, ...]]:
    with world.clash.read() as connection:
        rows = connection.execute("SELECT run_id, claim_token, state, code, tokens > 0 FROM model_calls ORDER BY id")
        return [tuple(row) for row in rows]


def test_a_dry_run_by_model_is_charged_like_any_call_and_belongs_to_no_run(asked: World, clone: int) -> None:
    (run,) = dry_run.dry_run(asked, clone, engine="model").runs
    assert (run.state, run.reason, run.effective) == ("completed", "filled", "open_long")
    assert calls(asked) == [(None, 0, "settled", None, 1)]
    with asked.clash.read() as connection:
        assert one(connection, "SELECT tokens FROM model_spending WHERE scope = 'clone/1' AND span = 'day'") > 0
    dry_run.dry_run(asked, clone, engine="model")
    assert len(calls(asked)) == 2
    assert audit(asked.clash).is_clean


def test_dry_runs_and_runs_share_one_budget(asked: World, clone: int) -> None:
    """What a dry run spent is missing to the clone's own run, which fails with the limit's name, unasked."""
    dry_run.dry_run(asked, clone, engine="model")
    with asked.clash.read() as connection:
        spent = one(connection, "SELECT tokens FROM model_spending WHERE scope = 'clone/1' AND span = 'day'")
    bounded = replace(asked, settings=asked.settings.model_copy(update={"model_clone_tokens_day": spent + 10}))
    with bounded.clash.write() as connection:
        connection.execute("UPDATE clones SET engine = 'model'")
    bounded.clock.advance(1)
    bounded.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    (ended,) = waves.run_once(bounded, clone_id=clone, force=True).ended
    assert (ended.state, ended.reason) == ("failed", "budget_exhausted: clone tokens a day")
    (run,) = dry_run.dry_run(bounded, clone, engine="model").runs
    assert (run.state, run.reason) == ("failed", "budget_exhausted: clone tokens a day")
    assert len(calls(bounded)) == 1


def test_control_a_budget_that_is_large_enough_lets_both_ask(asked: World, clone: int) -> None:
    dry_run.dry_run(asked, clone, engine="model")
    assert dry_run.dry_run(asked, clone, engine="model").runs[0].state == "completed"
    assert len(calls(asked)) == 2
