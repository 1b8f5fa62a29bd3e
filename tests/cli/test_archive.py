"""`clash archive`: what a person types, reads and may rely on."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clash_pipeline.archive import retention
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.cli.archive import app
from clash_pipeline.cli.prop import app as prop
from clash_pipeline.clock import DAY_MS, SettableClock
from clash_pipeline.prop.marks import mark
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.desk import Desk
from tests.fakes.market_days import DAY, all_rows, fill_any, fill_minutes

CANDLES = "hyperliquid_candles_1m"
TOTAL_KEYS = ["table", "day", "ok", "problem"]


@pytest.fixture
def run(settings: Settings, market: Database, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """The command on a home with two tables archived and pruned."""
    monkeypatch.setenv("CLASH_HOME", str(settings.home))
    fill_minutes(market, symbols=("BTC", "kPEPE"))
    fill_any(market, "polymarket_quotes", rows=10)
    retention.run(market, FileStore(settings.file_store), settings, DAY + 9 * DAY_MS)
    return lambda *words: CliRunner().invoke(app, [*words])


def test_list_shows_rows_size_and_where_they_are(run) -> None:  # type: ignore[no-untyped-def]
    listed = json.loads(run("list", "--json").stdout)
    assert [(one["table_name"], one["day"], one["row_count"]) for one in listed] == [
        (CANDLES, "2025-07-21", 2_880),
        ("polymarket_quotes", "2025-07-21", 10),
    ]
    shown = run("list", "--table", CANDLES).stdout
    assert "2,880" in shown
    assert "the archive" in shown
    assert "polymarket_quotes" not in shown


def test_list_asks_the_store_itself(run) -> None:  # type: ignore[no-untyped-def]
    assert json.loads(run("list", "--store", "--json", "--table", CANDLES).stdout) == [
        {"table": CANDLES, "day": "2025-07-21"}
    ]


def test_verify_is_quiet_about_health_and_loud_about_damage(run, settings: Settings) -> None:  # type: ignore[no-untyped-def]
    good = run("verify", "--json")
    assert good.exit_code == 0
    assert [one["ok"] for one in json.loads(good.stdout)] == [True, True]
    damaged = next(Path(settings.file_store).glob(f"market/{CANDLES}/*/*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-100])
    bad = run("verify", "--json")
    assert bad.exit_code == 1
    results = json.loads(bad.stdout)
    assert [list(one) for one in results] == [TOTAL_KEYS, TOTAL_KEYS]
    assert [one["ok"] for one in results] == [False, True]
    assert "not the ones put there" in results[0]["problem"]
    assert "not verified" in run("list").stdout


def test_restore_brings_a_day_back_and_says_until_when(run, market: Database) -> None:  # type: ignore[no-untyped-def]
    assert all_rows(market, CANDLES) == []
    done = json.loads(run("restore", CANDLES, "2025-07-21", "--json").stdout)
    assert [(one["rows"], one["kept"]) for one in done] == [(2_880, 0)]
    assert len(all_rows(market, CANDLES)) == 2_880
    again = json.loads(run("restore", CANDLES, "2025-07-21", "--json").stdout)
    assert [(one["rows"], one["kept"]) for one in again] == [(0, 2_880)]


def test_query_reads_in_place(run, market: Database) -> None:  # type: ignore[no-untyped-def]
    rows = json.loads(run("query", CANDLES, "2025-07-21", "--symbol", "BTC", "--limit", "2", "--json").stdout)
    assert [list(row)[:3] for row in rows] == [["symbol", "t", "o"]] * 2
    counted = run(
        "query", CANDLES, "2025-07-21", "--json", "--sql",
        "select symbol, count(*)::int n, max(h::double) high from archive group by 1 order by 1",
    )  # fmt: skip
    assert counted.exit_code == 0, counted.stderr
    assert [(row["symbol"], row["n"]) for row in json.loads(counted.stdout)] == [("BTC", 1_440), ("kPEPE", 1_440)]
    assert "1,440 rows, the first 40" in run("query", CANDLES, "2025-07-21", "--symbol", "kPEPE").stdout
    assert all_rows(market, CANDLES) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("restore", "candles", "2025-07-21"), "is not an archived table"),
        (("restore", CANDLES, "yesterday"), "is not a time"),
        (("restore", CANDLES, "2025-07-21T01:00Z"), "not a range of UTC days"),
        (("restore", CANDLES, "2025-07-21", "--to", "2025-07-20"), "not a range of UTC days"),
        (("restore", CANDLES, "2024-01-01"), "no_history"),
        (("query", "polymarket_quotes", "2024-01-01"), "only answers for the present"),
        (("query", "polymarket_quotes", "2025-07-21", "--symbol", "BTC"), "has no symbols"),
        (("query", CANDLES, "2025-07-21", "--sql", "selec 1"), "syntax error"),
        (("query", CANDLES, "2025-07-21", "--sql", "attach 'market.db' (type sqlite)"), "disabled"),
        (("query", CANDLES, "2025-07-21", "--sql", "set enable_external_access = true"), "locked"),
        (("query", CANDLES, "2025-07-21", "--sql", "select * from read_text('/etc/hostname')"), "disabled"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(run, words: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    done = run(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_run_retains_what_is_due_and_reports_a_store_that_is_down(  # type: ignore[no-untyped-def]
    run, market: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_any(market, "defillama_capital_base", rows=5)
    monkeypatch.setenv("CLASH_STORE", "s3")
    monkeypatch.setenv("CLASH_STORE_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CLASH_STORE_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("CLASH_STORE_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr("clash_pipeline.archive.s3_store.FIRST_PAUSE_SEC", 0.001)
    delayed = run("run", "--json")
    assert delayed.exit_code == 4
    assert [one["outcome"] for one in json.loads(delayed.stdout)] == ["delayed"]
    monkeypatch.setenv("CLASH_STORE", "file")
    done = run("run", "--json")
    assert done.exit_code == 0
    assert [(one["outcome"], one["rows"]) for one in json.loads(done.stdout)] == [("pruned", 5)]


def test_verify_that_found_nothing_of_what_was_named_is_a_mistake(run) -> None:  # type: ignore[no-untyped-def]
    for words, said in (
        (("--day", "2020-01-01"), "no archived day 2020-01-01"),
        (("--day", "2020-01-01", "--table", CANDLES), f"no archived day 2020-01-01 of {CANDLES}"),
        (("--table", "defillama_capital_base"), "no archived day of defillama_capital_base"),
    ):
        done = run("verify", *words)
        assert (done.exit_code, done.stderr) == (2, f"clash: {said}\n")


def test_a_store_without_credentials_names_the_settings(  # type: ignore[no-untyped-def]
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CLASH_STORE", "s3")
    monkeypatch.setenv("CLASH_STORE_ENDPOINT_URL", "http://127.0.0.1:9")
    for words in (("verify",), ("list", "--store"), ("query", CANDLES, "2025-07-21")):
        done = run(*words)
        assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1), done.stderr
        assert "set CLASH_STORE_ACCESS_KEY_ID and CLASH_STORE_SECRET_ACCESS_KEY" in done.stderr


def test_verify_with_a_store_that_is_down_is_one_line(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CLASH_STORE", "s3")
    monkeypatch.setenv("CLASH_STORE_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CLASH_STORE_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("CLASH_STORE_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr("clash_pipeline.archive.s3_store.FIRST_PAUSE_SEC", 0.001)
    done = run("verify")
    assert (done.exit_code, len(done.stderr.splitlines())) == (4, 1)
    assert "127.0.0.1:9" in done.stderr


def test_a_store_that_is_down_is_said_in_one_line(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CLASH_STORE", "s3")
    monkeypatch.setenv("CLASH_STORE_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("CLASH_STORE_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("CLASH_STORE_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr("clash_pipeline.archive.s3_store.FIRST_PAUSE_SEC", 0.001)
    done = run("query", CANDLES, "2025-07-21")
    assert done.exit_code == 4
    assert [line for line in done.stderr.splitlines() if "store_retry" not in line] == [done.stderr.splitlines()[-1]]


def test_minutes_of_account_snapshots_are_listed_verified_and_read_in_place(
    run,
    settings: Settings,
    clash: Database,
    market: Database,
    clock: SettableClock,  # type: ignore[no-untyped-def]
) -> None:
    desk = Desk(settings, clock, clash, market, PaperVenue(market))
    desk.open()
    for _ in range(3):
        clock.advance(60_000)
        mark(clash, market, desk.account_id, clock.now_ms())
    thinned = CliRunner().invoke(prop, ["thin"])
    assert thinned.stdout == "1 days archived, 2 minute snapshots thinned\n"
    (listed,) = json.loads(run("list", "--json", "--table", "prop_snapshots").stdout)
    assert (listed["day"], listed["row_count"]) == ("2025-07-21", 3)
    assert "the archive" in run("list", "--table", "prop_snapshots").stdout
    assert run("verify", "--table", "prop_snapshots").exit_code == 0
    asked = run("query", "prop_snapshots", "2025-07-21", "--sql", "SELECT count(*) AS many FROM archive", "--json")
    assert json.loads(asked.stdout) == [{"many": 3}]
    refused = run("restore", "prop_snapshots", "2025-07-21")
    assert (refused.exit_code, "is not restored" in refused.stderr) == (2, True)
