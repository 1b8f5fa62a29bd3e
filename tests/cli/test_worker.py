"""`clash worker`, `clash decisions replay` and `dry-run`: the same services as the jobs, as a person types them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.storage.heartbeats import workers
from tests.cli.trading import Run, run, world
from tests.fakes.world import RISING, World

__all__ = ["run", "world"]


@pytest.fixture
def clone(run: Run, world: World) -> int:
    """A rules clone on BTC that is due."""
    run("clones", "create", "Ada", "--engine", "rules", "--symbols", "BTC")
    world.clock.advance(6 * MINUTE_MS)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    return 1


def test_a_worker_decides_once_and_marks_once(run: Run, clone: int, world: World) -> None:
    done = run("worker", "decisions", "--once")
    assert done.exit_code == 0
    assert "rules: 1 due, 1 completed, 0 skipped, 0 failed, 0 left for later" in done.stdout
    assert "hold: 0 due" in done.stdout
    assert "1 accounts marked, 0 ended" in run("worker", "marks", "--once").stdout
    assert "rules: 0 due" in run("worker", "decisions", "--once", "--engine", "rules").stdout
    beats = {beat.worker: beat for beat in workers(world.clash)}
    assert {"decisions-hold", "decisions-model", "decisions-rules", "marks"} <= beats.keys()
    assert beats["decisions-rules"].is_stopped


def test_a_worker_in_the_foreground_stops_when_asked(world: World) -> None:
    """A real process: it beats, and ends cleanly on TERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clash_pipeline.cli.main", "worker", "decisions", "--engine", "hold"],
        env={"CLASH_HOME": str(world.settings.home), "PATH": ""}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    until = time.monotonic() + 60
    while not any(beat.worker == "decisions-hold" for beat in workers(world.clash)):
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    (beat,) = workers(world.clash)
    assert (beat.is_stopped, beat.last_error) == (True, None)


def test_a_run_is_replayed_and_a_changed_one_is_found(run: Run, clone: int, world: World) -> None:
    run("worker", "decisions", "--once", "--engine", "rules")
    done = run("decisions", "replay", "1")
    assert (done.exit_code, done.stdout) == (0, "run 1: the same again (5 rows compared)\n")
    with world.clash.write() as connection:
        connection.execute("DROP TRIGGER prop_fills_append_only")
        connection.execute("UPDATE prop_fills SET fee = fee + 1")
    done = run("decisions", "replay", "1")
    assert done.exit_code == 1
    assert "prop_fills(1).fee: 899999857 was stored, 899999856 comes out" in done.stdout
    assert json.loads(run("decisions", "replay", "1", "--json").stdout)["verdict"] == "differs"
    assert run("decisions", "replay", "9").exit_code == 2


def test_show_tells_the_whole_run(run: Run, clone: int) -> None:
    run("worker", "decisions", "--once", "--engine", "rules")
    text = run("decisions", "show", "1").stdout
    for said in (
        "Run 1: completed, filled; effect open_long",
        "tick 2025-",
        "100000",
        "--prompt: word for word what was sent",
        "clash decisions replay 1",
    ):
        assert said in text


def test_a_draft_is_run_dry(run: Run, clone: int, world: World, tmp_path: Path) -> None:
    done = run("decisions", "dry-run", "--clone-id", "1")
    assert done.exit_code == 0
    assert "no prop account was touched" in done.stdout
    assert "open_long BTC passed the gates" in done.stdout
    found = json.loads(run("decisions", "dry-run", "--clone-id", "1", "--engine", "hold", "--json").stdout)
    assert [item["reason"] for item in found["runs"]] == ["hold"]
    assert run("decisions", "list").stdout.count("BTC") == 0
    bad = tmp_path / "graph.json"
    bad.write_text("{")
    assert run("decisions", "dry-run", "--clone-id", "1", "--graph", str(bad)).exit_code == 2
    assert run("decisions", "dry-run", "--clone-id", "9").exit_code == 2


def test_the_audit_reads_artifacts_when_asked(run: Run, clone: int, world: World) -> None:
    run("worker", "decisions", "--once", "--engine", "rules")
    assert run("audit", "--artifacts").exit_code == 0
    for path in (world.settings.file_store / "decisions").rglob("*.zst"):
        path.unlink()
    assert run("audit").exit_code == 0
    assert run("audit", "--artifacts").exit_code == 1
