"""The audit of what admins do in the Arena: each act with actor, reason and outcome, refused ones too; append-only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from clash_pipeline.arena.refusals import ArenaConflict
from clash_pipeline.clones.refusals import CloneConflict
from clash_pipeline.prop.accounts import StateConflict
from clash_pipeline.storage.errors import StorageError
from clash_pipeline.storage.sqlite import Connection, Database

Act = Literal["void", "admit", "remove", "retire", "reinstate", "take_out", "cancel"]
Outcome = Literal["done", "unchanged", "waits", "refused"]


@dataclass(frozen=True)
class Order:
    """An act: what, by whom, why and when, on a clone, an audition or a race."""

    act: Act
    actor: str
    reason: str
    now_ms: int
    clone_id: int | None = None
    audition_id: int | None = None
    race_id: int | None = None

    def __post_init__(self) -> None:
        if not self.actor.strip() or not self.reason.strip():
            raise ArenaConflict(f"{self.act} needs an actor and a reason")


@dataclass(frozen=True)
class Recorded:
    """One act as stored."""

    id: int
    act: str
    clone_id: int | None
    audition_id: int | None
    race_id: int | None
    actor: str
    reason: str
    outcome: str
    detail: str
    at: int


def record(connection: Connection, order: Order, outcome: Outcome, detail: str = "") -> None:
    """Write an act beside what it did, inside the caller's transaction."""
    connection.execute(
        """
        INSERT INTO arena_acts (act, clone_id, audition_id, race_id, actor, reason, outcome, detail, at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            order.act, order.clone_id, order.audition_id, order.race_id, order.actor, order.reason, outcome, detail,
            order.now_ms,
        ),
    )  # fmt: skip


@contextmanager
def refusals(clash: Database, order: Order) -> Iterator[None]:
    """Write a refusal down, after the transaction that refused was rolled back.

    Raises:
        StorageError: the thread keeps its writes together, so that what refused would take the refusal with it.
    """
    if clash.is_together:
        raise StorageError(f"{order.act} is a transaction of its own: its refusal is kept though it changed nothing")
    try:
        yield
    except (ArenaConflict, CloneConflict, StateConflict) as conflict:
        with clash.write() as connection:
            record(connection, order, "refused", str(conflict))
        raise


def newest(connection: Connection, *, limit: int = 100) -> list[Recorded]:
    """The newest acts, newest first."""
    rows = connection.execute(
        """
        SELECT id, act, clone_id, audition_id, race_id, actor, reason, outcome, detail, at FROM arena_acts
        ORDER BY id DESC LIMIT ?
        """,
        (limit,),
    )
    return [Recorded(*row) for row in rows]
