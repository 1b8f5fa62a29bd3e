"""`clash pipeline`: schema, validate and compile as a creator runs them, with their exit codes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from clash_pipeline.cli.main import app
from clash_pipeline.clones.graph import simple_graph
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "doc" / "examples" / "majors-trend" / "graph.json"


@pytest.fixture
def run(settings: Settings, market: Database, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command on a home whose registry has BTC, ETH, SOL and a spot pair."""
    for symbol in ("BTC", "ETH", "SOL"):
        market_rows.list_asset(market, symbol)
    market_rows.list_asset(market, "PURR/USDC", kind="spot", category="meme")
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    return lambda *words, **more: CliRunner().invoke(app, ["pipeline", *map(str, words)], **more)


def file_of(folder: Path, content: Any) -> Path:
    file = folder / "graph.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_the_schema_is_printed_for_other_programs(run: Any) -> None:
    schema = json.loads(run("schema").stdout)
    jsonschema.Draft202012Validator(schema).validate(json.loads(EXAMPLE.read_text()))


def test_a_valid_graph_says_so_and_exits_with_nought(run: Any) -> None:
    said = run("validate", EXAMPLE)
    assert said.exit_code == 0, said.output
    assert "is valid for starter: 1 prompt, 3 assets, hash " in said.stdout


def test_standard_input_is_a_file_too(run: Any) -> None:
    said = run("validate", "-", input=EXAMPLE.read_text())
    assert (said.exit_code, said.stdout.startswith("standard input is valid")) == (0, True)


def test_an_invalid_graph_lists_every_problem_and_exits_with_one(run: Any, tmp_path: Path) -> None:
    content = simple_graph(("BTC", "ETHH", "SOOL")).wire()
    content["edges"].append({"id": "e3", "source": "prompt-1", "target": "assets-1"})
    said = run("validate", file_of(tmp_path, content))
    assert said.exit_code == 1
    for word in ("has 4 problems", "symbol_unknown", "Did you mean ETH?", "Did you mean SOL?", "cycle", "illegal_edge"):
        assert word in said.stdout


def test_the_tier_decides_the_limits(run: Any, tmp_path: Path) -> None:
    file = file_of(tmp_path, simple_graph(("BTC", "ETH", "SOL", "PURR/USDC")).wire())
    assert run("validate", file, "--tier", "builder").exit_code == 0
    said = json.loads(run("validate", file, "--json").stdout)
    (problem,) = said["problems"]
    assert (said["valid"], said["hash"], said["tier"]) == (False, None, "starter")
    assert (problem["code"], problem["limit"], problem["actual"]) == ("too_many_assets", 3, 4)


def test_json_of_a_valid_graph_has_the_hash_of_the_compiled(run: Any) -> None:
    validated = json.loads(run("validate", EXAMPLE, "--json").stdout)
    compiled = json.loads(run("compile", EXAMPLE, "--json").stdout)
    assert (validated["valid"], validated["problems"]) == (True, [])
    assert validated["hash"] == compiled["hash"]
    assert [asset["symbol"] for asset in compiled["compiled"]["universe"]] == ["BTC", "ETH", "SOL"]


def test_a_draft_that_is_only_unfinished_is_told_apart(run: Any, tmp_path: Path) -> None:
    said = run("validate", file_of(tmp_path, {"version": 1, "nodes": []}))
    assert said.exit_code == 1
    assert "can be saved as a draft" in said.stdout


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("not json", "graph.json: This is not JSON: expecting value at line 1, column 1."),
        ("[" * 9_000, "nested at most 32 deep"),
        (" " * 2_000_001, "at most 2,000,000 bytes"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exits_with_two(
    run: Any, tmp_path: Path, content: str, sentence: str
) -> None:
    said = run("validate", file_of(tmp_path, content))
    assert (said.exit_code, said.stdout, said.stderr.count("\n")) == (2, "", 1)
    assert sentence in said.stderr


def test_a_missing_file_and_a_folder_are_named(run: Any, tmp_path: Path) -> None:
    for name, reason in ((tmp_path / "gone.json", "No such file"), (tmp_path, "Is a directory")):
        said = run("compile", name)
        assert said.exit_code == 2
        assert f"{name}: {reason}" in said.stderr


def test_an_empty_registry_is_not_taken_for_an_answer(
    settings: Settings, market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    said = CliRunner().invoke(app, ["pipeline", "validate", str(EXAMPLE)])
    assert said.exit_code == 2
    assert "knows no asset yet" in said.stderr


def test_the_compiled_graph_is_readable(run: Any, tmp_path: Path) -> None:
    content = simple_graph(("BTC", "PURR/USDC")).wire()
    content["nodes"][0]["config"]["blocks"] = [
        {"id": "lead", "source": "hyperliquid", "channel": "rsi", "contextSymbol": "ETH", "lookbackSec": 7_200}
    ]
    said = run("compile", file_of(tmp_path, content))
    assert said.exit_code == 0, said.output
    for words in ("Trade universe", "Strategy prompt-1, every 300 s, at most ", "lead", "channel unsupported"):
        assert words in said.stdout


def test_an_invalid_graph_is_not_compiled(run: Any, tmp_path: Path) -> None:
    said = run("compile", file_of(tmp_path, simple_graph(("NOPE",)).wire()))
    assert said.exit_code == 1
    assert "lists no asset NOPE" in said.stdout


@pytest.mark.recordings
def test_the_venues_own_answers_can_stand_for_the_registry(recordings: Path, tmp_path: Path) -> None:
    """Nothing of ours needs to exist: no home, no database."""
    folder = recordings / "hyperliquid"
    words = ["--registry", str(folder / "meta.json"), "--registry", str(folder / "spot_meta.json")]
    home = {"CLASH_HOME": str(tmp_path / "nowhere")}
    said = CliRunner().invoke(app, ["pipeline", "validate", str(EXAMPLE), *words], env=home)
    assert said.exit_code == 0, said.output
    said = CliRunner().invoke(app, ["pipeline", "validate", str(EXAMPLE), "--registry", str(EXAMPLE)], env=home)
    assert said.exit_code == 2
    assert "no answer of Hyperliquid" in said.stderr
