"""One SQLite behind one door, read from the source: imports, opened files, transactions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.goal

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("clash_pipeline", "assets", "jobs", "sensors", "resources")
DOOR = "clash_pipeline/storage/sqlite.py"
FORBIDDEN = re.compile(r"(sqlite3|pysqlite3|_sqlite3|apsw|connectorx|adbc\w*|aiosqlite|sqlean|sqlalchemy)(\.|$)")
ALLOWED = {("jobs/dagster_history.py", "sqlalchemy")}
"""Dagster's own storage is another file with another library: allowed by 09 §4.9, and here only."""
READERS = {
    "open", "read_bytes", "read_text", "write_bytes", "write_text", "copy", "copy2", "copyfile", "copytree", "move",
    "rename", "replace", "unlink", "mmap", "file_digest",
}  # fmt: skip
OTHER_CONNECTIONS = frozenset({"read_database_uri", "write_database", "sqlite_scan", "executescript", "atomic"})
ENDS = frozenset({"commit", "rollback"})
DATABASE_FILE = re.compile(r"\.db\b|_db\b|database\.path|market\.path|clash\.path|-wal\b|-shm\b")
TRANSACTION = re.compile(
    r"\s*(BEGIN( DEFERRED| IMMEDIATE| EXCLUSIVE| TRANSACTION)*|COMMIT|END|ROLLBACK|SAVEPOINT \w+|RELEASE \w+)\s*;?\s*",
    re.IGNORECASE,
)


def sources() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")


def problems(name: str, source: str) -> list[str]:
    """What a source file does that only the door may."""
    tree = ast.parse(source)
    for_types = {id(child) for node in ast.walk(tree) if _is_type_checking(node) for child in ast.walk(node)}
    nodes = [node for node in ast.walk(tree) if id(node) not in for_types]
    return [f"{name}:{node.lineno} {problem}" for node in nodes for problem in _problems(name, node)]  # type: ignore[attr-defined]


def _problems(name: str, node: ast.AST) -> Iterator[str]:
    if name != DOOR:
        for module in _imported(node):
            if FORBIDDEN.match(module) and (name, module.partition(".")[0]) not in ALLOWED:
                yield f"imports {module}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and TRANSACTION.fullmatch(node.value):
            yield f"says {node.value} by itself"
    if isinstance(node, ast.Call):
        yield from _call_problems(name, node)


def _call_problems(name: str, node: ast.Call) -> Iterator[str]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in READERS and DATABASE_FILE.search(text := ast.unparse(node)):
        yield f"touches a database file: {text[:60]}"
    if called in OTHER_CONNECTIONS and name != DOOR:
        yield f"goes round the door: {called}"
    if called == "connect" and (text := ast.unparse(node)).startswith("duckdb") and "':memory:'" not in text:
        yield "opens a file with DuckDB"
    if called in ENDS and not name.startswith("clash_pipeline/storage/"):
        yield f"ends a transaction by itself: {called}"


def test_no_room_goes_round_the_door() -> None:
    found = [problem for name, source in sources() for problem in problems(name, source)]
    assert found == []


def test_the_door_is_looked_at_too() -> None:
    names = [name for name, _ in sources()]
    assert DOOR in names
    assert len(names) > 50


def test_only_reads_begin_deferred_and_every_write_begins_immediate() -> None:
    source = (ROOT / DOOR).read_text("utf-8")
    begins = re.findall(r'execute\("(BEGIN[A-Z ]*)"\)', source)
    assert begins == ["BEGIN", "BEGIN IMMEDIATE"]
    reader = source.index('execute("BEGIN")')
    assert source.index("def read(") < reader < source.index("def require_room(")
    assert source.count("_begin_immediate(connection)") == 1  # in `write`, the only way to a writer
    assert source.count('_connection("writer")') == 2  # there, and in a `read` within writes that are kept together


@pytest.mark.parametrize(
    "offence",
    [
        "import sqlite3",
        "from sqlite3 import connect",
        "import pysqlite3 as sqlite",
        "def f():\n    import apsw",
        "import connectorx as cx",
        "from adbc_driver_sqlite import dbapi",
        "import importlib\nimportlib.import_module('sqlite3')",
        "open(settings.clash_db)",
        "settings.market_db.read_bytes()",
        "hashlib.file_digest(open(home / 'clash.db', 'rb'), 'sha256')",
        "shutil.copyfile(database.path, 'backup')",
        "Path(f'{home}/market.db-wal').open('rb')",
        "polars.read_database_uri(query, uri)",
        "duckdb.connect('market.db')",
        "connection.execute('BEGIN')",
        "connection.execute('BEGIN DEFERRED')",
        "connection.execute('  commit')",
        "connection.commit()",
        "connection.executescript(text)",
        "database.atomic()",
    ],
)
def test_control_each_offence_is_found(offence: str) -> None:
    assert problems("clash_pipeline/market/somewhere.py", offence) != []


@pytest.mark.parametrize(
    "innocent",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sqlite3",
        "with database.write() as connection:\n    connection.execute('INSERT INTO t VALUES (1)')",
        "open('report.json')",
        "settings.market_db.stat()",
        "polars.read_database('SELECT 1', connection)",
        "duckdb.connect(\":memory:\")",
        "log.info('begin again')",
    ],
)  # fmt: skip
def test_control_nothing_innocent_is(innocent: str) -> None:
    assert problems("clash_pipeline/market/somewhere.py", innocent) == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""] if node.level == 0 else []
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in {
        "import_module", "__import__"
    }:  # fmt: skip
        return [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
