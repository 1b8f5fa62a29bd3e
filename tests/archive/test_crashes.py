"""Killed at any step: no row is lost, and the next run ends where an undisturbed one would."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clash_pipeline import faults
from clash_pipeline.archive import bookkeeping, partitions
from clash_pipeline.archive.file_store import FileStore
from clash_pipeline.archive.partitions import read_day
from clash_pipeline.archive.readiness import PartitionRefused
from clash_pipeline.clock import DAY_MS
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage.files import migrate_all, open_market
from clash_pipeline.storage.sqlite import Database
from tests.fakes.archive_child import Worker, worker
from tests.fakes.market_days import DAY, all_rows, fill_any

LATER = DAY + 9 * DAY_MS
NAMES = ("polymarket_quotes", "defillama_capital_flows")
RETAIN = [
    "archive.after_encode", "archive.after_put", "archive.after_record", "archive.after_verify",
    "archive.before_prune", "archive.during_prune", "archive.during_prune@2", "archive.during_prune@3",
    "archive.after_prune", "archive.after_prune@2", "file_store.before_named",
    *[f"storage.before_commit@{hit}" for hit in (1, 3, 4, 6)], *[f"storage.after_commit@{hit}" for hit in (2, 4, 5, 7)],
]  # fmt: skip
RESTORE = [
    "archive.after_pin", "archive.during_restore", "archive.during_restore@2", "archive.after_restore",
    "storage.before_commit@2", "storage.after_commit@3",
]  # fmt: skip


@pytest.fixture(scope="module")
def child() -> Iterator[Worker]:
    """The process that forks the ones to be killed."""
    with worker() as running:
        yield running


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two tables of a day to be archived; copied for each kill."""
    home = tmp_path_factory.mktemp("filled") / "home"
    settings = load({"CLASH_HOME": str(home)})
    migrate_all(settings)
    market = open_market(settings)
    for name in NAMES:
        fill_any(market, name, rows=60)
    market.close()
    return home


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Path:
    """A copy of it, made while nobody has it open."""
    return Path(shutil.copytree(filled, tmp_path / "copy"))


def look(home: Path) -> tuple[Settings, Database, FileStore]:
    settings = load({"CLASH_HOME": str(home)})
    return settings, open_market(settings), FileStore(settings.file_store)


def safe_rows(market: Database, store: FileStore, name: str) -> set[tuple[object, ...]]:
    """What is in SQLite, or in an archive that the bookkeeping calls verified and that still is."""
    kept = set(all_rows(market, name))
    partition = bookkeeping.current(market, name, DAY)
    if partition is not None and partition.prune_started_at is not None:
        partitions.verify_day(market, store, name, DAY, LATER)
        kept |= set(read_day(store, name, DAY).rows())
    return kept


@pytest.mark.parametrize("fault", RETAIN)
def test_retention_killed_anywhere_loses_nothing_and_ends_the_same(home: Path, child: Worker, fault: str) -> None:
    _, market, store = look(home)
    before = {name: all_rows(market, name) for name in NAMES}
    market.close()
    assert child.run(home, "retain", LATER, f"{fault}:kill") == -signal.SIGKILL
    _, market, store = look(home)
    with market.read() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    for name in NAMES:
        assert safe_rows(market, store, name) == set(before[name])
    market.close()

    assert child.run(home, "retain", LATER) == 0
    _, market, store = look(home)
    assert [all_rows(market, name) for name in NAMES] == [[], []]
    assert len(list(store.list("market/"))) == 2  # no second object for the same rows
    for name in NAMES:
        assert read_day(store, name, DAY).rows() == before[name]
        partition = bookkeeping.current(market, name, DAY)
        assert partition is not None
        assert partition.pruned_at == LATER
    market.close()


@pytest.mark.parametrize("fault", RESTORE)
def test_a_restore_killed_anywhere_is_finished_by_the_next(home: Path, child: Worker, fault: str) -> None:
    _, market, _ = look(home)
    before = {name: all_rows(market, name) for name in NAMES}
    market.close()
    assert child.run(home, "retain", LATER) == 0
    assert child.run(home, "restore", LATER, f"{fault}:kill") == -signal.SIGKILL
    assert child.run(home, "retain", LATER) == 0  # what came back is pinned, or was not begun
    _, market, store = look(home)
    for name in NAMES:
        assert read_day(store, name, DAY).rows() == before[name]
    market.close()
    assert child.run(home, "restore", LATER) == 0
    _, market, _ = look(home)
    assert {name: all_rows(market, name) for name in NAMES} == before
    market.close()


def test_a_half_restored_day_never_replaces_its_archive(home: Path, child: Worker) -> None:
    """Pin over, half of the rows back, one late row beside them: the new archive holds all of them."""
    settings, market, _ = look(home)
    before = all_rows(market, NAMES[0])
    market.close()
    child.run(home, "retain", LATER)
    child.run(home, "restore", LATER, "archive.during_restore:kill")
    settings, market, store = look(home)
    came_back = len(all_rows(market, NAMES[0]))
    assert 0 < came_back < len(before)
    fill_any(market, NAMES[0], rows=1, seed=99)
    late = set(all_rows(market, NAMES[0])) - set(before)
    over = LATER + settings.restored_pin_days * DAY_MS
    with pytest.raises(PartitionRefused, match="changed"):
        partitions.prune_day(market, store, NAMES[0], DAY, over, settings)
    partitions.archive_day(market, store, NAMES[0], DAY, over)
    assert set(read_day(store, NAMES[0], DAY).rows()) == set(before) | late
    market.close()


def test_every_fault_point_of_the_archive_is_killed_somewhere() -> None:
    named = {name for name in faults.REGISTERED if name.startswith(("archive.", "file_store."))}
    assert named == {fault.partition("@")[0] for fault in RETAIN + RESTORE if not fault.startswith("storage.")}
