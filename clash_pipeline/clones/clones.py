"""The clone service: a clone, its draft, its published versions, its engine and its trading toggle."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from clash_pipeline import canonical
from clash_pipeline.clones import validation
from clash_pipeline.clones.compiler import Compiled, compile_graph, decode
from clash_pipeline.clones.entitlements import effective
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.validation import GraphInvalid
from clash_pipeline.faults import fault, point
from clash_pipeline.market.listing import Listing
from clash_pipeline.storage.sqlite import Connection, Database, IntegrityError, Row, one

EngineName = Literal["hold", "rules"]
OPERATOR = "operator"
NAME_CHARACTERS = 64

PUBLISH_AFTER_RETIRED = point("clones.publish.after_retired")
PUBLISH_AFTER_INSERTED = point("clones.publish.after_inserted")


class CloneError(ValueError):
    """A clone that cannot be had: unknown id, name taken, nothing to publish. One line for a person."""


@dataclass(frozen=True)
class Clone:
    """A clone as stored; `version` is the number of its active version, None without one."""

    id: int
    owner: str
    name: str
    engine: str
    model_tier: int
    is_trading: bool
    version: int | None
    created_at: int


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


def create(clash: Database, name: str, *, engine: EngineName, now_ms: int, owner: str = OPERATOR) -> int:
    """A new clone without a graph, not trading; returns its id.

    Raises:
        CloneError: the name is empty, too long, or the owner has one of that name.
    """
    if not 1 <= len(name) <= NAME_CHARACTERS:
        raise CloneError(f"a clone's name has 1 to {NAME_CHARACTERS} characters, not {len(name)}")
    try:
        with clash.write() as connection:
            return int(
                one(
                    connection,
                    """
                    INSERT INTO clones (owner, name, engine, model_tier, is_trading, created_at, updated_at)
                    VALUES (?, ?, ?, 1, 0, ?, ?) RETURNING id
                    """,
                    (owner, name, engine, now_ms, now_ms),
                )
            )
    except IntegrityError:
        raise CloneError(f"{owner} already has a clone named {name}") from None


def save_draft(clash: Database, clone_id: int, content: Any, listing: Listing, *, now_ms: int) -> Graph:
    """Store a draft; it may be incomplete, never invalid (02 Validation).

    Raises:
        GraphInvalid: with every problem; the draft is as it was before.
        CloneError: no such clone.
    """
    graph = validation.parse(content)
    with clash.write() as connection:
        found = validation.problems(graph, listing, effective(connection, clone_id).capacity)
        _refuse(problem for problem in found if problem.code not in UNFINISHED)
        changed = connection.execute(
            "UPDATE clones SET draft = ?, draft_updated_at = ?, updated_at = ? WHERE id = ?",
            (canonical.text(graph.wire()), now_ms, now_ms, clone_id),
        )
        if changed.rowcount != 1:
            raise CloneError(f"there is no clone {clone_id}")
    return graph


def publish(clash: Database, clone_id: int, listing: Listing, *, now_ms: int, actor: str = OPERATOR) -> Version:
    """Make the draft the one active version, in one transaction.

    The same compiled graph again answers the version that is already active.

    Raises:
        GraphInvalid: the draft is incomplete or invalid.
        CloneError: no such clone, or no draft.
    """
    with clash.write() as connection:
        draft = one(connection, "SELECT draft FROM clones WHERE id = ?", (clone_id,))
        if draft is None:
            raise CloneError(f"clone {clone_id} has no draft to publish")
        graph = validation.parse(json.loads(draft))
        _refuse(iter(validation.problems(graph, listing, effective(connection, clone_id).capacity)))
        compiled = compile_graph(graph, listing)
        active = active_version(connection, clone_id)
        if active is not None and active.compiled_hash == compiled.digest:
            return active
        return _publish(connection, clone_id, draft, compiled, now_ms, actor)


def set_trading(clash: Database, clone_id: int, is_trading: bool, *, now_ms: int) -> None:
    """Turn trading on or off; off means that no run of this clone is due, forced ones included.

    Raises:
        CloneError: no such clone.
    """
    with clash.write() as connection:
        changed = connection.execute(
            "UPDATE clones SET is_trading = ?, updated_at = ? WHERE id = ?", (int(is_trading), now_ms, clone_id)
        )
        if changed.rowcount != 1:
            raise CloneError(f"there is no clone {clone_id}")


def set_engine(clash: Database, clone_id: int, engine: EngineName, *, now_ms: int) -> None:
    """Choose who decides from the next run on.

    Raises:
        CloneError: no such clone.
    """
    with clash.write() as connection:
        changed = connection.execute(
            "UPDATE clones SET engine = ?, updated_at = ? WHERE id = ?", (engine, now_ms, clone_id)
        )
        if changed.rowcount != 1:
            raise CloneError(f"there is no clone {clone_id}")


def get(connection: Connection, clone_id: int) -> Clone:
    """One clone.

    Raises:
        CloneError: no such clone.
    """
    row = connection.execute(
        """
        SELECT c.id, c.owner, c.name, c.engine, c.model_tier, c.is_trading, c.created_at, v.number AS version
        FROM clones c LEFT JOIN clone_versions v ON v.clone_id = c.id AND v.is_active = 1
        WHERE c.id = ?
        """,
        (clone_id,),
    ).fetchone()
    if row is None:
        raise CloneError(f"there is no clone {clone_id}")
    return _clone(row)


def every(connection: Connection) -> list[Clone]:
    """All clones, by id."""
    rows = connection.execute(
        """
        SELECT c.id, c.owner, c.name, c.engine, c.model_tier, c.is_trading, c.created_at, v.number AS version
        FROM clones c LEFT JOIN clone_versions v ON v.clone_id = c.id AND v.is_active = 1
        ORDER BY c.id
        """
    )
    return [_clone(row) for row in rows]


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
        CloneError: no such version.
    """
    row = connection.execute(
        """
        SELECT id, clone_id, number, compiled, compiled_hash, is_active, published_at
        FROM clone_versions WHERE id = ?
        """,
        (version_id,),
    ).fetchone()
    if row is None:
        raise CloneError(f"there is no clone version {version_id}")
    return _version(row)


def draft_graph(connection: Connection, clone_id: int) -> dict[str, Any] | None:
    """The draft as it was saved, layout included; None without one."""
    draft = one(connection, "SELECT draft FROM clones WHERE id = ?", (clone_id,))
    return None if draft is None else json.loads(draft)


UNFINISHED = frozenset({"no_prompt", "prompt_without_assets", "assets_without_stream"})
"""What makes a draft incomplete, not invalid."""


def _refuse(found: Iterator[validation.Problem]) -> None:
    problems = list(found)
    if problems:
        raise GraphInvalid(problems)


def _publish(connection: Connection, clone_id: int, draft: str, compiled: Compiled, now_ms: int, actor: str) -> Version:
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
        (clone_id, number, draft, canonical.text(compiled), compiled.digest, now_ms, actor),
    )
    fault(PUBLISH_AFTER_INSERTED)
    return Version(identifier, clone_id, number, compiled, compiled.digest, True, now_ms)


def _clone(row: Row) -> Clone:
    return Clone(**{**dict(row), "is_trading": bool(row["is_trading"])})


def _version(row: Row) -> Version:
    compiled = decode(row["compiled"])
    return Version(**{**dict(row), "compiled": compiled, "is_active": bool(row["is_active"])})
