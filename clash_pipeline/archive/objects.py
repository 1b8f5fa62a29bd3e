"""The store's side of archived days: named by table, day and content, and never believed before they were read back."""

import re
from typing import NamedTuple

import structlog

from clash_pipeline.archive.catalogue import table_named
from clash_pipeline.archive.parquet import Encoded, content_of, groups
from clash_pipeline.archive.readiness import PartitionRefused
from clash_pipeline.archive.stores import ArtifactStore, StoreConflict, StoreCorrupt, StoreMissing, sha256
from clash_pipeline.archive.tables import ArchivedTable
from clash_pipeline.clock import iso, parse_time

STAND_INS = 3
"""How many names one content may use up, when damaged objects stand in its way and may not be replaced."""
NAME = re.compile(
    r"(?:market|prop)/[a-z0-9_]+/day=(?P<day>[0-9-]{10})/(?P<content>[0-9a-f]{64})(\.\d)?\.parquet", re.ASCII
)

log = structlog.get_logger(__name__)


class StoredDay(NamedTuple):
    """An object that was read back and found whole."""

    key: str
    body: bytes
    content_hash: str
    row_count: int


def prefix_of(table: ArchivedTable, day: int) -> str:
    """Where the objects of a day lie."""
    return f"{table.room}/{table.name}/day={iso(day)[:10]}/"


def put(store: ArtifactStore, table: ArchivedTable, day: int, encoded: Encoded) -> StoredDay:
    """Store an encoded day once; what already stands there counts when it holds the same rows.

    Raises:
        StoreCorrupt: damaged objects stand under every name this content may have.
    """
    stem = f"{prefix_of(table, day)}{encoded.content_hash}"
    for key in (f"{stem}.parquet", *(f"{stem}.{number}.parquet" for number in range(2, STAND_INS + 1))):
        try:
            store.put(key, encoded.body)
        except StoreConflict:  # other bytes: of another pyarrow release, or damaged
            found = _whole(store, table, key)
            if found is None or found.content_hash != encoded.content_hash:
                continue
            return found
        return StoredDay(key, encoded.body, encoded.content_hash, encoded.row_count)
    raise StoreCorrupt(f"{stem}.parquet and its {STAND_INS - 1} stand-ins hold damaged objects")


def read_back(
    store: ArtifactStore, table: ArchivedTable, key: str, *, object_sha256: str, row_count: int, content_hash: str
) -> bytes:
    """The bytes of an object, if they are what was put and hold the rows they should.

    Raises:
        StoreCorrupt: other bytes, another row count, or another content hash.
    """
    body = store.get(key)
    if sha256(body) != object_sha256:  # before anything parses bytes of unknown origin
        raise StoreCorrupt(f"{key} gave {len(body):,} bytes that are not the ones put there")
    found = content_of(table, body, key)
    if found != (row_count, content_hash):
        raise StoreCorrupt(f"{key} holds {found[0]:,} rows ({found[1][:12]}), not {row_count:,} ({content_hash[:12]})")
    return body


def newest(store: ArtifactStore, table: ArchivedTable, day: int) -> StoredDay:
    """The most complete whole object of a day, found by listing; for stores whose history is not known here.

    Archives of a day only ever grow, so the one with the most rows is the last one.

    Raises:
        PartitionRefused: `no_history`, there is no object.
        StoreCorrupt: there are only damaged ones.
    """
    keys = [key for key in store.list(prefix_of(table, day)) if NAME.fullmatch(key)]
    if not keys:
        why = "ask its venue for it" if table.is_asked_again else "its source only answers for the present"
        raise PartitionRefused("no_history", f"{table.name} of {iso(day)[:10]} was never archived; {why}")
    found = [day_object for key in keys if (day_object := _whole(store, table, key)) is not None]
    if not found:
        raise StoreCorrupt(f"{table.name} of {iso(day)[:10]}: all {len(keys)} objects are damaged")
    return max(found, key=lambda one: (one.row_count, _last_known_at(table, one), one.key))


def holds(store: ArtifactStore, table: ArchivedTable, day: int) -> bool:
    """Whether the store has any object of a day."""
    return any(NAME.fullmatch(key) for key in store.list(prefix_of(table, day)))


def days(store: ArtifactStore, table: str) -> list[int]:
    """The days of a table that the store holds, whatever is known here; oldest first."""
    found = table_named(table)
    names = (NAME.fullmatch(key) for key in store.list(f"{found.room}/{found.name}/"))
    return sorted({parse_time(name["day"]) for name in names if name})


def _whole(store: ArtifactStore, table: ArchivedTable, key: str) -> StoredDay | None:
    """An object whose rows are those its name says, or None where it is damaged or gone."""
    name = NAME.fullmatch(key)
    try:
        body = store.get(key)
        row_count, content_hash = content_of(table, body, key)
    except (StoreCorrupt, StoreMissing) as error:
        log.warning("damaged_archive_object", key=key, reason=str(error))
        return None
    if name is None or name["content"] != content_hash:
        log.warning("damaged_archive_object", key=key, reason=f"content {content_hash[:12]}")
        return None
    return StoredDay(key, body, content_hash, row_count)


def _last_known_at(table: ArchivedTable, stored: StoredDay) -> int:
    if "known_at" not in table.columns:
        return 0
    latest = (rows["known_at"].max() for rows in groups(table, stored.body, stored.key))
    return max((int(at) for at in latest if isinstance(at, int)), default=0)
