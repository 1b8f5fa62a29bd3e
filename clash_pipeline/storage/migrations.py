"""Numbered migrations: plain SQL files, applied in one transaction together with the rows that record them.

A file is `schema/<file>/NNNN_name.sql`; a number is never reused and a released file never edited. It may call
`digest(json)`, the digest of a JSON object, which seals rows.
"""

from collections.abc import Callable, Iterator
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from clash_pipeline import canonical
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.errors import StorageRefused
from clash_pipeline.storage.sqlite import Connection, Database, complete_statement, one

if TYPE_CHECKING:
    from sqlite_utils import Database as SqliteUtils

BEFORE_STATEMENT = point("migrations.before_statement")
AFTER_STATEMENT = point("migrations.after_statement")


def names(schema: str) -> list[str]:
    """The migrations of a schema (`clash` or `market`), in order."""
    folder = resources.files("clash_pipeline.storage") / "schema" / schema
    return sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql"))


def version(database: Database) -> int:
    """How many migrations the file has seen."""
    with database.read() as connection:
        return int(one(connection, "PRAGMA user_version"))


def migrate(database: Database, schema: str, *, up_to: int | None = None) -> list[str]:
    """Bring a file to the newest version (or to `up_to` migrations); returns the names that were applied.

    A crash at any statement leaves the old version. Applying twice does nothing.

    Raises:
        StorageRefused: the file was written by newer code.
    """
    from sqlite_utils import Database as SqliteUtils  # imports pandas where that is installed, which takes a while
    from sqlite_utils import Migrations

    wanted = names(schema)
    refuse_newer(database, schema)
    with database.write() as connection:
        connection.create_function("digest", 1, lambda text: canonical.digest(msgspec.json.decode(text)))
        target = SqliteUtils(connection, recursive_triggers=False)
        pending = Migrations(schema)
        for name in wanted[:up_to]:
            pending(name=name)(_runner(schema, name))
        applied = [migration.name for migration in pending.pending(target)]
        pending.apply(target)
        connection.execute(f"PRAGMA user_version={len(pending.applied(target)):d}")
    return applied


def refuse_newer(database: Database, schema: str) -> None:
    """Refuse a file of newer code.

    Raises:
        StorageRefused: the file has seen migrations this code does not know.
    """
    found, known = version(database), len(names(schema))
    if found > known:
        raise StorageRefused(
            f"{database.path.name} has schema version {found}, this code knows {known}; update the code"
        )


def require_current(database: Database, schema: str) -> None:
    """Refuse to work on a file that still lacks migrations.

    Raises:
        StorageRefused: run `clash migrate` first, or update the code.
    """
    refuse_newer(database, schema)
    found, known = version(database), len(names(schema))
    if found < known:
        raise StorageRefused(f"{database.path} has schema version {found} of {known}; run `clash migrate`")


def statements(script: str) -> Iterator[str]:
    """Cut a script into statements; a trigger's body stays in one piece."""
    buffer = ""
    for line in script.splitlines(keepends=True):
        buffer += line
        if line.rstrip().endswith(";") and complete_statement(buffer):
            yield buffer.strip()
            buffer = ""
    if buffer.strip():
        raise ValueError(f"a migration ends inside a statement: {buffer.strip()[:60]}")


def _runner(schema: str, name: str) -> Callable[["SqliteUtils"], None]:
    script = (resources.files("clash_pipeline.storage") / "schema" / schema / f"{name}.sql").read_text("utf-8")

    def run(target: "SqliteUtils") -> None:
        connection: Connection = target.conn
        for statement in statements(script):
            fault(BEFORE_STATEMENT)
            connection.execute(statement)
            fault(AFTER_STATEMENT)

    run.__name__ = name
    return run
