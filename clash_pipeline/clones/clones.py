"""The clone service: a clone, its draft, its published versions, its engine and model, and its trading toggle."""

from dataclasses import dataclass
from typing import Any, Literal

from clash_pipeline.clones import drafts, holds, versions
from clash_pipeline.clones.compiler import compile_graph
from clash_pipeline.clones.entitlements import MODEL_TIERS, effective
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.refusals import CloneError, CloneUnknown, NameTaken, TierExceeded
from clash_pipeline.clones.versions import Version, active_version, version
from clash_pipeline.market import text
from clash_pipeline.market.listing import Listing
from clash_pipeline.storage.sqlite import Connection, Database, Row, one

__all__ = ["CloneError", "Version", "active_version", "version"]  # of the service, kept in rooms of their own

EngineName = Literal["hold", "rules", "model"]
OPERATOR = "operator"
NAME_CHARACTERS = 64


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


# life


def create(clash: Database, name: str, *, engine: EngineName, now_ms: int, owner: str = OPERATOR) -> int:
    """A new clone without a graph, not trading; returns its id.

    Raises:
        CloneError: the name is empty, too long, or the owner has one of that name.
    """
    with clash.write() as connection:
        return insert(connection, name, engine=engine, now_ms=now_ms, owner=owner)


def insert(connection: Connection, name: str, *, engine: EngineName, now_ms: int, owner: str = OPERATOR) -> int:
    """The same inside the caller's transaction."""
    chosen = private_name(name)
    _refuse_taken(connection, owner, chosen)
    return int(
        one(
            connection,
            """
            INSERT INTO clones (owner, name, engine, model_tier, is_trading, created_at, updated_at)
            VALUES (?, ?, ?, 1, 0, ?, ?) RETURNING id
            """,
            (owner, chosen, engine, now_ms, now_ms),
        )
    )


def rename(clash: Database, clone_id: int, name: str, *, now_ms: int) -> str:
    """Give a clone another private name; returns it as stored.

    Raises:
        CloneError: the name is empty, too long, or the owner's other clone has it; or no such clone.
    """
    chosen = private_name(name)
    with clash.write() as connection:
        clone = get(connection, clone_id)
        if clone.name != chosen:
            _refuse_taken(connection, clone.owner, chosen)
            connection.execute("UPDATE clones SET name = ?, updated_at = ? WHERE id = ?", (chosen, now_ms, clone_id))
    return chosen


def private_name(name: str) -> str:
    """A private name in its stored form: one line of visible text.

    Raises:
        CloneError: nothing is left of it, or more than 64 characters.
    """
    cleaned = text.clean(name[: 64 * NAME_CHARACTERS], max_bytes=16 * NAME_CHARACTERS)
    if not 1 <= len(cleaned) <= NAME_CHARACTERS:
        raise CloneError(f"a clone's name has 1 to {NAME_CHARACTERS} characters, not {len(cleaned)}")
    return cleaned


# graph


def save_draft(
    clash: Database, clone_id: int, content: Any, listing: Listing, *, now_ms: int, if_digest: str | None = None
) -> Graph:
    """Store a draft; it may be incomplete, never invalid (02 Validation). A held clone's draft may be edited.

    With `if_digest` only over the draft of that digest, so that nobody's edit is lost.

    Raises:
        GraphInvalid: with every problem; the draft is as it was before.
        CloneError: no such clone, or the draft was saved by somebody else since.
    """
    graph = drafts.parse(clash, clone_id, content, listing, now_ms=now_ms)
    with clash.write() as connection:
        drafts.store(connection, clone_id, graph, listing, now_ms=now_ms, if_digest=if_digest)
    return graph


def publish(clash: Database, clone_id: int, listing: Listing, *, now_ms: int, actor: str = OPERATOR) -> Version:
    """Make the draft the one active version, in one transaction.

    The same compiled graph again answers the version that is already active.

    Raises:
        GraphInvalid: the draft is incomplete or invalid.
        CloneError: no such clone, no draft, a model above the entitlement, or a running audition.
    """
    with clash.write() as connection:
        return publish_draft(connection, clone_id, listing, now_ms=now_ms, actor=actor)


def publish_draft(
    connection: Connection, clone_id: int, listing: Listing, *, now_ms: int, actor: str = OPERATOR
) -> Version:
    """The same inside the caller's transaction."""
    graph, stored = drafts.publishable(connection, clone_id, listing, now_ms=now_ms)
    _refuse_tier(connection, clone_id, get(connection, clone_id).model_tier, now_ms)
    holds.refuse_frozen(connection, clone_id, "publication")
    return versions.activate(connection, clone_id, stored, compile_graph(graph, listing), now_ms=now_ms, actor=actor)


# toggles


def set_trading(clash: Database, clone_id: int, is_trading: bool, *, now_ms: int) -> None:
    """Turn trading on or off; off means that no run of this clone is due, forced ones included.

    Raises:
        CloneError: no such clone, or a running audition freezes it.
    """
    with clash.write() as connection:
        turn_trading(connection, clone_id, is_trading, now_ms=now_ms)


def turn_trading(connection: Connection, clone_id: int, is_trading: bool, *, now_ms: int) -> None:
    """The same inside the caller's transaction."""
    if get(connection, clone_id).is_trading == is_trading:
        return
    holds.refuse_frozen(connection, clone_id, "its trading toggle")
    connection.execute(
        "UPDATE clones SET is_trading = ?, updated_at = ? WHERE id = ?", (int(is_trading), now_ms, clone_id)
    )


def set_engine(clash: Database, clone_id: int, engine: EngineName, *, now_ms: int) -> None:
    """Choose who decides from the next run on.

    Raises:
        CloneError: no such clone, a model above its entitlement, or a running audition freezes it.
    """
    with clash.write() as connection:
        clone = get(connection, clone_id)
        if clone.engine == engine:
            return
        if engine == "model":
            _refuse_tier(connection, clone_id, clone.model_tier, now_ms)
        holds.refuse_frozen(connection, clone_id, "its engine")
        connection.execute("UPDATE clones SET engine = ?, updated_at = ? WHERE id = ?", (engine, now_ms, clone_id))


def set_model_tier(clash: Database, clone_id: int, model_tier: int, *, now_ms: int) -> None:
    """Choose the strength of the model, 1 (cheapest) to 3 (strongest), within the entitlement.

    Raises:
        CloneError: no such clone or tier, above the entitlement, or a running audition freezes it.
    """
    if model_tier not in MODEL_TIERS:
        raise CloneError(f"a model tier is {MODEL_TIERS[0]} to {MODEL_TIERS[-1]}, not {model_tier}")
    with clash.write() as connection:
        clone = get(connection, clone_id)
        if clone.model_tier == model_tier:
            return
        _refuse_tier(connection, clone_id, model_tier, now_ms)
        holds.refuse_frozen(connection, clone_id, "its model")
        connection.execute(
            "UPDATE clones SET model_tier = ?, updated_at = ? WHERE id = ?", (model_tier, now_ms, clone_id)
        )


# reading


def get(connection: Connection, clone_id: int) -> Clone:
    """One clone.

    Raises:
        CloneUnknown: no such clone.
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
        raise CloneUnknown(f"there is no clone {clone_id}")
    return _clone(row)


def owned(connection: Connection, clone_id: int, owner: str) -> Clone:
    """One clone of this owner; another's is as absent as one that never was.

    Raises:
        CloneUnknown: the owner has no such clone.
    """
    clone = get(connection, clone_id)
    if clone.owner != owner:
        raise CloneUnknown(f"there is no clone {clone_id}")
    return clone


def every(connection: Connection, *, owner: str | None = None) -> list[Clone]:
    """All clones, or those of one owner, by id."""
    rows = connection.execute(
        """
        SELECT c.id, c.owner, c.name, c.engine, c.model_tier, c.is_trading, c.created_at, v.number AS version
        FROM clones c LEFT JOIN clone_versions v ON v.clone_id = c.id AND v.is_active = 1
        WHERE ?1 IS NULL OR c.owner = ?1
        ORDER BY c.id
        """,
        (owner,),
    )
    return [_clone(row) for row in rows]


def draft_graph(connection: Connection, clone_id: int) -> dict[str, Any] | None:
    """The draft as it was saved, layout included; None without one."""
    draft = drafts.of(connection, clone_id)
    return None if draft is None else draft.content


def _refuse_taken(connection: Connection, owner: str, name: str) -> None:
    if one(connection, "SELECT 1 FROM clones WHERE owner = ? AND name = ?", (owner, name)) is not None:
        raise NameTaken(f"{owner} already has a clone named {name}")


def _refuse_tier(connection: Connection, clone_id: int, model_tier: int, now_ms: int) -> None:
    allowed = effective(connection, clone_id, now_ms).model_tier
    if model_tier > allowed:
        raise TierExceeded(f"clone {clone_id} may use models up to tier {allowed}, not {model_tier}")


def _clone(row: Row) -> Clone:
    return Clone(**{**dict(row), "is_trading": bool(row["is_trading"])})
