"""Lock hygiene (S5): whatever is read while a write transaction is open, no other process gets the write lock."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clash_pipeline.archive import bookkeeping, partitions, retention, rows
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.archive.research import query
from clash_pipeline.clock import DAY_MS
from clash_pipeline.market import candles, checks, health, indicators, listing
from clash_pipeline.market.spans import Span
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage import migrations
from clash_pipeline.storage.files import migrate_all, open_market
from clash_pipeline.storage.sqlite import Database
from tests.fakes.lock_prober import Prober, prober
from tests.fakes.market_days import DAY, fill_any, fill_hours, fill_minutes

ROOT = Path(__file__).resolve().parents[2]
NOW = DAY + DAY_MS + 3_600_000
ReadPath = Callable[[Database, Settings, FileStore], object]

pytestmark = pytest.mark.goal


@pytest.fixture(scope="module")
def foreign() -> Iterator[Prober]:
    """The process that would like to write."""
    with prober() as running:
        yield running


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home for all tests of this file, which only read."""
    made = load({"CLASH_HOME": str(tmp_path_factory.mktemp("locks") / "home")})
    migrate_all(made)
    return made


@pytest.fixture(scope="module")
def filled(settings: Settings) -> Iterator[Database]:
    """A market memory with a day of candles, archived."""
    market = open_market(settings)
    fill_minutes(market, symbols=("BTC", "kPEPE"))
    fill_hours(market, symbols=("BTC", "kPEPE"))
    fill_any(market, "hyperliquid_technical_indicators")
    retention.run(market, FileStore(settings.file_store), settings, NOW)
    yield market
    market.close()


def rows_of(market: Database, statement: str) -> list[object]:
    with market.read() as connection:
        return connection.execute(statement).fetchall()


def polars_reads(market: Database, *_: object) -> object:
    import polars as pl

    with market.read() as connection:
        return pl.read_database("SELECT * FROM hyperliquid_candles", connection)


def candle_frame(market: Database, *_: object) -> object:
    with market.read() as connection:
        return candles.frame(connection, interval="1m", from_t=DAY, to_t=DAY + DAY_MS)


def candle_rows(market: Database, *_: object) -> object:
    with market.read() as connection:
        return candles.read(connection, "BTC", interval="1m", from_t=DAY, to_t=DAY + DAY_MS)


def indicator_rows(market: Database, *_: object) -> object:
    with market.read() as connection:
        return indicators.read(connection, "BTC", interval="1m", from_t=DAY, to_t=DAY + DAY_MS)


def asset_list(market: Database, *_: object) -> object:
    with market.read() as connection:
        return listing.read(connection)


def channel_health(market: Database, settings: Settings, *_: object) -> object:
    with market.read() as connection:
        return health.read(connection, settings, NOW)


def asset_checks(market: Database, *_: object) -> object:
    span = Span(DAY, DAY + DAY_MS)
    with market.read() as connection:
        return [
            check(connection, span)
            for check in (checks.gaps, checks.ohlc_sanity, checks.duplicate_keys, checks.rollup_equals_source)
        ]


def archive_pieces(market: Database, *_: object) -> object:
    with market.read() as connection:
        return list(rows.of_day(connection, TABLES["hyperliquid_candles_1m"], DAY))


def duckdb_over_the_archive(_market: Database, _settings: Settings, store: FileStore) -> object:
    return query(partitions.read_day(store, "hyperliquid_candles_1m", DAY), "SELECT count(*) FROM archive")


def file_size(market: Database, *_: object) -> object:
    return [market.path.stat().st_size, market.path.exists()]


READ_PATHS: dict[str, ReadPath] = {
    "plain rows": lambda market, *_: rows_of(market, "SELECT * FROM hyperliquid_candles"),
    "candles": candle_rows,
    "candle frame": candle_frame,
    "polars over our connection": polars_reads,
    "indicators": indicator_rows,
    "assets": asset_list,
    "health": channel_health,
    "asset checks": asset_checks,
    "schema version": lambda market, *_: migrations.version(market),
    "archive: rows of a day": archive_pieces,
    "archive: content of a day": lambda market, *_: partitions.hot_content(market, "hyperliquid_candles_1m", DAY),
    "archive: bookkeeping": lambda market, *_: bookkeeping.partitions(market),
    "archive: days due": lambda market, *_: [retention.days_due(market, table, NOW) for table in TABLES.values()],
    "archive: read in place": lambda _m, _s, store: partitions.read_day(store, "hyperliquid_candles_1m", DAY),
    "duckdb over the archive": duckdb_over_the_archive,
    "size of the file": file_size,
}


@pytest.mark.parametrize("name", READ_PATHS)
def test_a_foreign_writer_is_refused_after_each_read_path(
    filled: Database, settings: Settings, foreign: Prober, name: str
) -> None:
    store = FileStore(settings.file_store)
    with filled.write() as connection:
        connection.execute("UPDATE candle_gaps SET attempts = 0")
        assert foreign.try_lock(filled.path) == "refused"
        assert READ_PATHS[name](filled, settings, store) is not None
        assert foreign.try_lock(filled.path) == "refused"
    assert foreign.try_lock(filled.path) == "taken"


def test_a_second_database_object_and_its_close_keep_the_lock(
    filled: Database, settings: Settings, foreign: Prober
) -> None:
    """Composition builds services more than once in a process; one library knows all its descriptors."""
    with filled.write():
        other = open_market(settings)
        rows_of(other, "SELECT count(*) FROM hyperliquid_candles")
        other.close()
        assert foreign.try_lock(filled.path) == "refused"


OFFENDER = """
import os, sys
from pathlib import Path
from clash_pipeline.storage.sqlite import Database

database = Database(Path(sys.argv[1]), application_id=0x7E57)
with database.write() as connection:
    connection.execute("CREATE TABLE t (x)")
with database.write() as connection:
    connection.execute("INSERT INTO t VALUES (1)")
    print("holding", flush=True)
    sys.stdin.readline()
    if sys.argv[2] == "open and close":
        Path(f"{sys.argv[1]}-shm").read_bytes()
    else:
        import sqlite3
        other = sqlite3.connect(sys.argv[1])
        other.execute("SELECT count(*) FROM t").fetchone()
        other.close()
    print("offended", flush=True)
    sys.stdin.readline()
    os._exit(0)  # what it holds is broken from here on; a commit may even end in SIGBUS
"""


@pytest.mark.parametrize("offence", ["open and close", "another library"])
def test_control_what_the_rules_forbid_does_drop_the_lock(tmp_path: Path, foreign: Prober, offence: str) -> None:
    path = tmp_path / "a.db"
    offender = subprocess.Popen(
        [sys.executable, "-c", OFFENDER, str(path), offence],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert offender.stdin is not None
    assert offender.stdout is not None
    assert offender.stdout.readline() == "holding\n"
    assert foreign.try_lock(path) == "refused"
    offender.stdin.write("\n")
    offender.stdin.flush()
    assert offender.stdout.readline() == "offended\n"
    assert foreign.try_lock(path) == "taken"
    offender.stdin.write("\n")
    offender.stdin.close()
    assert offender.wait() == 0
    offender.stdout.close()


def test_no_python_code_opens_a_database_file_on_any_read_path(filled: Database, settings: Settings) -> None:
    opened: list[str] = []
    is_watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if is_watching and event == "open" and ".db" in Path(str(arguments[0])).name:
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    store = FileStore(settings.file_store)
    for read in READ_PATHS.values():
        read(filled, settings, store)
    assert opened == []
    filled.path.open("rb").close()  # control: the watch would have seen it
    is_watching = False
    assert opened == [str(filled.path)]
