"""What is known here of archived days: the rows of `archived_partitions`. The store itself stays the authority."""

from dataclasses import dataclass

from clash_pipeline.storage.sqlite import Database


@dataclass(frozen=True)
class Partition:
    """One archived day of one table; times in epoch ms."""

    table_name: str
    day: int
    content_hash: str
    object_key: str
    object_sha256: str
    row_count: int
    size_bytes: int
    archived_at: int
    verified_at: int | None
    prune_started_at: int | None
    pruned_at: int | None
    restored_at: int | None
    pinned_until: int | None

    @property
    def may_lack_hot_rows(self) -> bool:
        """Whether rows of this day may be in the archive alone, so that SQLite's must never replace it."""
        return self.prune_started_at is not None

    @property
    def is_half_pruned(self) -> bool:
        """Whether a prune (or a restore) was begun and never ended."""
        return self.prune_started_at is not None and self.pruned_at is None

    def is_pinned(self, now_ms: int) -> bool:
        """Whether a restore still protects the day from pruning."""
        return self.pinned_until is not None and now_ms < self.pinned_until


NEWEST = """
    SELECT table_name, day, content_hash, object_key, object_sha256, row_count, size_bytes, archived_at, verified_at,
           prune_started_at, pruned_at, restored_at, pinned_until
    FROM archived_partitions AS one
    WHERE (:table IS NULL OR table_name = :table) AND (:day IS NULL OR day = :day)
      AND NOT EXISTS (
        SELECT 1 FROM archived_partitions AS other
        WHERE other.table_name = one.table_name AND other.day = one.day
          AND (other.archived_at, other.row_count, other.content_hash)
            > (one.archived_at, one.row_count, one.content_hash)
      )
    ORDER BY table_name, day
"""
"""The present partition of each table and day; earlier contents of a day stay behind it as history."""


def current(market: Database, table: str, day: int) -> Partition | None:
    """The present partition of a day, or None when it was never archived from here."""
    return next(iter(partitions(market, table, day)), None)


def partitions(market: Database, table: str | None = None, day: int | None = None) -> list[Partition]:
    """The present partitions by table and day."""
    with market.read() as connection:
        return [Partition(**dict(row)) for row in connection.execute(NEWEST, {"table": table, "day": day})]


def record(market: Database, partition: Partition) -> None:
    """Note an archived day; the same content again is the same row, now the present one and not yet verified."""
    with market.write() as connection:
        connection.execute(
            """
            INSERT INTO archived_partitions VALUES (
              :table_name, :day, :content_hash, :object_key, :object_sha256, :row_count, :size_bytes, :archived_at,
              :verified_at, :prune_started_at, :pruned_at, :restored_at, :pinned_until)
            ON CONFLICT DO UPDATE SET
              object_key = excluded.object_key, object_sha256 = excluded.object_sha256,
              size_bytes = excluded.size_bytes, archived_at = excluded.archived_at, verified_at = excluded.verified_at,
              prune_started_at = excluded.prune_started_at, pruned_at = excluded.pruned_at,
              restored_at = excluded.restored_at, pinned_until = excluded.pinned_until
            """,
            vars(partition),
        )


def mark_verified(market: Database, partition: Partition, at: int | None) -> None:
    """Note that the object was read back and found equal, or with None that it was not."""
    _set(market, "UPDATE archived_partitions SET verified_at = :at", partition, at=at)


def mark_prune_started(market: Database, partition: Partition, at: int) -> None:
    """Note, before the first delete, that the hot table may lack rows from now on."""
    _set(
        market,
        "UPDATE archived_partitions SET prune_started_at = coalesce(prune_started_at, :at), pruned_at = NULL",
        partition,
        at=at,
    )


def mark_pruned(market: Database, partition: Partition, at: int) -> None:
    """Note that no row of the day is left in the hot table."""
    _set(market, "UPDATE archived_partitions SET pruned_at = :at, pinned_until = NULL", partition, at=at)


def mark_pinned(market: Database, partition: Partition, until: int) -> None:
    """Protect the day from pruning, before its rows come back."""
    _set(market, "UPDATE archived_partitions SET pinned_until = :until, pruned_at = NULL", partition, until=until)


def mark_restored(market: Database, partition: Partition, at: int) -> None:
    """Note that every archived row is in the hot table again."""
    _set(market, "UPDATE archived_partitions SET restored_at = :at, prune_started_at = NULL", partition, at=at)


def _set(market: Database, change: str, partition: Partition, **values: int | None) -> None:
    where = " WHERE table_name = :table AND day = :day AND content_hash = :hash"
    which = {"table": partition.table_name, "day": partition.day, "hash": partition.content_hash}
    with market.write() as connection:
        connection.execute(change + where, {**values, **which})
