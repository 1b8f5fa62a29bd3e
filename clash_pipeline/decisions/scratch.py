"""A clash database of its own, for what must touch no account: replays of a run, and dry runs of a draft."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from clash_pipeline.storage.files import CLASH_APPLICATION_ID
from clash_pipeline.storage.migrations import migrate
from clash_pipeline.storage.sqlite import Connection, Database


@contextmanager
def scratch_database() -> Iterator[Database]:
    """An empty database at the current schema, in a folder that is gone afterwards."""
    with TemporaryDirectory(prefix="clash-scratch-") as folder:
        database = Database(Path(folder) / "clash.db", application_id=CLASH_APPLICATION_ID, synchronous="NORMAL")
        try:
            migrate(database, "clash")
            yield database
        finally:
            database.close()


@contextmanager
def undone(database: Database) -> Iterator[Connection]:
    """A write transaction that is always rolled back."""
    try:
        with database.write() as connection:
            yield connection
            raise _Undone
    except _Undone:
        return


class _Undone(Exception):
    """Ends a transaction without an effect."""
