"""Several use-cases in one transaction: kept as one, lost as one, and a part that fails undoes only itself."""

from pathlib import Path

import pytest

from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.sqlite import Database, IntegrityError


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A file with one table."""
    made = Database(tmp_path / "a.db", application_id=0x7E57)
    with made.write() as connection:
        connection.execute("CREATE TABLE notes (text TEXT PRIMARY KEY) STRICT")
    return made


def add(database: Database, *texts: str) -> None:
    with database.write() as connection:
        connection.executemany("INSERT INTO notes (text) VALUES (?)", [(text,) for text in texts])


def notes(database: Database) -> list[str]:
    with database.read() as connection:
        return [row["text"] for row in connection.execute("SELECT text FROM notes ORDER BY text")]


def _twice(database: Database) -> None:
    add(database, "a")
    add(database, "a")


def test_what_is_done_together_is_kept_together(database: Database) -> None:
    with database.together():
        add(database, "a")
        add(database, "b")
        assert notes(database) == ["a", "b"]
    assert notes(database) == ["a", "b"]


def test_what_is_done_together_is_lost_together(database: Database) -> None:
    with pytest.raises(IntegrityError), database.together():
        _twice(database)
    assert notes(database) == []


def test_a_part_that_fails_undoes_only_itself(database: Database) -> None:
    add(database, "taken")
    with database.together():
        add(database, "a")
        with pytest.raises(IntegrityError):
            add(database, "b", "taken")
        add(database, "c")
    assert notes(database) == ["a", "c", "taken"]


def test_another_thread_sees_nothing_before_the_end(database: Database, tmp_path: Path) -> None:
    other = Database(tmp_path / "a.db", application_id=0x7E57)
    with database.together():
        add(database, "a")
        assert notes(other) == []
    assert notes(other) == ["a"]


def test_two_of_them_do_not_nest(database: Database) -> None:
    with database.together(), pytest.raises(StorageError, match="already keeps"), database.together():
        pass


def test_afterwards_a_write_is_a_transaction_of_its_own(database: Database) -> None:
    with database.together():
        pass
    with database.write(), pytest.raises(StorageError, match="already open"), database.write():
        pass
