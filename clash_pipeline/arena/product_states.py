"""The product state of a clone with everything the Arena knows of it: audition, queue, slot, race (02)."""

from dataclasses import replace
from typing import Literal

from clash_pipeline.arena import queue, slots
from clash_pipeline.clones import holds, product_state
from clash_pipeline.clones.product_state import ProductFacts, ProductState
from clash_pipeline.storage.sqlite import Connection


def of(connection: Connection, clone_id: int) -> ProductState:
    """The one state of a clone."""
    return product_state.product_state(facts(connection, clone_id))


def facts(connection: Connection, clone_id: int) -> ProductFacts:
    """What the state follows from. A pass counts while the clone waits; used up or expired, it is gone."""
    standing = {hold.reason for hold in holds.of(connection, clone_id)}
    return replace(
        product_state.own_facts(connection, clone_id),
        has_open_audition="audition" in standing,
        last_audition=_last_audition(connection, clone_id),
        has_slot=slots.of(connection, clone_id) is not None,
        is_racing="race" in standing,
    )


def _last_audition(connection: Connection, clone_id: int) -> Literal["passed", "failed", "voided"] | None:
    row = connection.execute(
        """
        SELECT state FROM auditions WHERE clone_id = ? AND state IN ('passed', 'failed', 'voided')
        ORDER BY id DESC LIMIT 1
        """,
        (clone_id,),
    ).fetchone()
    if row is None or (row["state"] == "passed" and queue.of(connection, clone_id) is None):
        return None
    state: Literal["passed", "failed", "voided"] = row["state"]
    return state
