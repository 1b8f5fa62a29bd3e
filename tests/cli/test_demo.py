"""`clash demo`: what it refuses before it starts, and (in the soak) the whole of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clash_pipeline.cli.demo_stage import MARKER, fresh_home
from clash_pipeline.cli.main import app

SIGNS = (
    "Faults of the venue", "history: all equal", "decision waves by Dagster's sensor", "marked and drawn by Dagster",
    "of Tide, by rules", "of Wake, by model", "of Anchor, by hold", "What the model was told and answered",
    "model calls of clone 2, 0 without an answer", "Audit: clean",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]


def test_an_earlier_demo_is_replaced_and_nothing_else_is(tmp_path, monkeypatch):
    monkeypatch.setenv("CLASH_HOME", str(tmp_path))
    home = fresh_home()
    (home / "market.db").write_text("old")
    assert fresh_home() == home
    assert [entry.name for entry in home.iterdir()] == [MARKER]


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "precious").touch()
    said = CliRunner().invoke(app, ["demo"], env={"CLASH_HOME": str(tmp_path)})
    assert said.exit_code == 3
    assert "was not made by the demo" in said.stderr
    assert (tmp_path / "demo" / "precious").exists()


def test_recordings_that_are_not_there_are_named(tmp_path):
    said = CliRunner().invoke(app, ["demo", "--recordings", "/nowhere"], env={"CLASH_HOME": str(tmp_path)})
    assert said.exit_code == 2
    assert "/nowhere is not a folder" in said.stderr


@pytest.mark.soak
def test_the_demo_goes_the_whole_way_and_is_sound(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "clash_pipeline.cli.main", "demo", "--hours", "1"],
        cwd=ROOT,
        env={**os.environ, "CLASH_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1_200,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for sign in SIGNS:
        assert sign in done.stdout
