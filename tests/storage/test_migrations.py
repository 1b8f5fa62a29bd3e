"""Migrations (S7): from nothing, from every earlier version, and killed anywhere in between."""

import os
import signal
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from clash_pipeline import faults
from clash_pipeline.storage import migrations
from clash_pipeline.storage.errors import StorageRefused
from clash_pipeline.storage.migrations import migrate, names, refuse_newer, require_current, statements, version
from clash_pipeline.storage.sqlite import Database
from tests.fakes.migrating_child import APPLICATION_ID, Worker, worker

SCHEMAS = ("clash", "market")
EARLIER = [(schema, count) for schema in SCHEMAS for count in range(len(names(schema)))]


@pytest.fixture(scope="module")
def child() -> Iterator[Worker]:
    """The process that forks the ones to be killed."""
    with worker() as running:
        yield running


def new(path: Path) -> Database:
    return Database(path, application_id=APPLICATION_ID)


def schema_of(database: Database) -> list[tuple[object, ...]]:
    with database.read() as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
        return [tuple(row) for row in rows]


def script(schema: str, name: str) -> str:
    return (resources.files("clash_pipeline.storage") / "schema" / schema / f"{name}.sql").read_text("utf-8")


def count_statements(schema: str, after: int = 0, up_to: int | None = None) -> int:
    return sum(len(list(statements(script(schema, name)))) for name in names(schema)[after:up_to])


@pytest.mark.parametrize(("schema", "count"), EARLIER)
def test_each_earlier_version_becomes_what_a_new_file_is(tmp_path: Path, schema: str, count: int) -> None:
    fresh, old = new(tmp_path / "fresh.db"), new(tmp_path / "old.db")
    assert migrate(fresh, schema) == names(schema)
    assert migrate(old, schema, up_to=count) == names(schema)[:count]
    assert version(old) == count
    assert migrate(old, schema) == names(schema)[count:]
    assert version(old) == version(fresh) == len(names(schema))
    assert schema_of(old) == schema_of(fresh)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_second_run_is_a_no_op(tmp_path: Path, schema: str) -> None:
    database = new(tmp_path / "a.db")
    migrate(database, schema)
    before = (schema_of(database), _pages(database))
    assert migrate(database, schema) == []
    assert (schema_of(database), _pages(database)) == before


@pytest.mark.parametrize(("schema", "base"), EARLIER)
def test_killed_before_and_after_each_statement_of_a_step_the_version_is_old_or_new(
    tmp_path: Path, child: Worker, schema: str, base: int
) -> None:
    hits = count_statements(schema, base, base + 1)
    befores = [f"migrations.before_statement@{hit}" for hit in range(1, hits + 1)]
    faults_of_step = [*befores, f"migrations.after_statement@{hits}", "storage.before_commit"]
    _killed_at(tmp_path, child, schema, base, base + 1, faults_of_step)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_killed_anywhere_on_the_way_from_nothing_the_version_is_old_or_new(
    tmp_path: Path, child: Worker, schema: str
) -> None:
    """Each statement in the soak, every tenth in CI: the steps above hold each statement once."""
    hits = count_statements(schema)
    every = 1 if os.environ.get("CLASH_SOAK") else 10
    points = [f"migrations.before_statement@{hit}" for hit in range(1, hits + 1, every)]
    _killed_at(tmp_path, child, schema, 0, len(names(schema)), [*points, "storage.before_commit"])


def _killed_at(tmp_path: Path, child: Worker, schema: str, base: int, up_to: int, points: list[str]) -> None:
    path = tmp_path / "killed.db"
    old = new(path)
    migrate(old, schema, up_to=base)
    if base and schema == "clash":
        _put_data(old)
    before, data = (version(old), schema_of(old)), _data(old)
    old.close()
    fresh = new(tmp_path / "fresh.db")
    migrate(fresh, schema, up_to=up_to)
    after = (version(fresh), schema_of(fresh))

    for fault in points:
        assert child.migrate(path, schema, f"{fault}:kill", up_to=up_to) == -signal.SIGKILL, fault
        assert _audit(path, data) == before, fault
    hits = count_statements(schema, base, up_to)
    assert child.migrate(path, schema, f"migrations.before_statement@{hits + 1}:raise", up_to=up_to) == 0  # no more
    assert _audit(path, data) == after
    for fault in ("migrations.before_statement", "migrations.after_statement"):  # a second run does nothing
        assert child.migrate(path, schema, f"{fault}:kill", up_to=up_to) == 0


@pytest.mark.parametrize("schema", SCHEMAS)
def test_killed_after_the_commit_the_version_is_new(tmp_path: Path, child: Worker, schema: str) -> None:
    path, fresh = tmp_path / "killed.db", new(tmp_path / "fresh.db")
    migrate(fresh, schema)
    assert child.migrate(path, schema, "storage.after_commit:kill") == -signal.SIGKILL
    assert _audit(path, None) == (len(names(schema)), schema_of(fresh))


@pytest.mark.soak
@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_second_run_after_each_kill_reaches_the_new_version(tmp_path: Path, child: Worker, schema: str) -> None:
    fresh = new(tmp_path / "fresh.db")
    migrate(fresh, schema)
    for hit in range(1, count_statements(schema) + 1):
        for point in ("migrations.before_statement", "migrations.after_statement"):
            path = tmp_path / f"{point}-{hit}.db"
            assert child.migrate(path, schema, f"{point}@{hit}:kill") == -signal.SIGKILL
            assert _audit(path, None)[0] == 0
            assert child.migrate(path, schema) == 0
            assert _audit(path, None) == (len(names(schema)), schema_of(fresh))


def test_control_without_a_transaction_a_kill_leaves_a_mixture(tmp_path: Path, child: Worker) -> None:
    path = tmp_path / "killed.db"
    inside_the_second = len(list(statements(script("market", names("market")[0])))) + 2
    fault = f"migrations.after_statement@{inside_the_second}:kill"
    assert child.migrate(path, "market", fault, mode="by_statement") == -signal.SIGKILL
    found, schema = _audit(path, None)
    assert found == 0
    assert "hyperliquid_candles" in {row[1] for row in schema}


def test_a_file_of_newer_code_is_refused(tmp_path: Path) -> None:
    database = new(tmp_path / "a.db")
    migrate(database, "clash")
    known = len(names("clash"))
    with database.write() as connection:
        connection.execute(f"PRAGMA user_version={known + 1}")
    for act in (refuse_newer, require_current, migrate):
        with pytest.raises(
            StorageRefused, match=rf"schema version {known + 1}, this code knows {known}; update the code"
        ):
            act(database, "clash")
    with database.write() as connection:
        connection.execute(f"PRAGMA user_version={known}")
    require_current(database, "clash")


def test_a_file_that_lacks_migrations_is_refused_with_the_way_out(tmp_path: Path) -> None:
    database = new(tmp_path / "a.db")
    migrate(database, "market", up_to=1)
    with pytest.raises(StorageRefused, match=r"schema version 1 of \d+; run `clash migrate`"):
        require_current(database, "market")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_numbers_count_up_without_a_hole_or_a_repeat(schema: str) -> None:
    assert [int(name[:4]) for name in names(schema)] == list(range(1, len(names(schema)) + 1))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_table_is_strict(tmp_path: Path, schema: str) -> None:
    database = new(tmp_path / "a.db")
    migrate(database, schema)
    with database.read() as connection:
        loose = [
            row["name"] for row in connection.execute("PRAGMA table_list")
            if row["schema"] == "main" and row["type"] == "table" and not row["strict"]
            and not row["name"].startswith(("sqlite_", "_sqlite_migrations"))
        ]  # fmt: skip
    assert loose == []


def test_scripts_are_cut_into_statements_and_triggers_stay_whole() -> None:
    text = """
    -- a comment; with a semicolon
    CREATE TABLE a (x TEXT DEFAULT ';');
    CREATE TRIGGER t BEFORE UPDATE ON a
    BEGIN
      SELECT 1;
      SELECT 2;
    END;
    INSERT INTO a
    VALUES ('one;
    two');
    """
    cut = list(statements(text))
    assert [one.split()[0] for one in cut] == ["--", "CREATE", "INSERT"]
    assert cut[1].endswith("END;")
    with pytest.raises(ValueError, match="ends inside a statement: CREATE TABLE b"):
        list(statements("CREATE TABLE b (x"))


def test_the_migrators_fault_points_are_registered() -> None:
    assert {migrations.BEFORE_STATEMENT, migrations.AFTER_STATEMENT} <= faults.REGISTERED


def _audit(path: Path, data: object) -> tuple[int, list[tuple[object, ...]]]:
    """Version and schema of a file that is whole and still holds its data."""
    database = new(path)
    with database.read() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    found = version(database), schema_of(database)
    if data is not None:
        assert _data(database) == data
    database.close()
    return found


def _put_data(database: Database) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO leases (name, holder, token, until_ms) VALUES ('a', 'b', 7, 9)")


def _data(database: Database) -> list[tuple[object, ...]] | None:
    with database.read() as connection:
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'leases'").fetchone() is None:
            return None
        return [tuple(row) for row in connection.execute("SELECT name, holder, token, until_ms FROM leases")]


def _pages(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute("PRAGMA page_count").fetchone()[0])
