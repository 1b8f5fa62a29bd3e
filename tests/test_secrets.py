"""G1: no secret in the repository, and none of ours in anything that the system prints, stores or answers."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clash_pipeline import services
from clash_pipeline.cli.main import app
from clash_pipeline.clock import SettableClock
from clash_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PATTERNS = {
    "private key block": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "AWS key id": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "provider key": re.compile(rb"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}\b"),
    "GitHub token": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
    "Slack token": re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "JWT": re.compile(rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    "service token": re.compile(rb"\bclash_[0-9a-f]{64}\b"),
    "assigned secret": re.compile(rb"(?i)\b(?:secret|password|(?:api|private)_?key)\s*[:=]\s*['\"][A-Za-z0-9/+-]{24,}"),
}  # fmt: skip
CANARY = "canary5e1ec7"
HEX_CANARY = "c0ffee5e1ec7" * 6
SECRETS = {
    "CLASH_MODEL_KEY": f"{CANARY}-model",
    "CLASH_STORE_ACCESS_KEY_ID": f"{CANARY}-id",
    "CLASH_STORE_SECRET_ACCESS_KEY": f"{CANARY}-store",
    "CLASH_SESSION_KEY": HEX_CANARY,
    "CLASH_ALERT_URLS": f"json://user:{CANARY}-hook@127.0.0.1:1/x",
}
COMMANDS = (
    "env", "env --explain", "env --json", "migrate", "check", "check --json", "workers", "alerts look", "alerts list",
    "alerts test", "ingestion status", "ingestion check", "model show", "tokens list", "audit", "prop account 1",
    "clones list", "decisions show 1", "archive list", "worker alerts --once", "worker decisions --once",
)  # fmt: skip


def tracked() -> list[Path]:
    """The files of the repository, or of a copy without its history."""
    asked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    named = [ROOT / name for name in asked.stdout.split("\0") if name]
    return named or [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]


def leaks(content: bytes) -> list[str]:
    """Which patterns of secrets some bytes hold."""
    return [name for name, pattern in PATTERNS.items() if pattern.search(content)]


def test_no_file_of_the_repository_holds_a_secret() -> None:
    found = {str(path.relative_to(ROOT)): leaks(path.read_bytes()) for path in tracked() if path.is_file()}
    assert len(found) > 300
    assert {name: kinds for name, kinds in found.items() if kinds} == {}


@pytest.mark.parametrize(
    "secret",
    [
        b"-----BEGIN EC " + b"PRIVATE KEY-----", b"AKIA" + b"ABCDEFGHIJKLMNOP", b"sk-" + b"a1B2c3D4e5F6g7H8i9J0k",
        b"ghp_" + b"a" * 36, b"clash_" + b"0a" * 32, b"api_key = '" + b"Zm9vYmFyYmF6cXV4Zm9vYmFy" + b"'",
    ],
)  # fmt: skip
def test_control_a_secret_is_found(secret: bytes) -> None:
    assert leaks(b"x = " + secret + b"\n")


@pytest.fixture
def told(settings: Settings, clock: SettableClock, monkeypatch: pytest.MonkeyPatch) -> dict[str, Result]:
    """What every command says on a home whose settings hold canaries for secrets."""
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    monkeypatch.setattr(services, "clock_from", lambda _: clock)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return {words: CliRunner().invoke(app, words.split()) for words in COMMANDS}


def test_no_command_says_a_secret_and_none_is_stored(
    told: dict[str, Result], settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    said = {words: result.output + str(result.exception or "") for words, result in told.items()}
    assert len("".join(said.values())) > 5_000
    assert [words for words, text in said.items() if CANARY in text or HEX_CANARY in text] == []
    logged = "".join(capfd.readouterr())
    assert CANARY not in logged
    assert HEX_CANARY not in logged
    kept = [path for path in settings.home.rglob("*") if path.is_file()]
    assert len(kept) >= 2
    assert [path.name for path in kept if CANARY.encode() in path.read_bytes()] == []


def test_control_a_setting_that_is_no_secret_would_be_seen(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    monkeypatch.setenv("CLASH_STORE_BUCKET", CANARY)
    assert CANARY in CliRunner().invoke(app, ["env", "--json"]).output
