"""`clash venue` as a person starts it."""

import os
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clash_pipeline.cli.venue import app
from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.hosting import listening

START = [sys.executable, "-c", "from clash_pipeline.cli.venue import app; app()"]


def test_the_exports_can_be_printed_alone() -> None:
    shown = CliRunner().invoke(app, ["--print-env", "--port", "9001"])
    assert shown.exit_code == 0
    assert "export CLASH_HYPERLIQUID_WS_URL=ws://127.0.0.1:9001/ws" in shown.output.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--faults", "melt@1h"], "there is no fault 'melt'"),
        (["--start", "tomorrow"], "'tomorrow' is not a time"),
        (["--start", "1960-01-01"], "start 1960-01-01 lies outside the data: 2020-01-01T00:00:00Z to"),
        (["--start", "2100-01-01"], "before 2100-01-01T00:00:00Z"),
        (["--start", "999999999999999"], "start 999999999999999 lies outside"),
        (["--recordings", "nowhere"], "is missing"),
        (["--recordings", ".", "--synthetic", "7"], "exclude each other"),
    ],
)
def test_what_cannot_be_opened_is_one_line(arguments: list[str], message: str) -> None:
    shown = CliRunner().invoke(app, [*arguments, "--port", "0"])
    assert shown.exit_code == 2
    assert message in shown.output
    assert len(shown.output.strip().splitlines()) == 1


@pytest.mark.recordings
@pytest.mark.parametrize("start", ["2030-01-01", "2025-07-20T18:26Z", "2025-07-26T05:54Z"])
def test_recordings_are_not_started_outside_their_days(recordings: Path, start: str) -> None:
    shown = CliRunner().invoke(app, ["--recordings", str(recordings), "--start", start, "--port", "0"])
    assert shown.exit_code == 2
    said = f"start {start} lies outside the data: 2025-07-20T18:27:00Z to before 2025-07-26T05:54:00Z"
    assert shown.output == f"clash: {said}\n"


def test_a_taken_port_is_named() -> None:
    opened = listening(0)
    port = opened.getsockname()[1]
    shown = CliRunner().invoke(app, ["--port", str(port)])
    opened.close()
    assert shown.exit_code == 4
    assert str(port) in shown.output


def test_it_serves_until_it_is_told_to_stop() -> None:
    command = [*START, "--synthetic", "3", "--port", "0", "--start", "2025-07-24T06:00Z", "--faults", "drop@30m"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            lines = list(takewhile(lambda line: not line.startswith("#"), process.stdout))
            controls = VenueControls(lines[0].strip().removeprefix("export CLASH_HYPERLIQUID_URL="))
            assert all(line.startswith("export CLASH_") for line in lines)
            assert controls.now_ms() == 1_753_336_800_000
            assert controls.advance(1_753_336_860_000) == 1_753_336_860_000
            assert [fault["fault"] for fault in controls.stats()["faults"]] == ["drop@30m"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) in (0, -signal.SIGTERM)
        finally:
            process.kill()
