"""Connections and transactions: the only module that imports an SQLite library.

Rules and their reasons: doc/decisions.md ("One SQLite", "Two files").
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from clash_pipeline.faults import fault, point
from clash_pipeline.storage.errors import OutcomeUnknown, StorageBusy, StorageError, StorageFull, StorageRefused
from clash_pipeline.storage.space import Floor, Reserve

if TYPE_CHECKING:
    import sqlite3 as sqlite  # the same interface, with types
else:
    import pysqlite3 as sqlite

Connection = sqlite.Connection
Row = sqlite.Row
IntegrityError = sqlite.IntegrityError
OperationalError = sqlite.OperationalError
complete_statement = sqlite.complete_statement
SQLITE_VERSION: str = sqlite.sqlite_version

VERSION_FLOOR = (3, 51, 3)
"""The first release with the fix of the WAL-reset race; these older branches carry it too."""
BACKPORTS = ((3, 44, 6), (3, 50, 7))
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "fuse.sshfs", "ceph", "glusterfs"}
)

SYNCHRONOUS = {"NORMAL": 1, "FULL": 2}
"""The two we allow: OFF corrupts at a power cut."""

BUSY_TIMEOUT_MS = 1_500
BEGIN_ATTEMPTS = 3
"""Together with their pauses a writer hears within 5 s that the file is locked (09 S4)."""
SLOW_TRANSACTION_SEC = 0.5

BEFORE_COMMIT = point("storage.before_commit")
AFTER_COMMIT = point("storage.after_commit")

log = structlog.get_logger(__name__)


def refuse_old_sqlite(version: str = SQLITE_VERSION) -> None:
    """Refuse a library with the WAL-reset race.

    Raises:
        StorageRefused: the version is below the floor and is not one of the fixed backports.
    """
    parts = tuple(int(part) for part in version.split("."))
    fixed_branch = any(parts[:2] == fixed[:2] and parts >= fixed for fixed in BACKPORTS)
    if parts < VERSION_FLOOR and not fixed_branch:
        raise StorageRefused(
            f"SQLite {version} can lose commits around a checkpoint; at least {'.'.join(map(str, VERSION_FLOOR))} is "
            "needed: install pysqlite3 0.6.1 or newer"
        )


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """The type of the file system that holds `path`, as the kernel's mount table names it; empty where unknown."""
    if mounts is None:
        table = Path("/proc/self/mounts")
        mounts = table.read_text() if table.exists() else ""
    rows, place = [line.split() for line in mounts.splitlines()], path.resolve()
    holders = [(row[1], row[2]) for row in rows if len(row) > 2 and place.is_relative_to(row[1])]
    return max(holders, key=lambda holder: len(holder[0]), default=("", ""))[1]


class Database:
    """One SQLite file: a writer connection and a read-only connection for each thread that asks.

    `synchronous` is `FULL` where a lost commit would be lost money, `NORMAL` where the venue can be asked again.
    `reserve` is given up when a write finds the disk full; `floor` is asked by those who only add to the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        application_id: int,
        synchronous: str = "FULL",
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
        file_system: Callable[[Path], str] = file_system_of,
        floor: Floor | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        refuse_old_sqlite()
        if synchronous not in SYNCHRONOUS:
            raise StorageRefused(f"synchronous={synchronous} is not allowed: one of {', '.join(SYNCHRONOUS)}")
        kind = file_system(path.parent)
        if kind in NETWORK_FILE_SYSTEMS:
            raise StorageRefused(f"{path} is on a network file system ({kind}), where SQLite's locks do not hold")
        self.path = path
        self.application_id = application_id
        self._synchronous = synchronous
        self._busy_timeout_ms = busy_timeout_ms
        self._floor = floor
        self._reserve = reserve
        self._local = threading.local()
        self._all: list[Connection] = []
        self._guard = threading.Lock()
        self._pid = os.getpid()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One `BEGIN IMMEDIATE` transaction: all of it on a clean exit, nothing of it on an exception.

        Raises:
            StorageBusy: the write lock was not to be had; nothing was written.
            StorageFull: no space; nothing was written.
            OutcomeUnknown: COMMIT failed half-way; look before repeating.
        """
        connection = self._connection("writer")
        if self.is_together:
            with _savepoint(connection):
                yield connection
            return
        if connection.in_transaction:
            raise StorageError("a write transaction is already open in this thread; pass its connection on")
        try:
            _begin_immediate(connection)
            started = time.monotonic()
            yield connection
            fault(BEFORE_COMMIT)
            _commit(connection)
        except BaseException as error:
            connection.rollback()
            if isinstance(translated := _translated(error), StorageFull) and self._reserve is not None:
                self._reserve.release()
            if translated is error:  # an exception must not be its own cause
                raise
            raise translated from error
        fault(AFTER_COMMIT)
        if (held := time.monotonic() - started) > SLOW_TRANSACTION_SEC:
            log.warning("slow_transaction", file=self.path.name, held_sec=round(held, 3))

    @contextmanager
    def together(self) -> Iterator[Connection]:
        """One write transaction around several use-cases, so that their effects are kept or lost as one.

        Each `write` of this thread becomes a savepoint of it, and each `read` sees what was written so far. The same
        rule holds as for any transaction: nothing inside may wait for a network, a model or a person.
        """
        if self.is_together:
            raise StorageError("this thread already keeps its writes together")
        with self.write() as connection:
            self._local.together = True
            try:
                yield connection
            finally:
                self._local.together = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only connection inside one read transaction: every statement sees the same snapshot."""
        if self.is_together:  # the reader would not see what was written and is not committed
            yield self._connection("writer")
            return
        connection = self._connection("reader")
        if connection.in_transaction:  # a read inside a read shares its snapshot
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        except sqlite.DatabaseError as error:
            if (translated := _translated(error)) is error:
                raise
            raise translated from error
        finally:
            connection.rollback()

    def require_room(self) -> None:
        """Refuse to add rows that can wait while the disk is below the floor, so that they stop before money does.

        Raises:
            StorageFull: less is free than the floor of this file.
        """
        if self._floor is not None:
            self._floor.require()

    def close(self) -> None:
        """Close the connections of every thread; the object opens new ones when it is used again."""
        with self._guard:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()

    @property
    def is_together(self) -> bool:
        """Whether this thread keeps its writes together at the moment."""
        return bool(getattr(self._local, "together", False))

    def _connection(self, role: str) -> Connection:
        if os.getpid() != self._pid:
            raise StorageError(f"{self.path.name} was opened before a fork; open it again in the child process")
        connection: Connection | None = getattr(self._local, role, None)
        if connection is None:
            connection = self._open(role)
            setattr(self._local, role, connection)
        return connection

    def _open(self, role: str) -> Connection:
        connection: Connection | None = None
        try:
            connection = sqlite.connect(
                str(self.path), isolation_level=None, check_same_thread=False, timeout=self._busy_timeout_ms / 1000
            )
            self._prepare(connection, role)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite.OperationalError) and _is_busy(error):
                raise StorageBusy(f"{self.path.name} is locked by another process; try again") from error
            if isinstance(translated := _translated(error), StorageFull):
                raise translated from error
            if isinstance(error, sqlite.DatabaseError):
                raise StorageRefused(
                    f"{self.path} cannot be used: {error}; restore it from a backup or move it away"
                ) from error
            raise
        with self._guard:
            self._all.append(connection)
        return connection

    def _prepare(self, connection: Connection, role: str) -> None:
        connection.row_factory = sqlite.Row
        connection.execute(f"PRAGMA busy_timeout={self._busy_timeout_ms:d}")
        found = one(connection, "PRAGMA application_id")
        is_blank = one(connection, "SELECT count(*) FROM sqlite_schema") == 0  # also finds a truncated file
        if found != self.application_id:
            if found != 0 or not is_blank:
                raise StorageRefused(f"{self.path} belongs to another application (id {found:#x}); nothing was changed")
            connection.execute(f"PRAGMA application_id={self.application_id:d}")
        for pragma, (wanted, shown) in self._pragmas().items():
            connection.execute(f"PRAGMA {pragma}={wanted}")
            if (now := one(connection, f"PRAGMA {pragma}")) != shown:
                raise StorageRefused(f"{self.path} keeps {pragma} at {now}, not at {wanted}")
        if role == "reader":
            connection.execute("PRAGMA query_only=ON")

    def _pragmas(self) -> dict[str, tuple[str, str | int]]:
        """What is set on each connection, and how SQLite shows it when it took."""
        return {
            "journal_mode": ("WAL", "wal"),
            "synchronous": (self._synchronous, SYNCHRONOUS[self._synchronous]),
            "foreign_keys": ("ON", 1),
            "trusted_schema": ("OFF", 0),
            "cell_size_check": ("ON", 1),
            "mmap_size": ("0", 0),
            "wal_autocheckpoint": ("1000", 1000),
            "recursive_triggers": ("ON", 1),
        }


def one(connection: Connection, statement: str, parameters: Sequence[Any] = ()) -> Any:
    """The first column of the first row, or None."""
    row = connection.execute(statement, parameters).fetchone()
    return None if row is None else row[0]


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """A part of a transaction that can be undone by itself."""
    connection.execute("SAVEPOINT part")
    try:
        yield
    except BaseException as error:
        if connection.in_transaction:  # a full disk undoes the whole transaction by itself
            connection.execute("ROLLBACK TO part")
            connection.execute("RELEASE part")
        if (translated := _translated(error)) is error:
            raise
        raise translated from error
    connection.execute("RELEASE part")


def _begin_immediate(connection: Connection) -> None:
    """Only BEGIN is ever repeated: after it, the work may already have had effects in memory."""
    for attempt in range(1, BEGIN_ATTEMPTS + 1):
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite.OperationalError as error:
            if not _is_busy(error):
                raise _translated(error) from error
            if attempt == BEGIN_ATTEMPTS:
                raise StorageBusy("the database is locked by another writer; try again") from error
            time.sleep(random.uniform(0, 0.05 * attempt))


def _commit(connection: Connection) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite.DatabaseError as error:
        was_open = connection.in_transaction
        connection.rollback()
        translated = _translated(error)
        # a full disk undoes the transaction by itself: the log's last frame, the one that counts, had no room
        if isinstance(translated, StorageFull) or (was_open and isinstance(translated, StorageBusy)):
            raise translated from error
        raise OutcomeUnknown(f"COMMIT failed ({error}); the outcome must be looked up by its key") from error


def _is_busy(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "locked" in str(error)


def _translated(error: BaseException) -> BaseException:
    if not isinstance(error, sqlite.OperationalError):
        return error
    if _is_busy(error):  # after BEGIN IMMEDIATE nothing is: a read became a write (SQLITE_BUSY_SNAPSHOT), a defect
        log.error("busy_snapshot", error=str(error))
        return StorageBusy("the database is locked by another writer; try again")
    if "disk is full" in str(error) or getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
        return StorageFull("no space is left for the database; nothing was written")
    if getattr(error, "sqlite_errorname", "").startswith("SQLITE_IOERR"):
        return StorageError(f"the disk failed ({error}); nothing was written")
    return error
