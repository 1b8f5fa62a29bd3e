"""W2: a worker that is stopped (SIGSTOP) past its claim writes nothing when it wakes up after its successor."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.archive.choice import store_from
from clash_pipeline.decisions.audit import audit
from clash_pipeline.storage.sqlite import one
from tests.fakes.world import World


def haunt(world: World, trials: int, *, is_fenced: bool = True) -> list[dict[str, Any]]:
    """Let so many zombies wake up; returns where each was stopped and which tables it changed afterwards."""
    clone_id, _ = world.clone("BTC", cadence_sec=86_400)
    order = {
        "home": str(world.settings.home), "clone_id": clone_id, "now_ms": world.clock.now_ms() + 1, "trials": trials,
        "is_fenced": is_fenced,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.zombies"], input=json.dumps(order), cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=3_000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def unmoved(world: World, trials: int) -> None:
    found = haunt(world, trials)
    assert [each for each in found if each["changed"] or each["status"]] == []
    assert len({each["place"] for each in found}) == 6
    world.store = store_from(world.settings)
    with world.clash.read() as connection:
        ended = one(connection, "SELECT count(*) FROM decision_runs WHERE kind = 'forced' AND state = 'completed'")
        fills = one(connection, "SELECT count(*) FROM prop_fills")
        actions = one(connection, "SELECT count(*) FROM prop_decision_actions")
    assert ended == trials
    assert fills > 0
    assert actions <= trials
    assert audit(world.clash, world.store).is_clean


def test_thirty_zombies_write_nothing(world: World) -> None:
    unmoved(world, 30)


@pytest.mark.soak
def test_a_thousand_zombies_write_nothing(world: World) -> None:
    unmoved(world, 1_000)


def test_control_without_the_fence_a_zombie_writes_over_its_successor(world: World) -> None:
    """The successor holds the run; the zombie that names its token ends it all the same, and is seen."""
    (found,) = haunt(world, 1, is_fenced=False)
    assert "decision_runs" in found["changed"]
    assert "prop_fills" in found["changed"]
