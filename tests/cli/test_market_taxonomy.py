"""`clash market taxonomy`: what stands where, and what no person has placed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clash_pipeline import services
from clash_pipeline.cli.market import app
from clash_pipeline.clock import SettableClock
from clash_pipeline.market.hyperliquid import answers, registry
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

NOW = 1_753_100_000_000


@pytest.fixture(autouse=True)
def composed(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """Commands build their services over this test's home, at a fixed time."""
    built = services.Services(settings, SettableClock(NOW))
    monkeypatch.setattr(services, "build", lambda *_, **__: built)
    yield
    built.close()


@pytest.fixture
def listed(market: Database) -> None:
    perps = answers.PerpMeta([answers.Perp(name, 5, 40, 56, position=0) for name in ("BTC", "BRANDNEW")], {})
    tokens = {0: answers.SpotToken("USDC", 8, 0), 1: answers.SpotToken("UBTC", 5, 1), 2: answers.SpotToken("[x]", 5, 2)}
    spots = answers.SpotMeta([answers.SpotPair((1, 0), "@142", 142), answers.SpotPair((2, 0), "@900", 900)], tokens)
    registry.store(market, registry.from_wire(perps, spots), now_ms=NOW)


def clash(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["taxonomy", *arguments])


def answer(*arguments: str) -> Any:
    result = clash(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("listed")
def test_counts_by_category_and_what_waits_for_a_person() -> None:
    found = answer()
    groups = {group["subcategory"]: (group["category"], group["perps"], group["spot"]) for group in found["groups"]}
    assert groups == {
        "store_of_value": ("crypto_major", 1, 1),
        "uncategorised": ("uncategorised", 1, 0),
        "unverified_token": ("hyperliquid_spot", 0, 1),
    }
    assert found["unplaced"] == answer("--uncategorised")
    assert [(each["symbol"], each["reason"]) for each in found["unplaced"]] == [
        ("BRANDNEW", "uncategorised"), ("@900", "by_rule"),
    ]  # fmt: skip


@pytest.mark.usefixtures("listed")
def test_the_same_as_tables_with_names_taken_literally() -> None:
    shown = clash().stdout
    assert "4 assets in 3 subcategories" in shown
    assert "nobody has placed it" in shown
    assert "[x] (spot)" in shown
    assert "crypto_major" not in clash("--uncategorised").stdout


def test_before_the_first_registry_it_says_so() -> None:
    result = clash()
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "clash ingest fetches the registry" in result.stderr
