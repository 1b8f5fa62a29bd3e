"""kill -9 at every fault point of auditions, queue, slots, strikes and retirement: all of a step or nothing of it.

Every audit is clean after the kill, and after the step was taken up again.
"""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clash_pipeline import canonical, faults
from clash_pipeline.arena.audit import audit
from clash_pipeline.decisions.audit import audit as books
from clash_pipeline.economy.audit import audit as money
from clash_pipeline.storage.files import open_clash
from tests.fakes import arena_child
from tests.fakes.forking import Parent, parent_of

POINTS = {
    "submit": ["audition.after_inserted", "audition.after_credit", "audition.after_account", "audition.after_started"],
    "judge": ["audition.after_judged", "audition.after_released", "audition.after_queued"],
    "sync": ["sync.after_expired", "sync.after_admitted", "sync.after_entered"],
    "void": ["void.after_account_ended", "void.after_voided", "void.after_refund"],
    "retire": ["retire.after_queue", "slots.after_left", "retire.after_retired", "hall_of_fame.after_frozen"],
    "reinstate": ["retire.after_reinstated"],
    "strike": ["strikes.after_demand", "strikes.after_cleared", "strikes.after_struck"],
    "carry_out": ["retire.after_queue"],
}
OURS = ("audition", "sync", "void", "retire", "slots", "hall_of_fame", "strikes")
STATE = (
    "SELECT * FROM auditions ORDER BY id",
    "SELECT * FROM promotion_queue ORDER BY id",
    "SELECT * FROM arena_slots ORDER BY id",
    "SELECT * FROM clone_strikes ORDER BY clone_id, race_id, kind",
    "SELECT * FROM clone_demand ORDER BY race_id, clone_id",
    "SELECT * FROM retirement_requests ORDER BY id",
    "SELECT * FROM clone_retirements ORDER BY id",
    "SELECT * FROM hall_of_fame ORDER BY id",
    "SELECT * FROM clone_holds ORDER BY id",
    "SELECT * FROM audition_credits ORDER BY purchase_id",
    "SELECT * FROM payables ORDER BY id",
    "SELECT * FROM prop_accounts ORDER BY id",
    "SELECT * FROM prop_results ORDER BY account_id",
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Path:
    home = tmp_path_factory.mktemp("arena") / "home"
    shutil.copytree(migrated_home, home)
    arena_child.build(home)
    return home


@pytest.fixture(scope="module")
def parent() -> Iterator[Parent]:
    with parent_of("tests.fakes.arena_child") as running:
        yield running


def look(home: Path) -> str:
    """The state of everything, after every audit said that it is clean."""
    clash = open_clash(arena_child.settings_of(home))
    try:
        assert audit(clash) == ()
        assert books(clash).differences == ()
        assert money(clash).differences == ()
        with clash.read() as connection:
            return canonical.digest([[tuple(row) for row in connection.execute(statement)] for statement in STATE])
    finally:
        clash.close()


@pytest.mark.parametrize("step", POINTS)
def test_a_killed_step_is_nothing_and_is_taken_up_whole_and_once(
    tmp_path: Path, template: Path, parent: Parent, step: str
) -> None:
    before, done = look(template), set()
    for name in [f"arena.{point}" for point in POINTS[step]] + ["storage.after_commit"]:
        home = tmp_path / name
        shutil.copytree(template, home)
        assert parent.order(home=str(home), step=step, fault=f"{name}:kill") == -signal.SIGKILL, name
        is_unchanged = look(home) == before
        assert is_unchanged or name == "storage.after_commit" or step == "carry_out", name
        for _ in range(2):
            assert parent.order(home=str(home), step=step) == 0
            done.add(look(home))
    assert before not in done
    assert len(done) == 1, "what is taken up ends as what was never interrupted"


def test_control_a_killed_step_without_a_transaction_is_found(tmp_path: Path, template: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(template, home)
    with parent_of("tests.fakes.arena_torn_child") as torn:
        assert torn.order(home=str(home), step="submit", fault="arena.audition.after_credit:kill") == -signal.SIGKILL
    clash = open_clash(arena_child.settings_of(home))
    assert {found.invariant for found in audit(clash)} >= {"A1", "A2"}
    clash.close()


def test_every_fault_point_of_ours_is_killed_at() -> None:
    mine = {point for point in faults.REGISTERED if point.startswith("arena.") and point.split(".")[1] in OURS}
    assert mine == {f"arena.{point}" for points in POINTS.values() for point in points}
