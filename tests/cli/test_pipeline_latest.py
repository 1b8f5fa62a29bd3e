"""`clash pipeline latest`: a table for people, JSON for programs, one line for what cannot be shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clash_pipeline import services
from clash_pipeline.cli.pipeline import app
from clash_pipeline.clock import SettableClock
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows

NOW = 1_753_100_400_000  # 2025-07-21T12:20:00Z
BLOCKS = [
    {"id": "b1", "source": "hyperliquid", "channel": "ohlcv", "contextSymbol": "ETH", "retrievalDepth": "fast"},
    {"id": "b2", "source": "hyperliquid", "channel": "funding", "contextSymbol": "@107"},
]


@pytest.fixture(autouse=True)
def composed(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """Commands build their services over this test's home, at a fixed time."""
    built = services.Services(settings, SettableClock(NOW))
    monkeypatch.setattr(services, "build", lambda *_, **__: built)
    yield
    built.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A draft: a stream and SOL, and no prompt yet."""
    nodes = [
        {"id": "s1", "type": "data_stream", "config": {"profile": "fast", "blocks": BLOCKS}},
        {"id": "a1", "type": "asset_selection", "config": {"explicitlyEnabledSymbols": ["SOL"]}},
    ]
    path = tmp_path / "graph.json"
    path.write_text(json.dumps({"version": 1, "nodes": nodes, "edges": [{"id": "e", "source": "s1", "target": "a1"}]}))
    return path


@pytest.fixture
def listed(market: Database) -> None:
    for symbol in ("SOL", "ETH"):
        market_rows.list_asset(market, symbol)
    market_rows.list_asset(market, "@107", kind="spot")
    market_rows.closes(market, "ETH", NOW, ["2000", "2001.5"])


def clash(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["latest", *map(str, arguments)], input=stdin)


def answer(*arguments: object) -> Any:
    result = clash(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("listed")
def test_a_table_says_what_is_there_how_old_and_what_is_missing(file: Path) -> None:
    result = clash(file)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if " b1 " in line]
    assert "ETH ohlcv" in line
    assert "2 of 60" in line
    assert "0m 00s" in line
    assert "c 2001.5" in line
    (own,) = [line for line in result.stdout.splitlines() if "SOL ohlcv" in line]
    assert "0 of 60" in own
    assert "missing" in own
    assert "the asset has no such channel" in result.stdout


@pytest.mark.usefixtures("listed")
def test_json_of_one_block(file: Path) -> None:
    found = answer(file, "--block", "b1")
    (read,) = found["reads"]
    assert (read["node"], read["symbol"], read["found"], read["newest"]["c"]) == ("s1", "SOL", 2, "2001.5")
    assert (found["as_of"], found["dropped"]) == (NOW, [])


@pytest.mark.usefixtures("listed")
def test_as_it_was_known_then_and_from_standard_input(file: Path) -> None:
    assert answer(file, "--block", "b1", "--as-of", "2025-07-21T12:19:30Z")["reads"][0]["newest"]["c"] == "2000"
    assert clash("-", "--json", stdin=file.read_text()).stdout == clash(file, "--json").stdout


@pytest.mark.usefixtures("listed")
def test_an_empty_canvas_is_said_to_be_one() -> None:
    result = clash("-", stdin='{"version": 1, "nodes": []}')
    assert (result.exit_code, result.stdout) == (0, "the graph has no data_stream yet\n")


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--node", "nope"), "--node nope: no such data_stream node; there are s1"),
        (("--block", "b9"), "--block b9: no such block; there are b1, b2"),
        (("--as-of", "yesterday"), "--as-of:"),
    ],
)
def test_what_is_not_there_is_one_line(file: Path, arguments: tuple[str, ...], said: str) -> None:
    result = clash(file, *arguments)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert said in result.stderr


def test_without_a_registry_it_says_where_one_comes_from(file: Path) -> None:
    result = clash(file)
    assert result.exit_code == 2
    assert "clash ingest fetches the registry" in result.stderr


@pytest.mark.parametrize("content", ["", "[1]", '{"version": 2, "nodes": []}', '{"version": 1, "nodes": [{}]}'])
def test_a_file_that_is_no_graph_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "graph.json"
    path.write_text(content)
    for given in (path, tmp_path / "absent.json"):
        result = clash(given)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert str(given) in result.stderr
