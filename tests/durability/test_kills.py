"""kill -9 at every named fault point and at random instants: nothing acknowledged is lost, nothing is done twice, and
every invariant holds (S1)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.forking import ROOT
from tests.fakes.racing import POINTS, REMOVAL

ELSEWHERE = frozenset({"ingester.before_commit", "ingester.after_commit", "repair.before_store"})
"""Points of market memory, which can be fetched again: the ingester is killed there over its own stream (D2)."""

RACES = POINTS | REMOVAL
"""Points on the way of a race: tests/arena/test_kills.py kills at each of them and compares every row (W6)."""


def lives(folder: Path, *, kills: int = 0, times: int = 0, mode: str = "honest", seed: int = 1) -> dict[str, Any]:
    """Let processes live and be killed; the report of the harness."""
    order = {"folder": str(folder), "kills": kills, "times": times, "mode": mode, "seed": seed}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.lives"], cwd=ROOT, input=json.dumps(order), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.timeout(1_200)  # a minute becomes five where others use the machine as well
def test_every_fault_point_three_times(tmp_path: Path) -> None:
    report = lives(tmp_path, times=3)
    assert report["problems"] == []
    assert report["reached"] == dict.fromkeys(report["points"], 3)
    assert report["kills"] >= 3 * len(report["points"])
    assert report["taken_up"] > 0
    unreached = set(report["registered"]) - set(report["points"])
    assert unreached <= ELSEWHERE | RACES, "a new fault point needs an act that reaches it"
    assert len(report["points"]) >= 30


@pytest.mark.timeout(1_200)  # a minute becomes five where others use the machine as well
def test_random_instants(tmp_path: Path) -> None:
    report = lives(tmp_path, kills=600)
    assert report["problems"] == []
    assert report["kills"] == 600
    assert report["acknowledged"] > 600
    assert report["repeated"] > 200


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_kills(tmp_path: Path, seed: int) -> None:
    report = lives(tmp_path, kills=1_000, times=3, seed=seed)
    assert report["problems"] == []
    assert report["reached"] == dict.fromkeys(report["points"], 3)


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (
            "autocommit",
            ("I6", "I8", "I9", "run", "AccountMoved", "StateConflict"),
        ),  # statements that are not one transaction
        ("acknowledged first", ("lost",)),  # an answer before the commit
        ("new keys", ("AssertionError: doubled",)),  # a repeat that does not name its key
    ],
)
def test_control_the_harness_finds(tmp_path: Path, mode: str, told: tuple[str, ...]) -> None:
    report = lives(tmp_path, kills=60, mode=mode)
    assert report["problems"] != []
    assert report["problems"][0].startswith(told), report["problems"][0]


def test_the_points_of_market_memory_are_killed_at_elsewhere() -> None:
    convergence = (ROOT / "tests" / "market" / "test_convergence.py").read_text("utf-8")
    assert [point for point in ELSEWHERE if f'"{point}"' not in convergence] == []
