"""The audit of decision runs: clean after real waves, and every broken row is named."""

import pytest

from clash_pipeline.decisions import runs
from clash_pipeline.decisions.audit import audit
from tests.fakes.answers import answer, wave
from tests.fakes.world import RISING, World


@pytest.fixture
def traded(world: World) -> World:
    """Run 1 opened a long, run 2 held, run 3 was refused."""
    clone_id, _ = world.clone("BTC")
    for action in ("open_long", "hold", "open_long"):
        world.clock.advance(1)
        world.minute("BTC", "100", **RISING)
        wave(world, answer(action), clone_id=clone_id, force=True)
    return world


def broken(world: World, statement: str) -> list[str]:
    """The rows that the audit names after a change behind every trigger's back."""
    with world.clash.write() as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for guard in guards:
            connection.execute(f"DROP TRIGGER {guard['name']}")
        connection.execute(statement)
        for guard in guards:
            connection.execute(guard["sql"])
    return [f"{found.row} {found.message}" for found in audit(world.clash, world.store).differences]


def test_real_waves_are_clean(traded: World) -> None:
    assert audit(traded.clash, traded.store).differences == ()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE decision_runs SET state = 'failed', effective = 'hold' WHERE id = 1", "decision_runs(1) failed"),
        ("UPDATE decision_runs SET effective = 'close' WHERE id = 1", "run 1 says close took effect"),
        (
            "UPDATE decision_runs SET reason = 'filled' WHERE id = 2",
            "decision_runs(2) completed (filled) with 0",
        ),
        ("UPDATE decision_runs SET packet_hash = 'x' WHERE id = 2", "decision_runs(2) packet or response hash"),
        ("UPDATE decision_runs SET clone_id = 2 WHERE id = 3", "decision_runs(3) its account or version is of another"),
        ("UPDATE decision_runs SET fill_at = finished_at + 1 WHERE id = 1", "decision_runs(1) was filled before"),
        (
            "UPDATE decision_runs SET decided_at = tick + 2, fill_at = tick + 1 WHERE id = 2",
            "decision_runs(2) was answ",
        ),
        ("UPDATE decision_runs SET attempts = 0 WHERE id = 2", "decision_runs(2) was never taken up"),
        ("UPDATE prop_decision_actions SET run_id = 99 WHERE id = 1", "prop_decision_actions(1) has no decision run"),
        (
            "DELETE FROM decision_artifacts WHERE run_id = 1 AND kind = 'apply_input'",
            "prop_fills(1) its run has no",
        ),
        ("UPDATE decision_targets SET cadence_sec = 301", "decision_targets(1, prompt-1, BTC) is not what"),
        ("DELETE FROM decision_targets", "decision_targets(1, prompt-1, BTC) is not what"),
        (
            "INSERT INTO clone_dry_runs VALUES (1, 1, 'hold', printf('%064d', 0), 100, 99, 0, 1)",
            "clone_dry_runs(1) balance 99, its ledger makes 100",
        ),
    ],
)
def test_control_a_broken_row_is_named(traded: World, statement: str, named: str) -> None:
    if "clone_id = 2" in statement:
        traded.clone("BTC", name="Bea")
    assert any(found.startswith(named) or named in found for found in broken(traded, statement))


@pytest.mark.parametrize("kind", ["packet", "prompt", "response", "apply_input"])
def test_control_a_missing_artifact_is_named(traded: World, kind: str) -> None:
    with traded.clash.read() as connection:
        kept = runs.artifacts_of(connection, 1)[kind]
    traded.store.delete(kept.key)
    (found,) = audit(traded.clash, traded.store).differences
    assert kept.key in found.row
    assert audit(traded.clash).is_clean, "without the store only the index is looked at"
