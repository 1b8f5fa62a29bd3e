"""Published versions: immutable, at most one active, each identified by the hash of what the compiler made of it."""

import json
from dataclasses import dataclass
from typing import Any

from clash_pipeline import canonical
from clash_pipeline.clones.compiler import Compiled, decode
from clash_pipeline.clones.refusals import CloneUnknown
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row, one

PUBLISH_AFTER_RETIRED = point("clones.publish.after_retired")
PUBLISH_AFTER_INSERTED = point("clones.publish.after_inserted")


@dataclass(frozen=True)
class Version:
    """A published version: immutable, identified by the hash of what the compiler made of it."""

    id: int
    clone_id: int
    number: int
    compiled: Compiled
    compiled_hash: str
    is_active: bool
    published_at: int


@dataclass(frozen=True)
class Listed:
    """A version in a list: all but its contents."""

    id: int
    number: int
    compiled_hash: str
    is_active: bool
    published_at: int
    published_by: str


def active_version(connection: Connection, clone_id: int) -> Version | None:
    """The version that trades, if any."""
    row = connection.execute(
        """
        SELECT id, clone_id, number, compiled, compiled_hash, is_active, published_at
        FROM clone_versions WHERE clone_id = ? AND is_active = 1
        """,
        (clone_id,),
    ).fetchone()
    return None if row is None else _version(row)


def version(connection: Connection, version_id: int) -> Version:
    """One version by id.

    Raises:
        CloneUnknown: no such version.
    """
    row = connection.execute(
        """
        SELECT id, clone_id, number, compiled, compiled_hash, is_active, published_at
        FROM clone_versions WHERE id = ?
        """,
        (version_id,),
    ).fetchone()
    if row is None:
        raise CloneUnknown(f"there is no clone version {version_id}")
    return _version(row)


def numbered(connection: Connection, clone_id: int, number: int) -> Version:
    """One version of a clone by its number.

    Raises:
        CloneUnknown: the clone has no version of that number.
    """
    row = connection.execute(
        """
        SELECT id, clone_id, number, compiled, compiled_hash, is_active, published_at
        FROM clone_versions WHERE clone_id = ? AND number = ?
        """,
        (clone_id, number),
    ).fetchone()
    if row is None:
        raise CloneUnknown(f"clone {clone_id} has no version {number}")
    return _version(row)


def of_clone(connection: Connection, clone_id: int) -> list[Listed]:
    """The versions of a clone, newest first."""
    rows = connection.execute(
        """
        SELECT id, number, compiled_hash, is_active, published_at, published_by
        FROM clone_versions WHERE clone_id = ? ORDER BY number DESC
        """,
        (clone_id,),
    )
    return [Listed(**{**dict(row), "is_active": bool(row["is_active"])}) for row in rows]


def graph_of(connection: Connection, version_id: int) -> dict[str, Any]:
    """The graph as it was published, layout included.

    Raises:
        CloneUnknown: no such version.
    """
    graph = one(connection, "SELECT graph FROM clone_versions WHERE id = ?", (version_id,))
    if graph is None:
        raise CloneUnknown(f"there is no clone version {version_id}")
    return dict(json.loads(graph))


def activate(
    connection: Connection, clone_id: int, graph: str, compiled: Compiled, *, now_ms: int, actor: str
) -> Version:
    """Make a compiled graph the one active version, inside the caller's transaction.

    The same compiled graph again answers the version that is already active.
    """
    active, digest = active_version(connection, clone_id), compiled.digest
    if active is not None and active.compiled_hash == digest:
        return active
    connection.execute("UPDATE clone_versions SET is_active = 0 WHERE clone_id = ? AND is_active = 1", (clone_id,))
    fault(PUBLISH_AFTER_RETIRED)
    number = one(connection, "SELECT coalesce(max(number), 0) + 1 FROM clone_versions WHERE clone_id = ?", (clone_id,))
    identifier = one(
        connection,
        """
        INSERT INTO clone_versions
          (clone_id, number, graph, compiled, compiled_hash, is_active, published_at, published_by)
        VALUES (?, ?, ?, ?, ?, 1, ?, ?) RETURNING id
        """,
        (clone_id, number, graph, canonical.text(compiled), digest, now_ms, actor),
    )
    fault(PUBLISH_AFTER_INSERTED)
    return Version(identifier, clone_id, number, compiled, digest, True, now_ms)


def _version(row: Row) -> Version:
    compiled = decode(row["compiled"])
    return Version(**{**dict(row), "compiled": compiled, "is_active": bool(row["is_active"])})
