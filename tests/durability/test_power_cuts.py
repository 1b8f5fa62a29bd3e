"""Power cuts with lost, torn and re-ordered writes: nothing acknowledged is lost, nothing corrupt (S2)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.forking import ROOT


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which acts can be done, made by the product's own SQLite."""
    made = tmp_path_factory.mktemp("power") / "template"
    subprocess.run([sys.executable, "-m", "tests.fakes.acts", str(made)], cwd=ROOT, check=True)
    return made


def cut(template: Path, folder: Path, *, cuts: int, synchronous: str = "FULL", seed: int = 1) -> dict[str, Any]:
    """Cut the power so often; the simulator's report."""
    order = {
        "template": str(template), "folder": str(folder), "cuts": cuts, "seed": seed, "synchronous": synchronous
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.power"], cwd=ROOT, input=json.dumps(order), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_power_cut_loses_nothing_that_was_acknowledged(template: Path, tmp_path: Path) -> None:
    report = cut(template, tmp_path, cuts=100)
    assert report["problems"] == []
    assert report["cuts"] == 100
    assert report["acknowledged"] >= 60


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_two_thousand_power_cuts(template: Path, tmp_path: Path, seed: int) -> None:
    assert cut(template, tmp_path, cuts=100, seed=100 + seed)["problems"] == []


def test_control_normal_loses_what_was_acknowledged_and_corrupts_nothing(template: Path, tmp_path: Path) -> None:
    report = cut(template, tmp_path, cuts=30, synchronous="NORMAL")
    said = [line for lines in report["problems"] for line in lines]
    assert report["bad"] > 0
    assert any(line.startswith("lost: ") for line in said)
    assert not any(line.startswith("corrupt: ") for line in said)


def test_control_off_corrupts_the_file(template: Path, tmp_path: Path) -> None:
    report = cut(template, tmp_path, cuts=30, synchronous="OFF")
    assert any(lines[0].startswith("corrupt: ") for lines in report["problems"])
