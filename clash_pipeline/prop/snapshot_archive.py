"""Minutes of old snapshots go to parquet by UTC day, and leave hours behind: archive → verify → thin (04).

A minute leaves SQLite only in a transaction that has just found it, cell for cell, among the rows that were read back
from the store. The last snapshot of each hour stays for ever, so charts and results need no archive.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import structlog

from clash_pipeline.archive import objects, partitions, rows
from clash_pipeline.archive.bookkeeping import Partition
from clash_pipeline.archive.catalogue import SNAPSHOTS
from clash_pipeline.archive.parquet import groups
from clash_pipeline.archive.readiness import SETTLE_MS, PartitionRefused
from clash_pipeline.archive.stores import ArtifactStore, StoreCorrupt, StoreError, StoreMissing, sha256
from clash_pipeline.clock import DAY_MS, HOUR_MS, day_of, iso
from clash_pipeline.faults import fault
from clash_pipeline.prop.snapshots import MINUTES_KEPT_MS
from clash_pipeline.storage.sqlite import Connection, Database, one

ACCOUNT, T = (list(SNAPSHOTS.columns).index(name) for name in ("account_id", "t"))
Key = tuple[int, int]

log = structlog.get_logger(__name__)


@dataclass
class Retained:
    """What a run did: days put into the store, minutes that left SQLite, and what went wrong with which day."""

    archived: list[int] = field(default_factory=list)
    thinned_rows: int = 0
    problems: dict[int, str] = field(default_factory=dict)


def retain(clash: Database, store: ArtifactStore, now_ms: int) -> Retained:
    """Archive every day that is over, and thin those of which every minute is older than two days. Safe to repeat.

    A store that is down or gives wrong bytes only delays; the day stays as it is and is named in `problems`.
    """
    done = Retained()
    for day in _unarchived(clash, now_ms):
        try:
            done.archived += [day] if archive_day(clash, store, day, now_ms) else []
        except StoreError as error:
            done.problems[day] = str(error)
            break  # the days behind it wait for the same store
    for one_day in days(clash):
        if one_day.pruned_at is None and one_day.day + DAY_MS <= now_ms - MINUTES_KEPT_MS:
            try:
                done.thinned_rows += thin_day(clash, store, one_day.day, now_ms)
            except StoreError as error:
                done.problems[one_day.day] = str(error)
    if done.problems:
        log.error("snapshots_stay", days=[iso(day)[:10] for day in done.problems], reasons=list(done.problems.values()))
    return done


def archive_day(clash: Database, store: ArtifactStore, day: int, now_ms: int) -> Partition | None:
    """Put the snapshots of a UTC day into the store and verify them there; None for a day without any.

    Raises:
        StoreError: nothing was lost; the day stays as it is until it works.
    """
    try:
        with clash.read() as connection:
            encoded = partitions.encoded_day(connection, SNAPSHOTS, day)
    except PartitionRefused:
        return None
    fault(partitions.AFTER_ENCODE)
    stored = objects.put(store, SNAPSHOTS, day, encoded)
    fault(partitions.AFTER_PUT)
    found = Partition(
        SNAPSHOTS.name, day, stored.content_hash, stored.key, sha256(stored.body), stored.row_count, len(stored.body),
        archived_at=now_ms, verified_at=None, prune_started_at=None, pruned_at=None, restored_at=None,
        pinned_until=None,
    )  # fmt: skip
    _record(clash, found)
    fault(partitions.AFTER_RECORD)
    _read_back(clash, store, found, now_ms)
    return replace(found, verified_at=now_ms)


def verify_day(clash: Database, store: ArtifactStore, day: int, now_ms: int) -> None:
    """Read an archived day back and compare row count and content hash.

    Raises:
        PartitionRefused: `no_history`, the day was never archived from here.
        StoreCorrupt: what the store gave is not what was put; the day counts as unverified from now on.
        StoreMissing: the object is gone; likewise.
    """
    _read_back(clash, store, _known(clash, day), now_ms)


def thin_day(clash: Database, store: ArtifactStore, day: int, now_ms: int) -> int:
    """Delete the minutes of an archived day but the last of each hour of each account; returns how many.

    A day that has other rows than its archive, and was never thinned, is archived again first.

    Raises:
        PartitionRefused: `no_history`, the day was never archived from here.
        StoreError: the archive could not be read back whole; nothing was deleted.
    """
    known = _known(clash, day)
    if known.prune_started_at is None and _hot_hash(clash, day) != known.content_hash:
        known = archive_day(clash, store, day, now_ms) or known
    body = _read_back(clash, store, known, now_ms)
    kept = last_of_hours(SNAPSHOTS.key_of(row) for piece in _pieces(known, body) for row in piece)  # type: ignore[misc]
    _mark(clash, known, thinning_at=now_ms)
    fault(partitions.BEFORE_PRUNE)
    gone = 0
    for piece in _pieces(known, body):
        with clash.write() as connection:
            gone += _thin_piece(connection, day, piece, kept, now_ms)
        fault(partitions.DURING_PRUNE)
    _mark(clash, known, thinned_at=now_ms)
    fault(partitions.AFTER_PRUNE)
    return gone


def last_of_hours(keys: Iterable[Key]) -> frozenset[Key]:
    """The keys of the last snapshot of each account in each hour."""
    last: dict[Key, int] = {}
    for account_id, t in keys:
        hour = (account_id, t - t % HOUR_MS)
        last[hour] = max(last.get(hour, t), t)
    return frozenset((account_id, t) for (account_id, _), t in last.items())


def days(clash: Database) -> list[Partition]:
    """The archived days, oldest first, as `clash archive list` shows every archived day."""
    with clash.read() as connection:
        found = connection.execute(
            """
            SELECT day, content_hash, object_key, object_sha256, row_count, size_bytes, archived_at, verified_at,
                   thinning_at AS prune_started_at, thinned_at AS pruned_at
            FROM prop_snapshot_days AS one
            WHERE NOT EXISTS (SELECT 1 FROM prop_snapshot_days AS other
                              WHERE other.day = one.day AND (other.archived_at, other.row_count, other.content_hash)
                                                          > (one.archived_at, one.row_count, one.content_hash))
            ORDER BY day
            """
        )
        return [Partition(table_name=SNAPSHOTS.name, restored_at=None, pinned_until=None, **dict(row)) for row in found]


def _unarchived(clash: Database, now_ms: int) -> range:
    """The days that are over and came after the newest archived one, or since the first account was opened."""
    with clash.read() as connection:
        newest = one(connection, "SELECT max(day) FROM prop_snapshot_days WHERE verified_at IS NOT NULL")
        opened = one(connection, "SELECT min(created_at) FROM prop_accounts")
    if newest is None and opened is None:
        return range(0)
    first = newest + DAY_MS if newest is not None else day_of(int(opened))
    return range(first, day_of(now_ms - SETTLE_MS), DAY_MS)


def _known(clash: Database, day: int) -> Partition:
    found = [partition for partition in days(clash) if partition.day == day]
    if not found:
        raise PartitionRefused("no_history", f"{SNAPSHOTS.name} of {iso(day)[:10]} is not archived from here")
    return found[0]


def _hot_hash(clash: Database, day: int) -> str | None:
    try:
        with clash.read() as connection:
            return partitions.encoded_day(connection, SNAPSHOTS, day).content_hash
    except PartitionRefused:
        return None


def _read_back(clash: Database, store: ArtifactStore, known: Partition, now_ms: int) -> bytes:
    """The bytes of an archived day, read back now; whether they are right is noted either way."""
    try:
        body = objects.read_back(
            store, SNAPSHOTS, known.object_key, object_sha256=known.object_sha256, row_count=known.row_count,
            content_hash=known.content_hash,
        )  # fmt: skip
    except (StoreCorrupt, StoreMissing):
        _mark(clash, known, verified_at=None)
        raise
    _mark(clash, known, verified_at=now_ms)
    return body


def _pieces(known: Partition, body: bytes) -> Iterator[list[rows.Row]]:
    for group in groups(SNAPSHOTS, body, known.object_key):
        yield from rows.pieces(group)


def _thin_piece(connection: Connection, day: int, archived: list[rows.Row], kept: frozenset[Key], now_ms: int) -> int:
    """Delete what lies between the keys of some archived rows, is one of them, and is not kept."""
    known = set(archived)
    live = rows.between(connection, SNAPSHOTS, day, archived[0], archived[-1])
    gone = [(row[ACCOUNT], row[T]) for row in live if row in known and (row[ACCOUNT], row[T]) not in kept]
    connection.executemany("DELETE FROM prop_snapshots WHERE account_id = ? AND t = ?", gone)
    connection.executemany(
        """
        INSERT INTO prop_thinnings (account_id, through_t, thinned_at) VALUES (?, ?, ?)
        ON CONFLICT (account_id) DO UPDATE
        SET through_t = max(through_t, excluded.through_t), thinned_at = excluded.thinned_at
        """,
        [(account_id, day + DAY_MS, now_ms) for account_id in sorted({account_id for account_id, _ in gone})],  # type: ignore[type-var]
    )
    return len(gone)


def _record(clash: Database, found: Partition) -> None:
    with clash.write() as connection:
        connection.execute(
            """
            INSERT INTO prop_snapshot_days
              (day, content_hash, object_key, object_sha256, row_count, size_bytes, archived_at)
            VALUES (:day, :content_hash, :object_key, :object_sha256, :row_count, :size_bytes, :archived_at)
            ON CONFLICT (day, content_hash) DO UPDATE SET
              object_key = excluded.object_key, object_sha256 = excluded.object_sha256,
              size_bytes = excluded.size_bytes, archived_at = excluded.archived_at, verified_at = NULL
            """,
            vars(found),
        )


_MARKS = {
    "verified_at": "UPDATE prop_snapshot_days SET verified_at = :at WHERE day = :day AND content_hash = :hash",
    "thinning_at": """
        UPDATE prop_snapshot_days SET thinning_at = coalesce(thinning_at, :at) WHERE day = :day AND content_hash = :hash
        """,
    "thinned_at": "UPDATE prop_snapshot_days SET thinned_at = :at WHERE day = :day AND content_hash = :hash",
}


def _mark(clash: Database, known: Partition, **values: int | None) -> None:
    with clash.write() as connection:
        for name, at in values.items():
            connection.execute(_MARKS[name], {"at": at, "day": known.day, "hash": known.content_hash})
