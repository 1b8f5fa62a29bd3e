"""Races as rows: what one is, the field it froze, and its moves, each once and guarded by the state it came from.

What happens at a move is in `opening`, `course`, `finishing` and `cancelling`. Every function works inside the caller's
transaction.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec

from clash_pipeline.arena import race_rules
from clash_pipeline.arena.race_rules import RaceRules
from clash_pipeline.arena.refusals import ArenaUnknown
from clash_pipeline.storage.sqlite import Connection, Row

State = Literal["accumulating", "launching", "live", "settling", "settled", "archived", "cancelled"]
Cause = Literal["few_starters", "market_halted", "launch_late", "admin"]
BEFORE_LAUNCH: Final[frozenset[str]] = frozenset({"accumulating", "launching"})
CANCELLABLE: Final[frozenset[str]] = BEFORE_LAUNCH | {"live"}
ORDER: Final = ("accumulating", "launching", "live", "settling", "settled", "archived", "cancelled")
OVER: Final[frozenset[str]] = frozenset({"archived", "cancelled"})
REVEALED: Final[frozenset[str]] = frozenset({"settled", "archived", "cancelled"})
"""Where fills and positions are public (11, 10)."""


@dataclass(frozen=True)
class Race:
    """A race as stored; times in ms."""

    id: int
    state: str
    starts_at: int
    ends_at: int
    sales_open_at: int
    sales_close_at: int
    hidden_from: int
    rules: RaceRules
    rules_hash: str
    universe: tuple[str, ...]
    passed_over: tuple["PassedOver", ...]
    launched_at: int | None
    settling_at: int | None
    settled_at: int | None
    archived_at: int | None
    cancelled_at: int | None
    cause: str | None
    reason: str | None
    result_hash: str | None


class PassedOver(NamedTuple):
    """A clone in a slot that a field left out, and why."""

    clone_id: int
    code: str
    sentence: str


@dataclass(frozen=True)
class Entrant:
    """A clone of a field as frozen, and how it finished; amounts in 1e-8 USD, rates in 1e-8."""

    race_id: int
    clone_id: int
    slot_no: int
    slot_entered_at: int
    owner: str
    creator: int | None
    version_id: int
    compiled_hash: str
    engine: str
    model_tier: int
    state: str = "frozen"
    account_id: int | None = None
    removed_at: int | None = None
    removed_by: str | None = None
    reason: str | None = None
    rank: int | None = None
    standing: str | None = None
    final_equity: int | None = None
    max_drawdown: int | None = None
    ended_at: int | None = None
    gross_share: int | None = None
    fills: int | None = None
    result_hash: str | None = None

    @property
    def is_starter(self) -> bool:
        """Whether it was launched, removed since or not."""
        return self.account_id is not None


class Move(NamedTuple):
    """An arrow that was taken."""

    state: str
    at: int
    actor: str
    reason: str


# reading


def get(connection: Connection, race_id: int) -> Race:
    """One race.

    Raises:
        ArenaUnknown: no such race.
    """
    row = connection.execute("SELECT * FROM races WHERE id = ?", (race_id,)).fetchone()
    if row is None:
        raise ArenaUnknown(f"there is no race {race_id}")
    return _race(row)


def last(connection: Connection) -> Race | None:
    """The race with the highest number."""
    row = connection.execute("SELECT * FROM races ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else _race(row)


def newest(connection: Connection, *, limit: int, before: int = 2**62) -> list[Race]:
    """Races by number, the newest first."""
    rows = connection.execute("SELECT * FROM races WHERE id < ? ORDER BY id DESC LIMIT ?", (before, limit))
    return [_race(row) for row in rows]


def open_ones(connection: Connection) -> list[Race]:
    """Every race that is not over, by number."""
    rows = connection.execute("SELECT * FROM races WHERE state NOT IN ('archived', 'cancelled') ORDER BY id")
    return [_race(row) for row in rows]


def entrants(connection: Connection, race_id: int) -> list[Entrant]:
    """The field by slot, removed clones too."""
    rows = connection.execute(
        """
        SELECT race_id, clone_id, slot_no, slot_entered_at, owner, creator, version_id, compiled_hash, engine,
               model_tier, state, account_id, removed_at, removed_by, reason, rank, class, final_equity, max_drawdown,
               ended_at, gross_share, fills, result_hash
        FROM race_entrants WHERE race_id = ? ORDER BY slot_no, clone_id
        """,
        (race_id,),
    )
    return [Entrant(*row) for row in rows]


def entrant(connection: Connection, race_id: int, clone_id: int) -> Entrant:
    """One clone of a field.

    Raises:
        ArenaUnknown: it is not in the field.
    """
    found = next((one for one in entrants(connection, race_id) if one.clone_id == clone_id), None)
    if found is None:
        raise ArenaUnknown(f"clone {clone_id} is not in the field of race {race_id}")
    return found


def moves(connection: Connection, race_id: int) -> list[Move]:
    """The arrows that a race took, oldest first."""
    rows = connection.execute("SELECT state, at, actor, reason FROM race_moves WHERE race_id = ?", (race_id,))
    return sorted((Move(*row) for row in rows), key=lambda one: ORDER.index(one.state))


def move(
    connection: Connection, race: Race, state: State, *, now_ms: int, actor: str, reason: str = "",
    cause: Cause | None = None, result_hash: str | None = None,
) -> bool:  # fmt: skip
    """Take one arrow; False when the race has left the state it was read in, and nothing was written."""
    changed = connection.execute(
        """
        UPDATE races SET
          state = :state,
          launched_at = iif(:state = 'live', :now, launched_at),
          settling_at = iif(:state = 'settling', :now, settling_at),
          settled_at = iif(:state = 'settled', :now, settled_at),
          archived_at = iif(:state = 'archived', :now, archived_at),
          cancelled_at = iif(:state = 'cancelled', :now, cancelled_at),
          cause = :cause,
          reason = iif(:state = 'cancelled', :reason, NULL),
          result_hash = coalesce(:result, result_hash)
        WHERE id = :id AND state = :from
        """,
        {
            "state": state, "now": now_ms, "cause": cause, "reason": reason, "result": result_hash, "id": race.id,
            "from": race.state,
        },
    )  # fmt: skip
    if changed.rowcount != 1:
        return False
    note(connection, race.id, state, now_ms=now_ms, actor=actor, reason=reason)
    return True


def note(connection: Connection, race_id: int, state: State, *, now_ms: int, actor: str, reason: str) -> None:
    """Write down an arrow."""
    connection.execute(
        "INSERT INTO race_moves (race_id, state, at, actor, reason) VALUES (?, ?, ?, ?, ?)",
        (race_id, state, now_ms, actor, reason),
    )


def _race(row: Row) -> Race:
    stored = dict(row)
    return Race(
        **{
            **stored,
            "rules": race_rules.decode(row["rules"]),
            "universe": tuple(msgspec.json.decode(row["universe"])),
            "passed_over": tuple(PassedOver(*one) for one in msgspec.json.decode(row["passed_over"])),
        }
    )
