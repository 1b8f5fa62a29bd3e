"""`clash demo`: what it refuses before it starts, and (in the soak) the whole of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clash_pipeline.cli.demo.arena import CREATORS, HOUSE, variant
from clash_pipeline.cli.demo.command import CLONES
from clash_pipeline.cli.demo.stage import MARKER, fresh_home
from clash_pipeline.cli.demo.story import ether, example
from clash_pipeline.cli.main import app

TRADING = (
    "Faults of the venue", "history: all equal", "decision waves by Dagster's sensor", "marked and drawn by Dagster",
    "of Tide, by rules", "of Wake, by model", "of Anchor, by hold", "What the model was told and answered",
    "model calls of clone 2, 0 without an answer", "Audit: clean",
)  # fmt: skip
ARENA = (
    "3 deposits are final: granted", "Doldrums failed", "house clones Tide, Wake, Anchor, Ebb have slots",
    "an admin retires Anchor: waits, its race holds it", "to the wei", "payouts", "Hall of Fame: Anchor",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[3]


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


def test_no_two_clones_of_the_demo_have_the_same_graph():
    graphs = [json.dumps(variant(strategy, symbols), sort_keys=True) for *_, strategy, symbols in (*CREATORS, HOUSE)]
    graphs += [json.dumps(json.loads(example(strategy).read_text()), sort_keys=True) for _, _, strategy in CLONES]
    assert len(set(graphs)) == len(graphs)


@pytest.mark.parametrize(
    ("wei", "said"), [(0, "0 ETH"), (10**16, "0.01 ETH"), (3 * 10**18, "3 ETH"), (1, f"0.{1:018} ETH")]
)
def test_amounts_are_said_to_the_wei(wei, said):
    assert ether(wei) == said


@pytest.mark.soak
@pytest.mark.parametrize(
    ("words", "signs"), [([], TRADING + ARENA), (["--hours", "1"], TRADING)], ids=["whole", "trading"]
)
def test_the_demo_goes_the_whole_way_and_is_sound(tmp_path, words, signs):
    done = subprocess.run(
        [sys.executable, "-m", "clash_pipeline.cli.main", "demo", *words],
        cwd=ROOT,
        env={**os.environ, "CLASH_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=1_800,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for sign in signs:
        assert sign in done.stdout
