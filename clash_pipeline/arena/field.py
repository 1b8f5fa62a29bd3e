"""The field of a race: which occupants of slots enter it, frozen with version and toggles when sales open (11, 11, 12).

An occupant that a gate keeps out, that does not trade, or whose owner or compiled graph is in the field already, sits
this race out, with the reason stored. Of two that exclude each other the one with the earlier slot entry races.
"""

from dataclasses import astuple

from clash_pipeline.arena import admission, slots
from clash_pipeline.arena.admission import Blocked
from clash_pipeline.arena.races import Entrant, PassedOver
from clash_pipeline.arena.slots import Occupant
from clash_pipeline.clones import clones, holds
from clash_pipeline.clones.clones import OPERATOR, Clone
from clash_pipeline.clones.versions import active_version
from clash_pipeline.economy.pools import PoolClone
from clash_pipeline.storage.sqlite import Connection

_USER = "user:"


def select(connection: Connection, race_id: int, now_ms: int) -> tuple[list[Entrant], list[PassedOver]]:
    """Who enters, by slot, and who sits out."""
    entered: list[Entrant] = []
    sits_out: list[PassedOver] = []
    for occupant in sorted(slots.occupants(connection), key=lambda one: (one.entered_at, one.clone_id)):
        clone = clones.get(connection, occupant.clone_id)
        blocked = admission.gates(connection, clone.id, now_ms) or _excluded(connection, clone, entered)
        if blocked is not None:
            sits_out.append(PassedOver(clone.id, *blocked))
        else:
            entered.append(_entrant(connection, race_id, clone, occupant))
    return sorted(entered, key=lambda one: one.slot_no), sits_out


def freeze(connection: Connection, race_id: int, entered: list[Entrant], *, now_ms: int) -> None:
    """Write the field down and hold every clone of it."""
    connection.executemany(
        """
        INSERT INTO race_entrants
          (race_id, clone_id, slot_no, slot_entered_at, owner, creator, version_id, compiled_hash, engine, model_tier,
           state)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [astuple(one)[:11] for one in entered],
    )
    for one in entered:
        holds.place(connection, one.clone_id, "race", str(race_id), now_ms=now_ms)


def let_go(connection: Connection, race_id: int, entered: list[Entrant], *, now_ms: int) -> None:
    """Release what the race holds; a clone that was let go before stays as it is."""
    for one in entered:
        holds.release(connection, one.clone_id, "race", str(race_id), now_ms=now_ms)


def on_sale(entered: list[Entrant]) -> list[PoolClone]:
    """The field as the pool knows it."""
    return [PoolClone(one.clone_id, one.creator) for one in entered]


def creator_of(owner: str) -> int | None:
    """The user behind an owner; None for the house."""
    return int(owner.removeprefix(_USER)) if owner.startswith(_USER) else None


def _excluded(connection: Connection, clone: Clone, entered: list[Entrant]) -> Blocked | None:
    """What keeps a clone out beside the gates: it is paused, or another one races for its owner or by its graph."""
    if not clone.is_trading:
        return Blocked("not_trading", f"clone {clone.id} is paused")
    version = active_version(connection, clone.id)
    for one in entered:
        if clone.owner != OPERATOR and one.owner == clone.owner:
            return Blocked("owner_races", f"clone {one.clone_id} of the same owner races")
        if version is not None and one.compiled_hash == version.compiled_hash:
            return Blocked("graph_races", f"clone {one.clone_id} with the same compiled graph races")
    return None


def _entrant(connection: Connection, race_id: int, clone: Clone, occupant: Occupant) -> Entrant:
    version = active_version(connection, clone.id)
    assert version is not None, "a gate lets no clone pass without an active version"
    return Entrant(
        race_id, clone.id, occupant.slot_no, occupant.entered_at, clone.owner, creator_of(clone.owner), version.id,
        version.compiled_hash, clone.engine, clone.model_tier,
    )  # fmt: skip
