"""The Hall of Fame: the career of every clone that had a slot, frozen and hashed when it was retired (05).

A clone that comes back and is retired again has another entry; each covers its whole life up to then.
"""

from dataclasses import dataclass
from typing import Any

from clash_pipeline import canonical
from clash_pipeline.arena import careers, slots
from clash_pipeline.arena.careers import Career
from clash_pipeline.clones import public_profiles
from clash_pipeline.clones.clones import get as clone_of
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row

AFTER_FROZEN = point("arena.hall_of_fame.after_frozen")


@dataclass(frozen=True)
class Entry:
    """One frozen career."""

    id: int
    retirement_id: int
    clone_id: int
    name: str
    retired_at: int
    reason: str
    career: Career
    hash: str


def freeze(connection: Connection, clone_id: int) -> bool:
    """Enter a clone that has just been retired, inside the caller's transaction; False when it never had a slot."""
    if not slots.history(connection, clone_id):
        return False
    retired = connection.execute(
        """
        SELECT id, retired_at, reason FROM clone_retirements
        WHERE clone_id = ? AND reinstated_at IS NULL
        """,
        (clone_id,),
    ).fetchone()
    career = canonical.text(careers.of(connection, clone_id, now_ms=retired["retired_at"]))
    row = {
        "retirement_id": retired["id"], "clone_id": clone_id, "name": _name(connection, clone_id),
        "retired_at": retired["retired_at"], "reason": retired["reason"], "career": career,
    }  # fmt: skip
    connection.execute(
        """
        INSERT INTO hall_of_fame (retirement_id, clone_id, name, retired_at, reason, career, hash)
        VALUES (:retirement_id, :clone_id, :name, :retired_at, :reason, :career, :hash)
        """,
        {**row, "hash": seal(row)},
    )
    fault(AFTER_FROZEN)
    return True


def seal(row: dict[str, Any]) -> str:
    """The hash of an entry: of every column but its id and the hash itself."""
    return canonical.digest({name: value for name, value in row.items() if name not in {"id", "hash"}})


def every(connection: Connection, *, limit: int = 100) -> list[Entry]:
    """The entries, newest first."""
    rows = connection.execute("SELECT * FROM hall_of_fame ORDER BY retired_at DESC, id DESC LIMIT ?", (limit,))
    return [_entry(row) for row in rows]


def of(connection: Connection, clone_id: int) -> list[Entry]:
    """The entries of one clone, newest first."""
    rows = connection.execute("SELECT * FROM hall_of_fame WHERE clone_id = ? ORDER BY id DESC", (clone_id,))
    return [_entry(row) for row in rows]


def _name(connection: Connection, clone_id: int) -> str:
    """The public name; the private one of a clone that lost its profile."""
    shown = public_profiles.shown(connection, clone_id)
    return shown.name if shown else clone_of(connection, clone_id).name


def _entry(row: Row) -> Entry:
    return Entry(**{**dict(row), "career": careers.decode(row["career"])})
