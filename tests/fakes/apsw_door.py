"""The driver of `storage.sqlite` spoken by apsw: for one process whose only SQLite is apsw, never beside the product's.

`install` must run before the store is imported. Results are fetched at once; nothing else differs for our statements.
`LAYERS` names the file system layer of a file, so that a test can stand between SQLite and the disk.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import apsw

LAYERS: dict[str, str] = {}
"""The file system layer of a file name; the ordinary one for any other."""


class Error(Exception):
    """What sqlite3 raises, with the name of SQLite's code."""

    sqlite_errorname = ""


class DatabaseError(Error):
    """Of the database."""


class OperationalError(DatabaseError):
    """Of its running: locked, full, unreadable."""


class IntegrityError(DatabaseError):
    """Of a constraint."""


class Row:
    """A row by place and by name."""

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self._names, self._values = names, values

    def keys(self) -> list[str]:
        """The names of the columns."""
        return list(self._names)

    def __getitem__(self, key: int | str) -> Any:
        return self._values[key if isinstance(key, int) else self._names.index(key)]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Cursor:
    """The rows of one statement."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.row_factory: Any = connection.row_factory
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._rows: list[Any] = []

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> "Cursor":
        """Run one statement to its end."""
        inner = self._connection.inner
        before = inner.total_changes()
        with _as_sqlite3():
            cursor = inner.cursor()
            names: tuple[str, ...] = ()
            rows = []
            for values in cursor.execute(statement, parameters or None):
                names = names or tuple(column[0] for column in cursor.get_description())
                rows.append(values if self.row_factory is None else Row(names, values))
        self._rows = rows[::-1]
        self.rowcount = inner.changes() if inner.total_changes() != before else _none_changed(statement)
        self.lastrowid = inner.last_insert_rowid()
        return self

    def executemany(self, statement: str, many: Iterable[Any]) -> "Cursor":
        """The same for each."""
        count = 0
        for parameters in many:
            count += max(self.execute(statement, parameters).rowcount, 0)
        self.rowcount = count
        return self

    def fetchone(self) -> Any:
        """The next row, or None."""
        return self._rows.pop() if self._rows else None

    def fetchall(self) -> list[Any]:
        """All that are left."""
        rows, self._rows = self._rows[::-1], []
        return rows

    def __iter__(self) -> Iterator[Any]:
        while self._rows:
            yield self._rows.pop()


class Connection:
    """A connection as `storage.sqlite` uses one."""

    def __init__(self, path: str, **_options: Any) -> None:
        self.row_factory: Any = None
        with _as_sqlite3():
            self.inner = apsw.Connection(path, vfs=LAYERS.get(Path(path).name))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self.inner.in_transaction)

    def cursor(self) -> Cursor:
        """Another cursor."""
        return Cursor(self)

    def execute(self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Cursor:
        """Run one statement."""
        return Cursor(self).execute(statement, parameters)

    def executemany(self, statement: str, many: Iterable[Any]) -> Cursor:
        """Run it for each."""
        return Cursor(self).executemany(statement, many)

    def rollback(self) -> None:
        """Undo what is open."""
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """Close it."""
        self.inner.close()


class _as_sqlite3:
    """Raise what sqlite3 would."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, apsw.Error):
            return
        kind = IntegrityError if isinstance(error, apsw.ConstraintError) else OperationalError
        raised = kind(str(error))
        names: Mapping[Any, Any] = {**apsw.mapping_result_codes, **apsw.mapping_extended_result_codes}
        raised.sqlite_errorname = str(names.get(getattr(error, "extendedresult", 0), ""))
        raise raised from error


def _none_changed(statement: str) -> int:
    return 0 if statement.lstrip()[:6].upper() in {"UPDATE", "DELETE", "INSERT"} else -1


def install() -> None:
    """Be `pysqlite3` for this process.

    Raises:
        RuntimeError: the store has already been imported with another library.
    """
    if "clash_pipeline.storage.sqlite" in sys.modules:
        raise RuntimeError("the store has been imported before apsw could take its place")
    module = ModuleType("pysqlite3")
    given = {each.__name__: each for each in (Error, DatabaseError, OperationalError, IntegrityError, Row, Connection)}
    vars(module).update(
        given, connect=_connect, complete_statement=apsw.complete, sqlite_version=apsw.sqlite_lib_version()
    )
    sys.modules["pysqlite3"] = module


def _connect(path: str, **options: Any) -> Connection:
    return Connection(path, **options)
