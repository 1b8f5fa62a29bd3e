"""`clash ingestion`: status for people and programs, check for monitors."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from clash_pipeline import services
from clash_pipeline.cli.ingestion import app
from clash_pipeline.clock import SettableClock
from clash_pipeline.market import ingestion
from clash_pipeline.market.health import CHANNELS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows

NOW = 1_753_100_000_000


@pytest.fixture(autouse=True)
def composed(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """Commands build their services over this test's home, at a fixed time."""
    built = services.Services(settings, SettableClock(NOW))
    monkeypatch.setattr(services, "build", lambda *_, **__: built)
    yield
    built.close()


def clash(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def all_channels_work(market: Database) -> None:
    with market.write() as connection:
        for source, channel, *_ in CHANNELS:
            cycle = ingestion.Cycle(rows=40, covered=39, expected=40, lags_ms=[120, 900])
            ingestion.record(connection, source, channel, cycle, started_at=NOW - 6_000, finished_at=NOW - 5_000)


def one_fails(market: Database) -> None:
    with market.write() as connection:
        ingestion.record(
            connection, "hyperliquid", "funding", ingestion.Cycle(), started_at=NOW, finished_at=NOW, error="X: 502"
        )


def test_status_shows_every_channel(market: Database) -> None:
    all_channels_work(market)
    result = clash("status")
    assert result.exit_code == 0
    for source, channel, *_ in CHANNELS:
        assert f"{source}.{channel}" in result.output
    assert "97.5% of 40" in result.output
    assert "120 / 900" in result.output


def test_status_tells_the_last_error(market: Database) -> None:
    all_channels_work(market)
    one_fails(market)
    assert "last error of hyperliquid.funding: X: 502" in clash("status").output


def test_status_in_json_has_every_figure_of_the_contract(market: Database) -> None:
    all_channels_work(market)
    result = clash("status", "--json")
    found = {channel["name"]: channel for channel in json.loads(result.output)}
    assert len(found) == len(CHANNELS)
    shown = found["hyperliquid.candles_1m"]
    wanted = {
        "status": "ok", "expected_cadence_sec": 60, "stale_after_sec": 120, "age_sec": 5, "rows_written": 40,
        "rows_per_hour": 40, "coverage": 0.975, "lag_p50_ms": 120, "lag_p99_ms": 900, "last_error": None,
        "rejections": 0,
    }  # fmt: skip
    assert {key: shown[key] for key in wanted} == wanted


def test_check_of_healthy_channels_exits_0(market: Database) -> None:
    all_channels_work(market)
    result = clash("check")
    assert (result.exit_code, result.output.strip()) == (0, f"{len(CHANNELS)} channels are healthy")


def test_check_names_the_bad_channels_and_only_those(market: Database) -> None:
    all_channels_work(market)
    one_fails(market)
    result = clash("check")
    assert result.exit_code == 1
    assert result.output.splitlines() == ["hyperliquid.funding failed: X: 502"]


def test_check_of_an_empty_memory_names_every_channel() -> None:
    result = clash("check")
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == len(CHANNELS)


def test_check_in_json_is_the_same_verdict(market: Database) -> None:
    all_channels_work(market)
    good = clash("check", "--json")
    assert (good.exit_code, json.loads(good.stdout)) == (
        0, {"healthy": True, "channels": len(CHANNELS), "bad": [], "unlisted_symbols": []},
    )  # fmt: skip
    one_fails(market)
    bad = clash("check", "--json")
    assert bad.exit_code == 1
    shown = json.loads(bad.stdout)
    assert shown["healthy"] is False
    assert shown["bad"] == [
        {"name": "hyperliquid.funding", "status": "failed", "problem": "hyperliquid.funding failed: X: 502"}
    ]


@pytest.fixture
def following(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings that follow one listed symbol, one in wrong letters and one that nobody knows."""
    chosen = settings.model_copy(update={"symbols": "BTC,NOPE,btc"})
    built = services.Services(chosen, SettableClock(NOW))
    monkeypatch.setattr(services, "build", lambda *_, **__: built)
    yield
    built.close()


@pytest.mark.usefixtures("following")
def test_followed_symbols_that_are_not_listed_are_named_and_unhealthy(market: Database) -> None:
    all_channels_work(market)
    market_rows.list_asset(market, "BTC", sz_decimals=3, max_leverage=40)
    sentence = "CLASH_SYMBOLS names NOPE, btc: the registry lists no such symbol, so nothing comes in\n"
    shown = clash("status", "--json")
    assert (shown.exit_code, shown.stderr) == (0, sentence)
    assert len(json.loads(shown.stdout)) == len(CHANNELS)
    assert clash("status").stderr == sentence
    checked = clash("check")
    assert (checked.exit_code, checked.stdout, checked.stderr) == (1, "", sentence)
    assert json.loads(clash("check", "--json").stdout)["unlisted_symbols"] == ["NOPE", "btc"]


@pytest.mark.usefixtures("following")
def test_an_empty_registry_is_reported_by_its_channel_and_not_by_symbol(market: Database) -> None:
    all_channels_work(market)
    assert clash("check").exit_code == 0
