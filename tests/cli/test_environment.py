"""`clash env`, `clash migrate`, `clash workers` and `clash up` as a person meets them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clash_pipeline.cli.main import app, main
from clash_pipeline.cli.up import child_environment
from clash_pipeline.services import build
from clash_pipeline.settings import Settings
from clash_pipeline.storage.heartbeats import beat

ROOT = Path(__file__).resolve().parents[2]
HUGE = "99999999999999999999"


def run(*words: str, home: Path, **more: str):
    return CliRunner().invoke(app, list(words), env={"CLASH_HOME": str(home), **more})


def test_env_prints_exports_that_a_shell_accepts(tmp_path):
    home = tmp_path / "a home"
    said = run("env", home=home, CLASH_MAX_LEVERAGE="3")
    assert said.exit_code == 0
    script = f'set -eu\n{said.stdout}\nprintf \'%s|%s|%s\' "$DAGSTER_MODULE_NAME" "$CLASH_HOME" "$CLASH_MAX_LEVERAGE"'
    heard = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert heard.stdout == f"clash_pipeline.definitions|{home}|3"
    assert (home / "dagster" / "dagster.yaml").exists()


def test_explain_names_every_setting(tmp_path):
    said = run("env", "--json", home=tmp_path)
    assert set(json.loads(said.stdout)) == set(Settings.model_fields)
    assert "CLASH_MAX_LEVERAGE" in run("env", "--explain", home=tmp_path).stdout


def test_migrate_says_what_it_did_and_then_that_there_is_nothing_left(tmp_path):
    assert "0001_" in run("migrate", home=tmp_path).stdout
    assert run("migrate", home=tmp_path).stdout.count("up to date") == 2


def test_workers_fails_when_one_is_silent(tmp_path):
    run("migrate", home=tmp_path)
    services = build(Settings(home=tmp_path))
    now_ms = services.wall.now_ms()
    shared = {"instance": "a", "expected_interval_sec": 10, "version": "0"}
    beat(services.clash, "ingester", now_ms=now_ms, **shared)
    assert run("workers", home=tmp_path).exit_code == 0
    beat(services.clash, "daemon", now_ms=now_ms - 600_000, **shared)
    services.close()
    said = run("workers", "--json", home=tmp_path)
    assert said.exit_code == 1
    assert {row["worker"]: row["status"] for row in json.loads(said.stdout)} == {"daemon": "stale", "ingester": "ok"}


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["workers"], 3, "clash migrate"),
        (["ingestion", "status"], 3, "clash migrate"),
        (["prop", "account", "1"], 3, "clash migrate"),
    ],
)
def test_without_a_database_one_line_says_what_to_do(tmp_path, words, code, line):
    done = subprocess.run(
        [sys.executable, "-m", "clash_pipeline.cli.main", *words],
        env={**os.environ, "CLASH_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert line in done.stderr


NOBODY = "http://127.0.0.1:9/clock"


@pytest.mark.parametrize(
    ("words", "given", "code", "line"),
    [
        (["env"], {"CLASH_HOME": "/proc/x"}, 3, "CLASH_HOME /proc/x: "),
        (["migrate"], {"CLASH_HOME": "/proc/x"}, 3, "CLASH_HOME /proc/x: "),
        (["env"], {"CLASH_HOME": "{file}"}, 3, "is not a folder"),
        (["migrate"], {"CLASH_HOME": "{file}"}, 3, "is not a folder"),
        (["ingest"], {"CLASH_HOME": "{file}"}, 3, "is not a folder"),
        (["dagster", "job", "list"], {"CLASH_HOME": "{file}"}, 3, "is not a folder"),
        (["migrate"], {"CLASH_HOME": "{file}/below"}, 3, "Not a directory"),
        (["ingestion", "status"], {"CLASH_VENUE_CLOCK_URL": NOBODY}, 4, "does not answer"),
        (["decisions", "run-once"], {"CLASH_VENUE_CLOCK_URL": NOBODY}, 4, "does not answer"),
        (["ingest"], {"CLASH_VENUE_CLOCK_URL": NOBODY}, 4, "does not answer"),
        (["env"], {"CLASH_HYPERLIQUID_WS_URL": "foo"}, 3, "CLASH_HYPERLIQUID_WS_URL: must be ws://HOST"),
    ],
)
def test_what_is_wrong_around_the_command_is_one_line(
    settings, tmp_path, monkeypatch, capsys, words, given, code, line
):
    file = tmp_path / "file"
    file.touch()
    for key, value in {"CLASH_HOME": str(settings.home), **given}.items():
        monkeypatch.setenv(key, value.format(file=file))
    assert through_main(monkeypatch, *words) == code
    said = [said for said in capsys.readouterr().err.splitlines() if said.startswith("clash: ")]
    assert len(said) == 1
    assert line in said[0]


@pytest.mark.parametrize(
    "words",
    [
        ["prop", "account", HUGE], ["prop", "mark", HUGE], ["prop", "pause", HUGE, "--reason", "x"],
        ["prop", "halt", "--reason", "x", "--account-id", HUGE], ["prop", "release", "--account-id", HUGE],
        ["decisions", "show", HUGE], ["decisions", "list", "--clone-id", HUGE],
        ["decisions", "run-once", "--clone-id", HUGE], ["decisions", "run-once", "--account-id", HUGE],
        ["clones", "show", HUGE], ["clones", "trading", HUGE, "on"], ["prop", "account", "0"],
    ],
)  # fmt: skip
def test_an_id_that_no_row_can_have_is_a_usage_error(settings, monkeypatch, capsys, words):
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    assert through_main(monkeypatch, *words) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_largest_id_is_looked_for(settings, monkeypatch, capsys):
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    assert through_main(monkeypatch, "prop", "account", str(2**63 - 1)) == 2
    assert capsys.readouterr().err == f"clash: there is no prop account {2**63 - 1}\n"


def through_main(monkeypatch, *words):
    """The exit code of the whole command in this process; what is no error of a person comes through."""
    monkeypatch.setattr(sys, "argv", ["clash", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_a_wrong_setting_is_one_line_naming_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "clash_pipeline.cli.main", "env"],
        env={**os.environ, "CLASH_HOME": str(tmp_path), "CLASH_DAGSTER_PORT": "70000"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "CLASH_DAGSTER_PORT" in done.stderr
    assert "65535" in done.stderr


def test_children_do_not_inherit_the_module_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_MODULE_NAME", "clash_pipeline.definitions")
    given = child_environment(Settings(home=tmp_path))
    assert "DAGSTER_MODULE_NAME" not in given
    assert given["DAGSTER_HOME"] == str(tmp_path / "dagster")


def test_up_refuses_a_taken_port_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = run("up", home=tmp_path, CLASH_DAGSTER_PORT=port)
    assert said.exit_code == 4
    assert f"port {port} is in use" in said.stderr
