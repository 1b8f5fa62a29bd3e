"""Days leave SQLite only when they are safe elsewhere, and come back as they were."""

from pathlib import Path

import pytest

from clash_pipeline.archive import bookkeeping, objects, partitions, rows
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.partitions import archive_day, hot_content, prune_day, read_day, restore_day, verify_day
from clash_pipeline.archive.readiness import PartitionRefused
from clash_pipeline.archive.stores import MemoryStore, StoreCorrupt, StoreMissing
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import migrate_all, open_market
from clash_pipeline.storage.sqlite import Database
from tests.fakes.market_days import DAY, all_rows, fill_any, fill_hours, fill_minutes

CANDLES = "hyperliquid_candles_1m"
QUOTES = "polymarket_quotes"
LATER = DAY + 9 * DAY_MS


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


def refused(reason: str):  # type: ignore[no-untyped-def]
    return pytest.raises(PartitionRefused, match=rf"\({reason}\)")


@pytest.mark.parametrize("name", TABLES)
def test_each_table_leaves_and_comes_back_as_it_was(
    market: Database, store: MemoryStore, settings: Settings, name: str
) -> None:
    fill_hours(market) if name == "hyperliquid_candles_1h" else None
    fill_minutes(market, symbols=("BTC",)) if name == CANDLES else None
    fill_any(market, name) if "candles_1" not in name else None
    before = all_rows(market, name)
    assert before
    partition = archive_day(market, store, name, DAY, LATER)
    assert (partition.row_count, partition.verified_at) == (len(before), LATER)
    assert hot_content(market, name, DAY) == (partition.row_count, partition.content_hash)
    assert prune_day(market, store, name, DAY, LATER, settings) == len(before)
    assert all_rows(market, name) == []
    assert read_day(store, name, DAY).rows() == before
    assert restore_day(market, store, name, DAY, LATER).rows == len(before)
    assert all_rows(market, name) == before


def test_a_day_is_one_object_named_by_table_day_and_content(market: Database, store: MemoryStore) -> None:
    fill_any(market, QUOTES)
    partition = archive_day(market, store, QUOTES, DAY, LATER)
    assert partition.object_key == f"market/{QUOTES}/day=2025-07-21/{partition.content_hash}.parquet"
    again = archive_day(market, store, QUOTES, DAY, LATER + 1)
    assert again.content_hash == partition.content_hash
    assert list(store.list("")) == [partition.object_key]
    assert objects.days(store, QUOTES) == [DAY]


def test_other_days_and_intervals_stay_out_of_it(market: Database, store: MemoryStore, settings: Settings) -> None:
    for day in (DAY - DAY_MS, DAY, DAY + DAY_MS):
        fill_minutes(market, day, ("BTC",))
    fill_hours(market, symbols=("BTC",))
    archive_day(market, store, CANDLES, DAY, LATER)
    assert prune_day(market, store, CANDLES, DAY, LATER, settings) == 1_440
    left = [row[1] for row in all_rows(market, CANDLES)]
    assert len(left) == 2_880
    assert not [t for t in left if DAY <= t < DAY + DAY_MS]
    assert len(all_rows(market, "hyperliquid_candles_1h")) == 24


def test_a_running_day_is_refused(market: Database, store: MemoryStore) -> None:
    fill_any(market, QUOTES)
    with refused("running_day"):
        archive_day(market, store, QUOTES, DAY, DAY + DAY_MS + 14 * MINUTE_MS)
    archive_day(market, store, QUOTES, DAY, DAY + DAY_MS + 15 * MINUTE_MS)


def test_what_is_not_a_day_or_has_no_rows_is_refused(market: Database, store: MemoryStore, settings: Settings) -> None:
    with refused("not_a_day"):
        archive_day(market, store, QUOTES, DAY + 1, LATER)
    with refused("empty"):
        archive_day(market, store, QUOTES, DAY, LATER)
    for act in (
        lambda: verify_day(market, store, QUOTES, DAY, LATER),
        lambda: prune_day(market, store, QUOTES, DAY, LATER, settings),
    ):
        with refused("no_history"):
            act()


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if not table.is_asked_again])
def test_a_source_that_only_answers_now_has_no_history_but_the_archive(
    market: Database, store: MemoryStore, name: str
) -> None:
    with pytest.raises(PartitionRefused, match="was never archived; its source only answers for the present") as error:
        restore_day(market, store, name, DAY, LATER)
    assert error.value.reason == "no_history"
    assert all_rows(market, name) == []
    with refused("no_history"):
        read_day(store, name, DAY)


def test_a_day_within_its_hot_window_is_not_pruned(market: Database, store: MemoryStore, settings: Settings) -> None:
    """1m: the running day and one whole day beside it; the boundary is exact."""
    fill_minutes(market, symbols=("BTC",))
    archive_day(market, store, CANDLES, DAY, DAY + DAY_MS + HOUR_MS)
    with refused("hot"):
        prune_day(market, store, CANDLES, DAY, DAY + 2 * DAY_MS - 1, settings)
    assert prune_day(market, store, CANDLES, DAY, DAY + 2 * DAY_MS, settings) == 1_440


def test_a_restored_day_is_pinned_for_a_week(market: Database, store: MemoryStore, settings: Settings) -> None:
    fill_any(market, QUOTES)
    archive_day(market, store, QUOTES, DAY, LATER)
    prune_day(market, store, QUOTES, DAY, LATER, settings)
    restored = restore_day(market, store, QUOTES, DAY, LATER, pin_days=settings.restored_pin_days)
    assert restored.pinned_until == LATER + 7 * DAY_MS
    with refused("pinned"):
        prune_day(market, store, QUOTES, DAY, LATER + 7 * DAY_MS - 1, settings)
    assert prune_day(market, store, QUOTES, DAY, LATER + 7 * DAY_MS, settings) == 60


def test_rows_that_are_not_in_the_archive_are_never_pruned(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    fill_any(market, QUOTES)
    archive_day(market, store, QUOTES, DAY, LATER)
    with market.write() as connection:
        connection.execute(
            "UPDATE polymarket_quotes SET volume = 17, known_at = ? WHERE t = ?", (LATER, DAY + 7 * MINUTE_MS)
        )
    changed = all_rows(market, QUOTES)
    with refused("changed"):
        prune_day(market, store, QUOTES, DAY, LATER, settings)
    left = all_rows(market, QUOTES)
    assert set(left) <= set(changed)
    assert [row for row in left if row[1] == DAY + 7 * MINUTE_MS]

    assert archive_day(market, store, QUOTES, DAY, LATER).row_count == 60
    prune_day(market, store, QUOTES, DAY, LATER, settings)
    assert all_rows(market, QUOTES) == []
    restore_day(market, store, QUOTES, DAY, LATER)
    assert all_rows(market, QUOTES) == changed


def test_rows_beyond_the_archived_keys_are_noticed(market: Database, store: MemoryStore, settings: Settings) -> None:
    fill_minutes(market, symbols=("BTC",))
    archive_day(market, store, CANDLES, DAY, LATER)
    fill_minutes(market, symbols=("AAVE", "ZRO"))
    with refused("changed"):
        prune_day(market, store, CANDLES, DAY, LATER, settings)
    assert {row[0] for row in all_rows(market, CANDLES)} == {"AAVE", "ZRO"}
    assert archive_day(market, store, CANDLES, DAY, LATER).row_count == 3 * 1_440


def test_what_arrives_after_a_prune_is_merged_and_the_archive_never_shrinks(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    fill_any(market, QUOTES, rows=20, seed=1)
    before = all_rows(market, QUOTES)
    archive_day(market, store, QUOTES, DAY, LATER)
    prune_day(market, store, QUOTES, DAY, LATER, settings)
    fill_any(market, QUOTES, rows=30, seed=2)
    late = all_rows(market, QUOTES)
    merged = archive_day(market, store, QUOTES, DAY, LATER + 1)
    keys = {row[:2] for row in before} | {row[:2] for row in late}
    assert merged.row_count == len(keys) > len(late)
    prune_day(market, store, QUOTES, DAY, LATER + 1, settings)
    assert read_day(store, QUOTES, DAY).height == len(keys)
    restore_day(market, store, QUOTES, DAY, LATER + 1)
    now = {row[:2]: row for row in all_rows(market, QUOTES)}
    for row in before + late:  # of two samples of one minute the one known later won
        assert now[row[:2]][-1] >= row[-1]


def test_of_two_candles_of_a_minute_the_final_one_is_kept(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    fill_minutes(market, symbols=("BTC",))
    archive_day(market, store, CANDLES, DAY, LATER)
    prune_day(market, store, CANDLES, DAY, LATER, settings)
    flat = ("BTC", "1m", DAY, *["1.0"] * 4, "0.0", 0, "flat", 0, LATER)
    with market.write() as connection:
        connection.execute("INSERT INTO hyperliquid_candles VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", flat)
        connection.execute(
            """
            INSERT INTO candle_gaps (symbol, from_t, to_t, reason, state, opened_at)
            VALUES ('BTC', ?, ?, 'disconnect', 'lost', 0)
            """,
            (DAY, DAY + MINUTE_MS),
        )
    merged = archive_day(market, store, CANDLES, DAY, LATER)
    assert merged.row_count == 1_440
    assert read_day(store, CANDLES, DAY).filter(final=0).height == 0


def test_a_restore_refuses_other_values_and_writes_nothing(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    fill_minutes(market, symbols=("BTC",))
    archive_day(market, store, CANDLES, DAY, LATER)
    prune_day(market, store, CANDLES, DAY, LATER, settings)
    newer = ("BTC", "1m", DAY + 60_000, *["1.0"] * 4, "9.9", 3, "rest", 1, LATER)
    with market.write() as connection:
        connection.execute("INSERT INTO hyperliquid_candles VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", newer)
    with pytest.raises(PartitionRefused, match=r"already holds other values for .*'BTC', 1753056060000") as error:
        restore_day(market, store, CANDLES, DAY, LATER)
    assert error.value.reason == "newer_data"
    assert len(all_rows(market, CANDLES)) == 1
    partition = bookkeeping.current(market, CANDLES, DAY)
    assert partition is not None
    assert not partition.is_pinned(LATER)


def test_a_row_that_came_back_another_way_is_kept_as_it_is(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    """The venue was asked again for one minute meanwhile: same values, known later."""
    fill_minutes(market, symbols=("BTC",))
    before = all_rows(market, CANDLES)
    archive_day(market, store, CANDLES, DAY, LATER)
    prune_day(market, store, CANDLES, DAY, LATER, settings)
    again = (*before[5][:8], "rest", 1, LATER)
    with market.write() as connection:
        rows.insert(connection, TABLES[CANDLES], [again])
    restored = restore_day(market, store, CANDLES, DAY, LATER)
    assert (restored.rows, restored.kept) == (1_439, 1)
    assert all_rows(market, CANDLES) == [*before[:5], again, *before[6:]]


def test_the_superseded_versions_come_back_with_their_day(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    """Reads as of a time before a correction see the same after a round trip."""
    name, versions = "defillama_capital_base", "defillama_capital_base_versions"
    fill_any(market, name)
    with market.write() as connection:
        connection.execute("UPDATE defillama_capital_base SET tvl_usd = 1, known_at = known_at + 1")
    before = all_rows(market, versions)
    assert before
    for table in (name, versions):
        archive_day(market, store, table, DAY, LATER)
        prune_day(market, store, table, DAY, LATER, settings)
    assert all_rows(market, versions) == []
    restore_day(market, store, name, DAY, LATER)
    assert all_rows(market, versions) == before


def test_a_lost_database_restores_from_the_store_alone(
    market: Database, store: MemoryStore, settings: Settings, tmp_path: Path
) -> None:
    fill_minutes(market, symbols=("BTC", "ETH"))
    before = all_rows(market, CANDLES)
    archive_day(market, store, CANDLES, DAY, LATER)
    new = settings.model_copy(update={"home": tmp_path / "new"})
    migrate_all(new)
    empty = open_market(new)
    assert restore_day(empty, store, CANDLES, DAY, LATER).rows == 2_880
    assert all_rows(empty, CANDLES) == before
    adopted = bookkeeping.current(empty, CANDLES, DAY)
    assert adopted is not None
    assert not adopted.may_lack_hot_rows
    empty.close()


def test_the_most_complete_object_is_found_and_damaged_ones_are_passed_over(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    fill_minutes(market, symbols=("BTC",))
    first = archive_day(market, store, CANDLES, DAY, LATER)
    fill_minutes(market, symbols=("ETH",))
    second = archive_day(market, store, CANDLES, DAY, LATER)
    assert read_day(store, CANDLES, DAY).height == 2_880
    store.put(second.object_key, b"damaged", if_absent=False)
    assert read_day(store, CANDLES, DAY).height == 1_440
    store.put(first.object_key, store.get(first.object_key)[:-1], if_absent=False)
    with pytest.raises(StoreCorrupt, match="all 2 objects are damaged"):
        read_day(store, CANDLES, DAY)


def test_an_object_of_another_day_under_this_name_is_not_taken(market: Database, store: MemoryStore) -> None:
    fill_any(market, QUOTES, seed=1)
    fill_any(market, QUOTES, DAY + DAY_MS, seed=2)
    one = archive_day(market, store, QUOTES, DAY, LATER)
    other = archive_day(market, store, QUOTES, DAY + DAY_MS, LATER)
    store.put(one.object_key, store.get(other.object_key), if_absent=False)
    with pytest.raises(StoreCorrupt, match="not the ones put there"):
        verify_day(market, store, QUOTES, DAY, LATER)
    with pytest.raises(StoreCorrupt, match="all 1 objects are damaged"):
        read_day(store, QUOTES, DAY)


def test_a_failed_verification_is_remembered_and_a_new_archive_heals_it(
    market: Database, store: MemoryStore, settings: Settings
) -> None:
    fill_any(market, QUOTES)
    partition = archive_day(market, store, QUOTES, DAY, LATER)
    store.delete(partition.object_key)
    with pytest.raises(StoreMissing):
        prune_day(market, store, QUOTES, DAY, LATER, settings)
    unverified = bookkeeping.current(market, QUOTES, DAY)
    assert unverified is not None
    assert unverified.verified_at is None
    archive_day(market, store, QUOTES, DAY, LATER)
    assert prune_day(market, store, QUOTES, DAY, LATER, settings) == 60


def test_the_ingester_waits_for_one_piece_only(
    market: Database, store: MemoryStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "WRITE_ROWS", 100)
    fill_minutes(market, symbols=("BTC",))
    archive_day(market, store, CANDLES, DAY, LATER)
    sizes: list[int] = []
    original = rows.delete_between
    monkeypatch.setattr(rows, "delete_between", lambda *args: sizes.append(original(*args)) or sizes[-1])
    assert prune_day(market, store, CANDLES, DAY, LATER, settings) == 1_440
    assert sizes == [100] * 14 + [40]


def test_bookkeeping_keeps_the_history_of_a_day(market: Database, store: MemoryStore) -> None:
    fill_any(market, QUOTES, rows=5)
    archive_day(market, store, QUOTES, DAY, LATER)
    fill_any(market, QUOTES, rows=9)
    newest = archive_day(market, store, QUOTES, DAY, LATER + 1)
    with market.read() as connection:
        assert connection.execute("SELECT count(*) FROM archived_partitions").fetchone()[0] == 2
    assert bookkeeping.partitions(market) == [newest]
    assert partitions.hot_content(market, QUOTES, DAY) == (newest.row_count, newest.content_hash)
