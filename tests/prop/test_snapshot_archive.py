"""Old minutes of snapshots: archived by day, verified, thinned to hours; never on trust, whatever the store does."""

from collections.abc import Callable
from typing import Any

import pytest

from clash_pipeline import faults
from clash_pipeline.archive import objects, partitions
from clash_pipeline.archive.catalogue import SNAPSHOTS
from clash_pipeline.archive.stores import MemoryStore, StoreCorrupt, StoreUnavailable
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, day_of
from clash_pipeline.prop import admin, snapshot_archive, snapshots
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.history import snapshots as chart
from clash_pipeline.prop.marks import mark
from clash_pipeline.prop.snapshot_archive import Retained
from clash_pipeline.storage.sqlite import one
from tests.fakes.desk import Desk

PLACES = (
    partitions.AFTER_ENCODE, partitions.AFTER_PUT, partitions.AFTER_RECORD, partitions.BEFORE_PRUNE,
    partitions.DURING_PRUNE, partitions.AFTER_PRUNE,
)  # fmt: skip


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


@pytest.fixture
def aged(desk: Desk) -> Desk:
    """An account with 60 minutes of marks around a peak, three days ago."""
    desk.order("open_long")
    for number in range(60):
        desk.clock.advance(MINUTE_MS)
        desk.price("BTC", "104" if number == 30 else "101")
        mark(desk.clash, desk.market, desk.account_id, desk.clock.now_ms())
    desk.clock.set(day_of(desk.clock.now_ms()) + 3 * DAY_MS + HOUR_MS)
    return desk


def retain(desk: Desk, store: MemoryStore) -> Retained:
    return snapshot_archive.retain(desk.clash, store, desk.clock.now_ms())


def times(desk: Desk) -> list[int]:
    with desk.clash.read() as connection:
        return [snapshot.t for snapshot in snapshots.series(connection, desk.account_id)]


def test_minutes_go_to_parquet_and_leave_the_last_of_each_hour(aged: Desk, store: MemoryStore) -> None:
    before = times(aged)
    done = retain(aged, store)
    assert (len(done.archived), done.problems) == (1, {})
    kept = times(aged)
    assert [t % HOUR_MS // MINUTE_MS for t in kept][:1] == [59]
    assert kept[-1] == before[-1]
    assert done.thinned_rows == len(before) - len(kept) > 50
    archived = partitions.read_day(store, SNAPSHOTS.name, done.archived[0])
    assert archived["t"].to_list() == before
    assert audit(aged.clash).is_clean
    again = retain(aged, store)
    assert (again.archived, again.thinned_rows) == ([], 0)


def test_charts_and_results_of_an_old_account_need_no_archive(aged: Desk, store: MemoryStore) -> None:
    with aged.clash.read() as connection:
        peak = max(row["high_water_mark"] for row in chart(connection, aged.account_id, limit=1_000))
    retain(aged, store)
    with aged.clash.read() as connection:
        drawn = chart(connection, aged.account_id, limit=1_000)
    assert len(drawn) == 2
    assert drawn[0]["high_water_mark"] == peak
    who: dict[str, Any] = {"actor": "ann", "reason": "done", "now_ms": aged.clock.now_ms()}
    result = admin.complete(aged.clash, aged.venue, aged.account_id, **who)
    assert result.max_drawdown > 0
    assert audit(aged.clash).is_clean


def test_a_day_is_archived_when_it_is_over_and_thinned_two_days_later(aged: Desk, store: MemoryStore) -> None:
    minutes, day = len(times(aged)), day_of(times(aged)[0])
    for moment, archived, thinned in (
        (day + DAY_MS, 0, False),
        (day + DAY_MS + HOUR_MS, 1, False),
        (day + 3 * DAY_MS - 1, 1, False),
        (day + 3 * DAY_MS, 1, True),
    ):
        aged.clock.set(moment)
        retain(aged, store)
        assert len(snapshot_archive.days(aged.clash)) == archived
        assert (len(times(aged)) < minutes) == thinned


@pytest.mark.parametrize("place", PLACES)
def test_a_crash_anywhere_is_repaired_by_the_next_run(aged: Desk, store: MemoryStore, place: str) -> None:
    before = times(aged)
    faults.arm(f"{place}:raise")
    try:
        with pytest.raises(faults.InjectedFault):
            retain(aged, store)
    finally:
        faults.arm("")
    retain(aged, store)
    assert len(times(aged)) == 2
    found = objects.newest(store, SNAPSHOTS, day_of(before[0]))
    assert found.row_count == len(before)
    assert [partition.pruned_at is None for partition in snapshot_archive.days(aged.clash)] == [False]
    assert audit(aged.clash).is_clean


def spoil(store: MemoryStore, change: Callable[[bytes], bytes]) -> None:
    for key in list(store.list("prop/")):
        store.put(key, change(store.get(key)), if_absent=False)


def test_a_store_that_lies_thins_nothing(aged: Desk, store: MemoryStore) -> None:
    before = times(aged)
    aged.clock.set(day_of(before[0]) + DAY_MS + HOUR_MS)
    retain(aged, store)
    spoil(store, lambda body: body[:-1] + bytes([body[-1] ^ 1]))
    aged.clock.advance(3 * DAY_MS)
    done = retain(aged, store)
    assert times(aged) == before
    assert "are not the ones put there" in done.problems[day_of(before[0])]
    assert snapshot_archive.days(aged.clash)[0].verified_at is None
    with pytest.raises(StoreCorrupt):
        snapshot_archive.verify_day(aged.clash, store, day_of(before[0]), aged.clock.now_ms())


def test_a_store_that_is_down_only_delays(aged: Desk, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = times(aged)

    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as away:
        away.setattr(store, "put", down)
        assert list(retain(aged, store).problems.values()) == ["no answer"]
    assert times(aged) == before
    assert retain(aged, store).thinned_rows > 50


def test_a_snapshot_that_is_not_in_the_archive_stays(aged: Desk, store: MemoryStore) -> None:
    """Changed behind its back after the day was half thinned: no longer what was archived, and so not deleted."""
    retain(aged, store)
    with aged.clash.write() as connection:
        connection.execute("UPDATE prop_snapshot_days SET thinned_at = NULL")
        connection.execute(
            """
            INSERT INTO prop_snapshots
            SELECT account_id, t - 60000, equity + 1, balance + 1, unrealized, gross, margin, maintenance, drawdown,
                   high_water_mark, positions, carried, oldest_mark_ms, marks, marked_at, max_drawdown
            FROM prop_snapshots ORDER BY t LIMIT 1
            """
        )
    retain(aged, store)
    assert len(times(aged)) == 3


def test_control_without_looking_at_the_archive_the_changed_snapshot_would_go(
    aged: Desk, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_archive, "last_of_hours", lambda keys: frozenset())
    retain(aged, store)
    with aged.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM prop_snapshots") == 0
    assert not audit(aged.clash).is_clean
