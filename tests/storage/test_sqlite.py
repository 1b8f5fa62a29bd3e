"""Connections and transactions: what refuses to start (S6), what is written, and what a busy file answers."""

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from clash_pipeline import faults
from clash_pipeline.storage import sqlite as storage
from clash_pipeline.storage.errors import OutcomeUnknown, StorageBusy, StorageError, StorageFull, StorageRefused
from clash_pipeline.storage.sqlite import BACKPORTS, Database, file_system_of, one, refuse_old_sqlite

pytestmark = pytest.mark.goal

APPLICATION_ID = 0x7E57
MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/export /mnt/shared nfs4 rw 0 0
//nas/share /mnt/shared/windows cifs rw 0 0
/dev/vdb /mnt/shared/local xfs rw 0 0
sshfs#host: /home/me/remote fuse.sshfs rw 0 0
"""


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A file with one table."""
    made = new(tmp_path / "a.db")
    with made.write() as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
    return made


def new(path: Path, **options: object) -> Database:
    return Database(path, application_id=APPLICATION_ID, **options)  # type: ignore[arg-type]


def notes(database: Database) -> list[str]:
    with database.read() as connection:
        return [row["text"] for row in connection.execute("SELECT text FROM notes ORDER BY id")]


def add(database: Database, text: str) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))


# --- what refuses to start


AFFECTED = ("3.7.17", "3.40.1", "3.44.5", "3.45.0", "3.46.1", "3.49.9", "3.50.4", "3.50.6", "3.51.0", "3.51.2")


@pytest.mark.parametrize("version", AFFECTED)
def test_an_sqlite_with_the_wal_reset_race_is_refused(version: str) -> None:
    with pytest.raises(
        StorageRefused, match=rf"SQLite {version} can lose commits.*at least 3\.51\.3.*pysqlite3 0\.6\.1"
    ):
        refuse_old_sqlite(version)


@pytest.mark.parametrize("version", ["3.44.6", "3.50.7", "3.51.3", "3.53.4", "4.0.0"])
def test_a_fixed_sqlite_and_the_exact_backports_are_accepted(version: str) -> None:
    refuse_old_sqlite(version)
    assert BACKPORTS == ((3, 44, 6), (3, 50, 7))


def test_the_library_in_use_is_fixed_and_every_database_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_old_sqlite()
    new(tmp_path / "a.db")

    def refusing() -> None:
        raise StorageRefused("too old")

    monkeypatch.setattr(storage, "refuse_old_sqlite", refusing)
    with pytest.raises(StorageRefused, match="too old"):
        new(tmp_path / "a.db")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/clash", "ext4"), ("/tmp/x", "tmpfs"), ("/mnt/shared/data", "nfs4"), ("/mnt/shared", "nfs4"),
        ("/mnt/shared/windows/a/b", "cifs"), ("/mnt/shared/local/data", "xfs"), ("/mnt/sharedother", "ext4"),
        ("/home/me/remote/x", "fuse.sshfs"),
    ],
)  # fmt: skip
def test_the_deepest_mount_decides(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_an_unknown_mount_table_is_no_refusal() -> None:
    assert file_system_of(Path("/x"), "") == ""


@pytest.mark.parametrize(
    "folder", ["/mnt/shared/data", "/mnt/shared/windows", "/home/me/remote", "/mnt/shared/not/yet/there"]
)
def test_a_network_file_system_is_refused(folder: str) -> None:
    injected = partial(file_system_of, mounts=MOUNTS)
    with pytest.raises(StorageRefused, match="is on a network file system"):
        new(Path(folder) / "clash.db", file_system=injected)


def test_control_without_the_mount_table_the_same_place_is_accepted() -> None:
    new(Path("/mnt/shared/data/clash.db"), file_system=lambda _path: "ext4")


def test_another_applications_file_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    theirs = Database(path, application_id=0x1234)
    with theirs.write() as connection:
        connection.execute("CREATE TABLE t (x)")
    theirs.close()
    before = path.read_bytes()
    with pytest.raises(StorageRefused, match=r"belongs to another application \(id 0x1234\); nothing was changed"):
        _touch(new(path))
    assert path.read_bytes() == before


def test_a_file_of_tables_without_an_application_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    plain = storage.sqlite.connect(str(path))
    plain.execute("CREATE TABLE t (x)")
    plain.close()
    with pytest.raises(StorageRefused, match=r"another application \(id 0x0\)"):
        _touch(new(path))


@pytest.mark.parametrize("damage", ["text", "cut in the header", "cut in a page", "cut to one page"])
def test_a_file_that_is_no_database_points_to_the_backup(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.db"
    made = new(path)
    with made.write() as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 100)
    made.close()
    whole = path.read_bytes()
    path.write_bytes({"text": b"hello, I am no database at all" * 50, "cut in the header": whole[:60],
                      "cut in a page": whole[:6_000], "cut to one page": whole[:4_096]}[damage])  # fmt: skip
    with pytest.raises(StorageRefused, match=r"cannot be used: .*; restore it from a backup or move it away"):
        _touch(new(path))


@pytest.mark.parametrize(
    ("pragma", "kept"),
    [("synchronous", 2), ("foreign_keys", 0), ("trusted_schema", 1), ("cell_size_check", 0), ("recursive_triggers", 0)],
)
def test_a_pragma_that_does_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str, kept: int
) -> None:
    class Deaf(storage.sqlite.Connection):  # type: ignore[misc, name-defined]
        """A connection that hears all but one."""

        def execute(self, statement: str, *parameters: object) -> object:
            is_it = statement.startswith(f"PRAGMA {pragma}=")
            return super().execute("SELECT 1" if is_it else statement, *parameters)

    monkeypatch.setattr(storage.sqlite, "connect", partial(storage.sqlite.connect, factory=Deaf))
    synchronous = "NORMAL" if pragma == "synchronous" else "FULL"
    with pytest.raises(StorageRefused, match=rf"keeps {pragma} at {kept}, not at"):
        _touch(new(tmp_path / "a.db", synchronous=synchronous))


def test_a_file_that_cannot_be_in_wal_mode_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.sqlite, "connect", partial(_in_memory, storage.sqlite.connect))
    with pytest.raises(StorageRefused, match="keeps journal_mode at memory, not at WAL"):
        _touch(new(tmp_path / "a.db"))


@pytest.mark.parametrize("level", ["OFF", "EXTRA", "0", "normal"])
def test_only_two_levels_of_synchronous_exist(tmp_path: Path, level: str) -> None:
    with pytest.raises(StorageRefused, match=rf"synchronous={level} is not allowed: one of NORMAL, FULL"):
        new(tmp_path / "a.db", synchronous=level)


def test_every_connection_carries_the_pragmas(database: Database) -> None:
    wanted = {
        "journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 1_500, "trusted_schema": 0,
        "cell_size_check": 1, "mmap_size": 0, "wal_autocheckpoint": 1_000, "recursive_triggers": 1,
    }  # fmt: skip
    with database.read() as reader:
        assert {name: one(reader, f"PRAGMA {name}") for name in wanted} == wanted
        assert one(reader, "PRAGMA query_only") == 1
    with database.write() as writer:
        assert {name: one(writer, f"PRAGMA {name}") for name in wanted} == wanted
        assert one(writer, "PRAGMA query_only") == 0


# --- transactions


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with pytest.raises(storage.IntegrityError), database.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('lost'), (NULL)")
    with pytest.raises(RuntimeError, match="half-way"):
        _add_and_fail(database)
    assert notes(database) == []
    add(database, "kept")
    assert notes(database) == ["kept"]


def test_every_writer_begins_immediate(database: Database) -> None:
    said: list[str] = []
    with database.write() as connection:
        connection.set_trace_callback(said.append)
    with database.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('x')")
    assert said[0] == "COMMIT"
    assert said[1:] == ["BEGIN IMMEDIATE", "INSERT INTO notes (text) VALUES ('x')", "COMMIT"]


def test_a_reader_cannot_write(database: Database) -> None:
    with database.read() as connection, pytest.raises(storage.OperationalError, match="readonly database"):
        connection.execute("INSERT INTO notes (text) VALUES ('x')")


def test_a_reader_sees_one_snapshot(database: Database) -> None:
    add(database, "first")
    with database.read() as connection:
        assert len(connection.execute("SELECT * FROM notes").fetchall()) == 1
        add(database, "second")
        assert len(connection.execute("SELECT * FROM notes").fetchall()) == 1
        with database.read() as inner:
            assert inner is connection
    assert notes(database) == ["first", "second"]


def test_a_transaction_inside_a_transaction_is_an_error(database: Database) -> None:
    with database.write(), pytest.raises(StorageError, match="already open in this thread"), database.write():
        pass


def test_an_error_of_the_callers_own_comes_out_as_it_went_in(database: Database) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised, database.write():
        raise error
    assert raised.value is error
    assert error.__cause__ is None
    with pytest.raises(storage.IntegrityError) as broken, database.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES (NULL)")
    assert broken.value.__cause__ is None


def test_threads_have_connections_of_their_own(database: Database) -> None:
    seen: set[int] = set()

    def work(number: int) -> None:
        for _ in range(5):
            with database.write() as connection:
                connection.execute("INSERT INTO notes (text) VALUES (?)", (str(number),))
                seen.add(id(connection))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert sorted(notes(database)) == sorted(str(number) for number in range(6) for _ in range(5))


def test_a_closed_database_opens_again(database: Database) -> None:
    add(database, "one")
    database.close()
    database.close()
    assert notes(database) == ["one"]


def test_a_database_is_not_carried_over_a_fork(database: Database) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _touch(database)
        except StorageError as error:
            status = 0 if "opened before a fork" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- other writers, no space, and COMMIT itself


def test_a_foreign_writer_makes_it_busy_and_readers_never_wait(tmp_path: Path) -> None:
    database = new(tmp_path / "a.db", busy_timeout_ms=30)
    with database.write() as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(StorageBusy, match="locked by another writer; try again"):
        add(database, "refused")
    assert notes(database) == []
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.wait() == 0
    holder.stdin.close()
    holder.stdout.close()
    add(database, "written")
    assert notes(database) == ["written"]


HOLD = """
import sys, pysqlite3
connection = pysqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


def test_no_space_is_said_as_such_and_keeps_nothing(database: Database) -> None:
    with database.write() as connection:
        pages = one(connection, "PRAGMA page_count")
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(StorageFull, match="no space is left"), database.write() as connection:
        connection.executemany("INSERT INTO notes (text) VALUES (?)", [("x" * 4_000,)] * 100)
    assert notes(database) == []
    with database.write() as connection:
        connection.execute("PRAGMA max_page_count=1000000")
    add(database, "there is again")
    assert notes(database) == ["there is again"]


def test_a_commit_that_fails_leaves_the_outcome_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(storage.sqlite.Connection):  # type: ignore[misc, name-defined]
        """A connection whose commit fails after the work was done."""

        def execute(self, statement: str, *parameters: object) -> object:
            found = super().execute(statement, *parameters)
            if statement == "COMMIT":
                raise storage.sqlite.OperationalError("disk I/O error")
            return found

    plain = new(tmp_path / "a.db")
    with plain.write() as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT")
    with monkeypatch.context() as patched:
        patched.setattr(storage.sqlite, "connect", partial(storage.sqlite.connect, factory=Breaking))
        broken = new(tmp_path / "a.db")
        with pytest.raises(OutcomeUnknown, match="must be looked up by its key"):
            add(broken, "it is there after all")
    assert notes(plain) == ["it is there after all"]


def test_the_fault_points_of_a_commit(database: Database) -> None:
    faults.arm("storage.before_commit:raise")
    try:
        with pytest.raises(faults.InjectedFault):
            add(database, "not committed")
        faults.arm("storage.after_commit:raise")
        with pytest.raises(faults.InjectedFault):
            add(database, "committed, not told")
    finally:
        faults.arm("")
    assert notes(database) == ["committed, not told"]


def _add_and_fail(database: Database) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('lost')")
        raise RuntimeError("half-way")


def _touch(database: Database) -> None:
    with database.read() as connection:
        connection.execute("SELECT 1").fetchone()


def _in_memory(connect, _path: str, **options: object):  # type: ignore[no-untyped-def]
    return connect(":memory:", **options)
