"""The documented commands, as a person types them: real processes on a real Dagster home."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml

from clash_pipeline.archive.choice import store_from
from clash_pipeline.cli import dagster as cli_dagster
from clash_pipeline.cli.dagster import (
    MODULE_VARIABLE,
    dagster_command,
    environment,
    instance_configuration,
    write_dagster_home,
)
from clash_pipeline.clock import SettableClock
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import open_clash, open_market
from resources.services import ServicesResource
from tests.fakes import market_rows
from tests.fakes.world import RISING, World

AGE_MS = 600_000
ROOT = Path(__file__).resolve().parents[2]
INHERITED = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), "PYTHONWARNINGS": "default"}


def shell(command: str, settings: Settings, **more: str) -> subprocess.CompletedProcess[str]:
    """What a shell at the root would do after `eval "$(clash env)"`."""
    given = {**INHERITED, **environment(settings), **more}
    words = [sys.executable, "-m", *shlex.split(command)]
    return subprocess.run(words, cwd=ROOT, env=given, capture_output=True, text=True, timeout=120)


@pytest.fixture
def world(settings: Settings) -> World:
    """A clone that is ten minutes old, so that it is due, and wants to trade now."""
    made = World(
        settings, SettableClock(time.time_ns() // 1_000_000 - AGE_MS), open_clash(settings), open_market(settings),
        store_from(settings),
    )  # fmt: skip
    market_rows.list_asset(made.market, "BTC", sz_decimals=3, max_leverage=40)
    made.clone("BTC")
    made.clock.advance(AGE_MS)
    made.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    made.clash.close()
    made.market.close()
    return made


def test_dagster_job_execute_decide_clone_works_as_written(world: World, settings: Settings) -> None:
    write_dagster_home(settings)
    config = settings.home / "run.yaml"
    config.write_text("ops: {prepare_clone: {config: {clone_id: 1, force: true}}}\n", "utf-8")
    done = shell(f"dagster job execute -j decide_clone -c {config}", settings)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "due: 1 runs of clones 1" in done.stderr
    with world.clash.read() as connection:
        rows = connection.execute("SELECT state, effective FROM decision_runs").fetchall()
    assert [tuple(row) for row in rows] == [("completed", "open_long")]
    world.clash.close()


def in_bash(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """What a person types at the root of the checkout, with the commands of this environment on the path."""
    given = {
        **INHERITED, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CLASH_HOME": str(home),
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=given, capture_output=True, text=True, timeout=120
    )  # fmt: skip


AS_WRITTEN = 'eval "$(clash env)"; dagster job execute -j decide_clone'


def test_the_literal_lines_decide_for_the_one_trading_clone(world: World, settings: Settings) -> None:
    done = in_bash(AS_WRITTEN, settings.home)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "due: 1 runs of clones 1" in done.stderr
    with world.clash.read() as connection:
        states = [row["state"] for row in connection.execute("SELECT state FROM decision_runs")]
    world.clash.close()
    assert states == ["completed"]


def test_without_databases_the_step_fails_with_the_one_sentence(tmp_path: Path) -> None:
    done = in_bash(AS_WRITTEN, tmp_path)
    assert done.returncode == 1
    assert f"Failure: there is no {tmp_path}/clash.db; run `clash migrate`" in done.stderr
    assert "StorageRefused:" not in done.stderr


def test_a_refusal_is_a_failure_that_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASH_HOME", str(tmp_path))
    with dg.build_resources({"services": ServicesResource()}) as made:
        for name in ("clash", "market"):
            with pytest.raises(dg.Failure, match="run `clash migrate`") as refused:
                getattr(made.services, name)
            assert refused.value.allow_retries is False


def test_definitions_validate_through_the_workspace_file_is_clean(settings: Settings) -> None:
    write_dagster_home(settings)
    given = {key: value for key, value in environment(settings).items() if key != MODULE_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate"], cwd=ROOT, env={**INHERITED, **given},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "Validation successful for code location clash" in done.stdout + done.stderr
    assert "BetaWarning" not in done.stderr


def test_first_starts_at_once_leave_a_whole_home(settings: Settings) -> None:
    """Two first starts of Dagster itself corrupt a home for good; ours wait for each other."""
    script = (
        "from clash_pipeline.settings import load;"
        "from clash_pipeline.cli.dagster import write_dagster_home; write_dagster_home(load())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**INHERITED, **environment(settings)})
        for _ in range(3)
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    heads = "SELECT count(*) FROM alembic_version"
    for name in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        assert _one(settings.dagster_home / name, heads) == 1, name


def test_the_home_is_written_once_and_again_when_a_setting_changes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialised: list[Path] = []
    monkeypatch.setattr(cli_dagster, "_initialise", initialised.append)
    home = write_dagster_home(settings)
    written = (home / "dagster.yaml").stat().st_mtime_ns
    write_dagster_home(settings)
    assert (home / "dagster.yaml").stat().st_mtime_ns == written
    write_dagster_home(settings.model_copy(update={"dagster_history_days": 3}))
    assert yaml.safe_load((home / "dagster.yaml").read_text())["retention"]["schedule"] == {"purge_after_days": 3}
    assert initialised == [home], "Dagster's storage is set up by the first call alone"


def test_every_form_of_the_instance_configuration_is_accepted_by_dagster(settings: Settings, tmp_path: Path) -> None:
    stores = {"store": "s3", "dagster_compute_logs": "store", "store_bucket": "clash", "store_prefix": "a/b"}
    for number, update in enumerate(({}, {"dagster_compute_logs": "local"}, stores)):
        home = tmp_path / str(number)
        home.mkdir()
        changed = settings.model_copy(update=update)
        (home / "dagster.yaml").write_text(yaml.safe_dump(instance_configuration(changed)), "utf-8")
        with dg.DagsterInstance.from_config(str(home)) as instance:
            assert instance.telemetry_enabled is False
            assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
            limits = instance.get_concurrency_config().run_queue_config
            assert limits is not None
            assert limits.max_concurrent_runs == 3


def test_the_environment_names_what_differs_and_tells_no_secret(tmp_path: Path) -> None:
    given: Mapping[str, str] = {
        "CLASH_HOME": str(tmp_path), "CLASH_SYMBOLS": "BTC,ETH", "CLASH_STORE": "s3", "CLASH_STORE_ACCESS_KEY_ID": "id",
        "CLASH_STORE_SECRET_ACCESS_KEY": "hush",
    }  # fmt: skip
    shown = environment(load(given))
    assert shown == {
        "DAGSTER_HOME": f"{tmp_path}/dagster", "DAGSTER_MODULE_NAME": "clash_pipeline.definitions",
        "CLASH_HOME": str(tmp_path), "CLASH_SYMBOLS": "BTC,ETH", "CLASH_STORE": "s3",
    }  # fmt: skip
    assert load({key: value for key, value in shown.items() if key.startswith("CLASH_")}).symbols == "BTC,ETH"


@pytest.mark.parametrize(
    ("words", "has_module"),
    [("job list", True), ("dev -w workspace.yaml", False), ("definitions validate --workspace=x.yaml", False)],
)
def test_a_workspace_file_and_the_module_name_exclude_each_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, words: str, has_module: bool
) -> None:
    started: list[tuple[list[str], Mapping[str, str]]] = []
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    monkeypatch.setattr(cli_dagster, "write_dagster_home", lambda _: settings.dagster_home)
    monkeypatch.setattr(os, "execve", lambda _, arguments, given: started.append((arguments, given)))
    cli_dagster.dagster(SimpleNamespace(args=words.split()))  # type: ignore[arg-type]
    ((arguments, given),) = started
    assert arguments[1:] == ["-m", "dagster", *words.split()]
    assert (MODULE_VARIABLE in given) is has_module


def _one(path: Path, question: str) -> int:
    """Dagster's own files are read with the interpreter's SQLite, as Dagster does."""
    script = f"import sqlite3; print(sqlite3.connect({str(path)!r}).execute({question!r}).fetchone()[0])"
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def test_dagster_dev_gets_our_workspace_as_an_option_and_no_module_as_a_variable() -> None:
    given = {MODULE_VARIABLE: "clash_pipeline.definitions", "DAGSTER_HOME": "/home"}
    ours = Path("/home/local.yaml")
    words, passed = dagster_command(["dev", "-p", "3001"], given, ours)
    assert words == ["dev", "-p", "3001", "-w", "/home/local.yaml"]
    assert passed == {"DAGSTER_HOME": "/home"}
    assert dagster_command(["dev", "-w", "workspace.yaml"], given, ours) == (["dev", "-w", "workspace.yaml"], passed)
    assert dagster_command(["job", "list"], given, ours) == (["job", "list"], given)
