"""Rests: a clone keeps its slot and sits out the fields to come, so that its owner can pause or publish (11, 11).

A clone in every race is held without a gap; asked for while it is held, a rest applies to the next field that freezes.
Every function works inside the caller's transaction.
"""

from clash_pipeline.clones import clones
from clash_pipeline.storage.sqlite import Connection, one


def ask(connection: Connection, clone_id: int, *, actor: str, now_ms: int) -> bool:
    """Let a clone sit out from the next field on; False when it was asked for before.

    Raises:
        CloneUnknown: no such clone.
    """
    clones.get(connection, clone_id)
    added = connection.execute(
        "INSERT INTO race_rests (clone_id, asked_by, asked_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (clone_id, actor, now_ms),
    )
    return added.rowcount == 1


def end(connection: Connection, clone_id: int) -> bool:
    """Let it enter the next field again; False when it did not rest.

    Raises:
        CloneUnknown: no such clone.
    """
    clones.get(connection, clone_id)
    return connection.execute("DELETE FROM race_rests WHERE clone_id = ?", (clone_id,)).rowcount == 1


def rests(connection: Connection, clone_id: int) -> bool:
    """Whether a clone sits out the next field."""
    return one(connection, "SELECT 1 FROM race_rests WHERE clone_id = ?", (clone_id,)) is not None
