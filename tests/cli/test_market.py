"""`clash market`: what the memory holds, for people and programs, and one line for what it does not hold."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from clash_pipeline import services
from clash_pipeline.cli import market_views as views
from clash_pipeline.cli.market import app
from clash_pipeline.cli.output import table
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.market import candles, indicators
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.defillama import store as macro
from clash_pipeline.market.defillama.rows import COLUMNS, known
from clash_pipeline.market.hyperliquid import answers, funding, registry
from clash_pipeline.market.hyperliquid.funding import FundingRate
from clash_pipeline.market.polymarket.reading import Known
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database

NOW = 1_753_100_000_000
T = 1_753_092_000_000
"""10:00"""


@pytest.fixture(autouse=True)
def composed(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """Commands build their services over this test's home, at a fixed time."""
    built = services.Services(settings, SettableClock(NOW))
    monkeypatch.setattr(services, "build", lambda *_, **__: built)
    yield
    built.close()


@pytest.fixture(autouse=True)
def listed(market: Database) -> None:
    perps = answers.PerpMeta(
        [
            answers.Perp("BTC", 5, 40, 56, position=0),
            answers.Perp("MATIC", 1, 20, 20, isDelisted=True, position=1),
        ],
        {},
    )
    tokens = {0: answers.SpotToken("USDC", 8, 0), 1: answers.SpotToken("UBTC", 5, 1)}
    spots = answers.SpotMeta([answers.SpotPair((1, 0), "@142", 142)], tokens)
    registry.store(market, registry.from_wire(perps, spots), now_ms=T)


def clash(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def answer(*arguments: str) -> Any:
    result = clash(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def minutes(market: Database, count: int, *, close: str = "83765.0", known_at: int = T, final: bool = True) -> None:
    rows = [Candle("BTC", T + i * MINUTE_MS, "83760.0", "83770.0", "83750.0", close, "0.3317", i) for i in range(count)]
    with market.write() as connection:
        candles.store(connection, rows, origin="stream", final=final, known_at=known_at)


def test_candles_in_json_are_objects_of_exactly_the_documented_keys(market: Database) -> None:
    minutes(market, 2)
    assert answer("candles", "BTC") == [
        {"t": T, "o": "83760.0", "h": "83770.0", "l": "83750.0", "c": "83765.0", "v": "0.3317", "n": 0},
        {"t": T + MINUTE_MS, "o": "83760.0", "h": "83770.0", "l": "83750.0", "c": "83765.0", "v": "0.3317", "n": 1},
    ]


def test_without_a_range_the_newest_sixty_rows_are_shown_oldest_first(market: Database) -> None:
    minutes(market, 100)
    assert [row["n"] for row in answer("candles", "BTC")] == list(range(40, 100))
    assert [row["n"] for row in answer("candles", "BTC", "--limit", "2")] == [98, 99]


def test_a_range_is_half_open_and_not_cut_unless_a_limit_says_so(market: Database) -> None:
    minutes(market, 100)
    whole = ("candles", "BTC", "--from", "2025-07-21T10:05Z", "--to", str(T + 99 * MINUTE_MS))
    assert [row["n"] for row in answer(*whole)] == list(range(5, 99))
    assert [row["n"] for row in answer(*whole, "--limit", "3")] == [96, 97, 98]


def test_as_of_shows_what_was_known_then(market: Database) -> None:
    minutes(market, 1, close="1.0", known_at=T + 70_000, final=False)
    minutes(market, 1, close="2.0", known_at=T + 90_000)
    closes = {
        at: [row["c"] for row in answer("candles", "BTC", "--as-of", str(T + at))] for at in (69_999, 70_000, 90_000)
    }
    assert closes == {69_999: [], 70_000: ["1.0"], 90_000: ["2.0"]}


def test_hours_are_another_interval(market: Database) -> None:
    minutes(market, 3)
    with market.write() as connection:
        hour = [Candle("BTC", T, "1.0", "2.0", "1.0", "2.0", "9.0", 60)]
        candles.store(connection, hour, interval="1h", origin="rollup", final=True, known_at=T + HOUR_MS)
    assert [row["n"] for row in answer("candles", "BTC", "--interval", "1h")] == [60]


def test_candles_as_a_table_say_where_a_row_comes_from_and_draw_the_closes(market: Database) -> None:
    minutes(market, 3)
    result = clash("candles", "BTC")
    assert result.exit_code == 0
    assert "BTC 1m, 3 candles" in result.output
    assert "2025-07-21T10:02:00Z" in result.output
    assert "stream" in result.output
    assert "close ▁" in result.output


def test_indicators_in_json_have_exactly_the_documented_keys(market: Database) -> None:
    row = ("BTC", T, 55.5, 3.0, 2.0, 1.0, 2.0, 2.1, None, None, None, T + 1)
    with market.write() as connection:
        indicators.upsert(connection, [row])
    assert answer("indicators", "BTC") == [
        {"t": T, "rsi14": 55.5, "bb_upper": 3.0, "bb_middle": 2.0, "bb_lower": 1.0, "sma20": 2.0, "ema20": 2.1,
         "macd": None, "macd_signal": None, "macd_hist": None}
    ]  # fmt: skip
    assert answer("indicators", "BTC", "--interval", "1h")[0]["t"] == T
    assert "55.5" in clash("indicators", "BTC").output


def test_funding_is_shown_in_exact_text_and_by_the_hour(market: Database) -> None:
    rates = [
        FundingRate("BTC", "current", "HlPerp", T, 125_000, 1, "-0.0001", T + HOUR_MS, T),
        FundingRate("BTC", "predicted", "BinPerp", T, 1_000_000, 8, None, None, T),
    ]
    with market.write() as connection:
        funding.store(connection, rates)
    assert answer("funding", "BTC", "--kind", "current") == [
        {"symbol": "BTC", "kind": "current", "venue": "HlPerp", "t": T, "interval_hours": 1, "premium": "-0.0001",
         "next_funding_at": T + HOUR_MS, "known_at": T, "rate": "0.0000125"}
    ]  # fmt: skip
    shown = clash("funding", "BTC").output
    assert "0.00125 %" in shown
    assert "0.001250 %" in shown, "both venues pay the same by the hour"
    assert shown.count("10.95") == 2


def test_a_spot_pair_has_no_funding() -> None:
    result = clash("funding", "@142")
    assert (result.exit_code, result.output) == (2, "clash: @142 is a spot pair; only perps have funding\n")


def test_assets_lists_what_is_listed_with_filters() -> None:
    assert [asset["symbol"] for asset in answer("assets")] == ["BTC", "@142"]
    assert [asset["symbol"] for asset in answer("assets", "--kind", "perp", "--delisted")] == ["BTC", "MATIC"]
    assert [asset["symbol"] for asset in answer("assets", "--category", "store_of_value")] == ["BTC", "@142"]
    assert answer("assets", "--category", "layer_2") == []
    btc = answer("assets")[0]
    assert btc["margin_tiers"] == [{"lower_bound": "0.0", "max_leverage": 40}]
    assert "funding" in btc["channels"]
    shown = clash("assets", "--delisted").output
    assert "BTC (spot)" in shown
    assert "delisted" in shown


def test_an_unknown_category_names_those_there_are() -> None:
    result = clash("assets", "--category", "majors")
    assert result.exit_code == 2
    assert "there are crypto_major, layer_2, store_of_value" in result.output


@pytest.mark.parametrize("command", ["candles", "indicators", "funding", "polymarket"])
@pytest.mark.parametrize(("typed", "hint"), [("btc", "did you mean BTC, @142?"), ("zzzz", "see clash market assets")])
def test_an_unknown_symbol_is_one_line_that_helps(command: str, typed: str, hint: str) -> None:
    result = clash(command, typed)
    assert (result.exit_code, result.output) == (2, f"clash: no asset {typed!r}; {hint}\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--from", "yesterday"), "--from: 'yesterday' is not a time"),
        (("--from", "2025-07-22", "--to", "2025-07-21"), "--from 2025-07-22 does not lie before --to 2025-07-21"),
        (("--limit", "0"), "Invalid value for '--limit'"),
        (("--interval", "5m"), "Invalid value for '--interval'"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], complaint: str) -> None:
    result = clash("candles", "BTC", *arguments)
    assert result.exit_code == 2
    assert complaint in result.output


def test_polymarket_says_what_is_missing_and_why() -> None:
    found = answer("polymarket", "BTC")
    assert (found["immediate"], found["linked"]) == (None, [])
    assert found["missing"]["later"] == "none_known"
    assert "no immediate market: none known" in clash("polymarket", "BTC").output


def macro_hours(market: Database) -> None:
    values = {column: known(1_000.0 if column == "tvl_usd" else None) for column in COLUMNS["capital_base"]}
    with market.write() as connection:
        for t in (T, T + HOUR_MS):
            macro.write(connection, "capital_base", {("chain", "Solana"): values}, t=t, known_at=t)


def test_defillama_lists_its_subjects_and_shows_the_hours_of_one(market: Database) -> None:
    macro_hours(market)
    assert answer("defillama") == [{"scope": "chain", "subject": "Solana", "t": T + HOUR_MS}]
    assert answer("defillama", "protocol") == []
    found = answer("defillama", "chain", "Solana")
    assert [row["t"] for row in found["capital_base"]] == [T, T + HOUR_MS]
    assert found["capital_base"][0]["tvl_usd"] == 1_000.0
    assert found["capital_base"][0]["mcap_usd"] is None
    assert found["capital_base"][0]["missing"]["mcap_usd"]
    assert len(answer("defillama", "chain", "Solana", "--limit", "1")["capital_base"]) == 1
    shown = clash("defillama", "chain", "Solana").output
    assert "1,000.00" in shown
    assert "capital flows: nothing known" in shown


def test_without_a_subject_there_is_a_list_or_one_line() -> None:
    result = clash("defillama", "chain")
    assert (result.exit_code, len(result.output.splitlines())) == (0, 1)
    assert "no chain subjects are known yet" in result.output


def test_an_unknown_subject_is_one_line_that_helps(market: Database) -> None:
    macro_hours(market)
    result = clash("defillama", "chain", "solanna")
    assert (result.exit_code, result.output) == (2, "clash: no chain 'solanna'; did you mean Solana?\n")


@pytest.mark.parametrize("command", ["assets", "candles", "indicators", "funding", "polymarket", "defillama"])
def test_every_command_explains_itself(command: str) -> None:
    result = clash(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.output


def test_brackets_in_third_party_text_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    question = "Will [bold]BTC[/red] [link=x]rise?"
    market = Known("1", "slug", None, question, ("Yes", "No"), None, None, True, False, "question: btc", T)
    table("linked", ("question", "ends", "linked by", "slug"), [views.linked_row(market)])
    assert question in capsys.readouterr().out
