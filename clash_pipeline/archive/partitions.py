"""Archived days: put, read back and verified, pruned, restored, or read in place.

Never on trust: a row leaves SQLite only in a transaction that has just found it, cell for cell, among the rows that
were just read back from the store. Every step may be repeated, and a crash between any two leaves nothing to repair.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from clash_pipeline.archive import bookkeeping, objects, readiness, rows
from clash_pipeline.archive.bookkeeping import Partition
from clash_pipeline.archive.catalogue import table_named
from clash_pipeline.archive.content import ContentHash
from clash_pipeline.archive.parquet import DayWriter, Encoded, groups
from clash_pipeline.archive.readiness import PartitionRefused
from clash_pipeline.archive.stores import ArtifactStore, StoreCorrupt, StoreMissing, sha256
from clash_pipeline.archive.tables import ArchivedTable
from clash_pipeline.clock import DAY_MS, day_of, iso
from clash_pipeline.faults import fault, point
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

if TYPE_CHECKING:
    import polars as pl

AFTER_ENCODE = point("archive.after_encode")
AFTER_PUT = point("archive.after_put")
AFTER_RECORD = point("archive.after_record")
AFTER_VERIFY = point("archive.after_verify")
BEFORE_PRUNE = point("archive.before_prune")
DURING_PRUNE = point("archive.during_prune")
AFTER_PRUNE = point("archive.after_prune")
AFTER_PIN = point("archive.after_pin")
DURING_RESTORE = point("archive.during_restore")
AFTER_RESTORE = point("archive.after_restore")

PIN_DAYS = 7


class Restored(NamedTuple):
    """What a restore did: rows brought back, rows that were there already, and until when they are protected."""

    rows: int
    kept: int
    pinned_until: int


def archive_day(market: Database, store: ArtifactStore, table: str, day: int, now_ms: int) -> Partition:
    """Put the rows of a UTC day into the store and verify them there; the same rows again are the same object.

    A day that was pruned before is merged with what has arrived since, so that an archive never shrinks.

    Raises:
        PartitionRefused: `running_day`, `open_gaps`, `not_final`, or `empty`.
        StoreError: nothing was lost; the day stays hot until it works.
    """
    spec = table_named(table)
    readiness.refuse_running(spec, day, now_ms)
    before = bookkeeping.current(market, table, day)
    earlier = _read_back(store, spec, before) if before and before.may_lack_hot_rows else None
    with market.read() as connection:
        readiness.refuse_unfinished(connection, spec, day, is_whole=earlier is None)
        encoded = encoded_day(connection, spec, day, earlier)
    fault(AFTER_ENCODE)
    stored = objects.put(store, spec, day, encoded)
    fault(AFTER_PUT)
    bookkeeping.record(market, _partition(spec, day, stored, now_ms, before))
    fault(AFTER_RECORD)
    return verify_day(market, store, table, day, now_ms)


def verify_day(market: Database, store: ArtifactStore, table: str, day: int, now_ms: int) -> Partition:
    """Read an archived day back from the store and compare row count and content hash.

    Raises:
        PartitionRefused: `no_history`, the day was never archived from here.
        StoreCorrupt: what the store gave is not what was put; the day counts as unverified from now on.
        StoreMissing: the object is gone; likewise.
    """
    spec = table_named(table)
    _verified(market, store, spec, _known(market, spec, day), now_ms)
    fault(AFTER_VERIFY)
    return _known(market, spec, day)


def prune_day(market: Database, store: ArtifactStore, table: str, day: int, now_ms: int, settings: Settings) -> int:
    """Delete the rows of an archived day from SQLite, in short transactions; returns how many.

    Raises:
        PartitionRefused: `hot`, `pinned`, `no_history`, `open_gaps`, `not_final`, or `changed` when SQLite holds rows
            that are not in the archive (these stay; archive the day again).
        StoreError: the archive could not be read back whole; nothing was deleted.
    """
    spec = table_named(table)
    partition = _known(market, spec, day)
    _refuse_needed(spec, partition, now_ms, settings)
    with market.read() as connection:
        readiness.refuse_unfinished(connection, spec, day, is_whole=not partition.may_lack_hot_rows)
    body = _verified(market, store, spec, partition, now_ms)
    bookkeeping.mark_prune_started(market, partition, now_ms)
    fault(BEFORE_PRUNE)
    deleted = 0
    for piece in _pieces(spec, body, partition.object_key):
        with market.write() as connection:
            deleted += _delete_if_archived(connection, spec, day, piece)
        fault(DURING_PRUNE)
    with market.read() as connection:
        if left := rows.count(connection, spec, day):
            raise _changed(spec, day, left)
    bookkeeping.mark_pruned(market, partition, now_ms)
    fault(AFTER_PRUNE)
    return deleted


def restore_day(
    market: Database, store: ArtifactStore, table: str, day: int, now_ms: int, *, pin_days: int = PIN_DAYS
) -> Restored:
    """Bring an archived day back into SQLite as it was, and keep it from being pruned for some days.

    Rows that are there already stay as they are; the superseded versions of the day come back with it.

    Raises:
        PartitionRefused: `no_history`, the day was never archived; `newer_data`, SQLite holds other values for it.
        StoreError: the archive could not be read back whole; nothing was written.
    """
    spec = table_named(table)
    partition = bookkeeping.current(market, table, day) or _adopted(market, store, spec, day, now_ms)
    body = _verified(market, store, spec, partition, now_ms)
    with market.read() as connection:
        for piece in _pieces(spec, body, partition.object_key):
            _refuse_other_values(connection, spec, day, piece)
    pinned_until = now_ms + pin_days * DAY_MS
    bookkeeping.mark_pinned(market, partition, pinned_until)
    fault(AFTER_PIN)
    restored = 0
    for piece in _pieces(spec, body, partition.object_key):
        with market.write() as connection:
            restored += rows.insert(connection, spec, piece)
        fault(DURING_RESTORE)
    bookkeeping.mark_restored(market, partition, now_ms)
    fault(AFTER_RESTORE)
    if spec.companion and objects.holds(store, table_named(spec.companion), day):
        restore_day(market, store, spec.companion, day, now_ms, pin_days=pin_days)
    return Restored(restored, partition.row_count - restored, pinned_until)


def read_day(store: ArtifactStore, table: str, day: int) -> "pl.DataFrame":
    """The rows of an archived day in place, with the columns and values they had in SQLite, in key order.

    Raises:
        PartitionRefused: `no_history`, no such day is in the store.
        StoreCorrupt: only damaged objects are.
    """
    import polars as pl

    spec = table_named(table)
    found = objects.newest(store, spec, day)
    return pl.concat(list(groups(spec, found.body, found.key)))


def hot_content(market: Database, table: str, day: int) -> tuple[int, str]:
    """Row count and content hash of a day as SQLite holds it now; those of its partition while nothing changed."""
    spec = table_named(table)
    content = ContentHash(spec)
    with market.read() as connection:
        for part in rows.of_day(connection, spec, day):
            content.update(part)
    return content.rows, content.hexdigest()


# --- between the steps


def encoded_day(connection: Connection, table: ArchivedTable, day: int, earlier: bytes | None = None) -> Encoded:
    """The day as an object; a piece at a time, or merged with an earlier archive as one frame (rare).

    Raises:
        PartitionRefused: `empty`, the day has no rows.
    """
    writer = DayWriter(table, day)
    parts = rows.of_day(connection, table, day)
    with ThreadPoolExecutor(max_workers=1) as packing:  # packs one piece while SQLite hands out the next
        last: Future[None] | None = None
        for part in parts if earlier is None else _merged(table, earlier, parts):
            if last is not None:
                last.result()
            last = packing.submit(writer.write, part)
        if last is not None:
            last.result()
    encoded = writer.finish()
    if encoded.row_count == 0:
        raise PartitionRefused("empty", f"{table.name} of {iso(day)[:10]} has no rows")
    return encoded


def _merged(table: ArchivedTable, earlier: bytes, parts: "Iterator[pl.DataFrame]") -> "Iterator[pl.DataFrame]":
    """Archived rows and later ones by key; of two rows of one key the final one wins, else the one known later."""
    import polars as pl

    both = pl.concat([*groups(table, earlier, "the earlier archive"), *parts])
    rank = [name for name in ("final", "known_at") if name in table.columns and name not in table.key]
    yield both.sort(*table.key, *rank, maintain_order=True).unique(table.key, keep="last", maintain_order=True)


def _partition(
    table: ArchivedTable, day: int, stored: objects.StoredDay, now_ms: int, before: Partition | None
) -> Partition:
    return Partition(
        table_name=table.name, day=day, content_hash=stored.content_hash, object_key=stored.key,
        object_sha256=sha256(stored.body), row_count=stored.row_count, size_bytes=len(stored.body),
        archived_at=now_ms, verified_at=None, pruned_at=None,
        prune_started_at=before.prune_started_at if before else None,
        restored_at=before.restored_at if before else None,
        pinned_until=before.pinned_until if before else None,
    )  # fmt: skip


def _known(market: Database, table: ArchivedTable, day: int) -> Partition:
    partition = bookkeeping.current(market, table.name, day)
    if partition is None:
        raise PartitionRefused("no_history", f"{table.name} of {iso(day)[:10]} is not archived from here")
    return partition


def _adopted(market: Database, store: ArtifactStore, table: ArchivedTable, day: int, now_ms: int) -> Partition:
    """Take a day into the bookkeeping that only the store knows, as after the loss of the database."""
    found = objects.newest(store, table, day)
    partition = replace(_partition(table, day, found, now_ms, None), prune_started_at=now_ms)
    bookkeeping.record(market, partition)
    return partition


def _read_back(store: ArtifactStore, table: ArchivedTable, partition: Partition) -> bytes:
    return objects.read_back(
        store, table, partition.object_key, object_sha256=partition.object_sha256, row_count=partition.row_count,
        content_hash=partition.content_hash,
    )  # fmt: skip


def _verified(market: Database, store: ArtifactStore, table: ArchivedTable, partition: Partition, now_ms: int) -> bytes:
    """The bytes of a partition, read back now; whether they are right is noted either way."""
    try:
        body = _read_back(store, table, partition)
    except (StoreCorrupt, StoreMissing):
        bookkeeping.mark_verified(market, partition, None)
        raise
    bookkeeping.mark_verified(market, partition, now_ms)
    return body


def _refuse_needed(table: ArchivedTable, partition: Partition, now_ms: int, settings: Settings) -> None:
    label = f"{table.name} of {iso(partition.day)[:10]}"
    if not is_beyond_hot(table, partition.day, now_ms, settings):
        raise PartitionRefused("hot", f"{label} is within the days kept in SQLite")
    if partition.is_pinned(now_ms):
        raise PartitionRefused("pinned", f"{label} was restored and stays until {iso(partition.pinned_until or 0)}")


def is_beyond_hot(table: ArchivedTable, day: int, now_ms: int, settings: Settings) -> bool:
    """Whether a day is older than the whole days kept beside the running one."""
    return day < day_of(now_ms) - int(getattr(settings, table.hot)) * DAY_MS


def _pieces(table: ArchivedTable, body: bytes, key: str) -> Iterator[list[rows.Row]]:
    for group in groups(table, body, key):
        yield from rows.pieces(group)


def _delete_if_archived(connection: Connection, table: ArchivedTable, day: int, archived: list[rows.Row]) -> int:
    """Delete what lies between the keys of some archived rows, if each of it is one of them."""
    live = rows.between(connection, table, day, archived[0], archived[-1])
    if others := set(live) - set(archived):
        raise _changed(table, day, len(others))
    return rows.delete_between(connection, table, day, archived[0], archived[-1]) if live else 0


def _refuse_other_values(connection: Connection, table: ArchivedTable, day: int, archived: list[rows.Row]) -> None:
    """A row that is there may have another origin or known-at, but must say the same of the world."""
    live = rows.between(connection, table, day, archived[0], archived[-1])
    said = {table.key_of(row): table.values_of(row) for row in archived} if live else {}
    for row in live:
        key = table.key_of(row)
        if key in said and table.values_of(row) != said[key]:
            raise PartitionRefused("newer_data", f"{table.name} already holds other values for {key}; nothing restored")


def _changed(table: ArchivedTable, day: int, count: int) -> PartitionRefused:
    return PartitionRefused("changed", f"{table.name} of {iso(day)[:10]} has {count:,} rows that are not archived")
