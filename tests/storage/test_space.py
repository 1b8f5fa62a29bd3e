"""Space on the disk (S3): the reserve is given up for money, and market memory stops growing before that."""

from pathlib import Path

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.clones import clones
from clash_pipeline.market import health, ingestion
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage import files
from clash_pipeline.storage.errors import StorageFull
from clash_pipeline.storage.space import MIB, Floor, Reserve
from clash_pipeline.storage.sqlite import Database, one


def floor(tmp_path: Path, *, least_mib: int, free_mib: int) -> Floor:
    return Floor(tmp_path, least_mib, lambda _: free_mib * MIB)


def fill_up(database: Database) -> None:
    """No page beyond those that are there."""
    with database.write() as connection:
        connection.execute("CREATE TABLE notes (text TEXT NOT NULL) STRICT")
        connection.execute(f"PRAGMA max_page_count={one(connection, 'PRAGMA page_count'):d}")
    with database.write() as connection:
        connection.executemany("INSERT INTO notes VALUES (?)", [("x" * 4_000,)] * 50)


def test_the_reserve_takes_up_its_room_and_gives_it_back(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "clash.reserve", 2)
    assert reserve.keep(beside_mib=0)
    laid = (tmp_path / "clash.reserve").stat()
    assert laid.st_size == 2 * MIB
    assert laid.st_blocks * 512 >= 2 * MIB, "space is taken, not only promised"
    assert reserve.keep(beside_mib=10**9), "it is there already"
    assert (reserve.release(), reserve.release()) == (True, False)
    assert list(tmp_path.iterdir()) == []


def test_the_reserve_is_laid_aside_only_beside_the_floor(tmp_path: Path) -> None:
    exact = Reserve(tmp_path / "clash.reserve", 2, lambda _: 66 * MIB)
    short = Reserve(tmp_path / "clash.reserve", 2, lambda _: 66 * MIB - 1)
    assert not short.keep(beside_mib=64)
    assert exact.keep(beside_mib=64)


def test_a_disk_that_refuses_the_reserve_leaves_nothing_behind(tmp_path: Path) -> None:
    assert not Reserve(tmp_path / "absent" / "clash.reserve", 1, lambda _: MIB * 99).keep(beside_mib=0)
    assert not Reserve(tmp_path / "clash.reserve", 0).keep(beside_mib=0), "a reserve of nothing is none"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_gives_the_reserve_up_for_the_next_write_of_money(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "clash.reserve", 1)
    reserve.keep(beside_mib=0)
    database = Database(tmp_path / "a.db", application_id=0x7E57, reserve=reserve)
    with pytest.raises(StorageFull, match="no space is left for the database; nothing was written"):
        fill_up(database)
    assert not reserve.path.exists()


def test_control_any_other_error_leaves_the_reserve_where_it_is(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "clash.reserve", 1)
    reserve.keep(beside_mib=0)
    database = Database(tmp_path / "a.db", application_id=0x7E57, reserve=reserve)
    with pytest.raises(ZeroDivisionError), database.write():
        raise ZeroDivisionError
    assert reserve.path.exists()


def test_below_the_floor_nothing_is_added_and_the_limit_is_said(tmp_path: Path) -> None:
    floor(tmp_path, least_mib=256, free_mib=256).require()
    floor(tmp_path, least_mib=0, free_mib=0).require()
    with pytest.raises(StorageFull, match=r"255 MiB are free at .*, market memory stops growing below 256 MiB"):
        floor(tmp_path, least_mib=256, free_mib=255).require()


@pytest.fixture
def nearly_full(settings: Settings) -> Settings:
    """The same home on a disk that has less free than the floor asks for."""
    return load({"CLASH_HOME": str(settings.home), "CLASH_DISK_FLOOR_MIB": "1000000000"})


def test_ingestion_stops_before_money_does_and_health_says_why(nearly_full: Settings, clock: SettableClock) -> None:
    market, clash = files.open_market(nearly_full), files.open_clash(nearly_full)
    with pytest.raises(StorageFull), ingestion.run(market, "hyperliquid", "mids", clock):
        pytest.fail("the cycle must not begin")
    with market.read() as connection:
        channels = {one.name: one for one in health.read(connection, nearly_full, clock.now_ms())}
    mids = next(channel for name, channel in channels.items() if name.endswith("mids"))
    assert mids.status == "failed"
    assert "market memory stops growing below 1000000000 MiB" in mids.sentence
    assert clones.create(clash, "Ada", engine="hold", now_ms=1) == 1, "a writer of clash.db is not asked"
    market.close()
    clash.close()


def test_the_reserve_of_a_home_follows_its_settings(settings: Settings, nearly_full: Settings) -> None:
    assert not files.keep_reserve(nearly_full), "there is no room beside such a floor"
    small = load({"CLASH_HOME": str(settings.home), "CLASH_DISK_RESERVE_MIB": "1", "CLASH_DISK_FLOOR_MIB": "0"})
    assert files.keep_reserve(small)
    assert (settings.home / "clash.reserve").stat().st_size == MIB
