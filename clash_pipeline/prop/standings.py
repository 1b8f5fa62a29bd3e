"""Standings: what each account was worth at its newest mark, and its place by return. Shows, pays nobody."""

from dataclasses import dataclass, replace
from typing import Literal

from clash_pipeline.storage.sqlite import Connection, Row
from clash_pipeline.units import RATE, Rounding, mul_div

Kind = Literal["sandbox", "audition", "race"]


@dataclass(frozen=True)
class Standing:
    """One account; amounts in 1e-8 USD, rates in 1e-8; `place` counts from 1.

    `marked_at` is None before the first mark, when equity is the balance. Without a `public_name`, which is the
    approved one, nothing of the clone is for everybody.
    """

    account_id: int
    clone_id: int
    kind: str
    state: str
    clone_name: str
    owner: str
    public_name: str | None
    engine: str
    start_balance: int
    equity: int
    max_drawdown: int
    positions: int
    marked_at: int | None
    is_halted: bool
    is_retired: bool
    place: int = 0

    @property
    def return_rate(self) -> int:
        """Equity over the starting balance, less one."""
        return mul_div(self.equity - self.start_balance, RATE, self.start_balance, Rounding.FLOOR)


def public(connection: Connection, *, kind: Kind = "sandbox", limit: int = 100) -> list[Standing]:
    """The running accounts of a kind whose clones have an approved profile and are not retired, best first."""
    seen = [
        standing
        for standing in everything(connection, kind=kind)
        if standing.public_name is not None and not standing.is_retired
    ]
    return _placed(seen)[:limit]


def everything(connection: Connection, *, kind: Kind | None = None, only_running: bool = True) -> list[Standing]:
    """Every account, of one kind or of all, for operators: best first. One that has ended stands at its balance."""
    rows = connection.execute(_STANDINGS, {"kind": kind, "only_running": int(only_running)})
    return _placed([_standing(row) for row in rows])


@dataclass(frozen=True)
class Halt:
    """A kill switch that is thrown for all accounts."""

    actor: str
    reason: str
    halted_at: int


def halt_of_all(connection: Connection) -> Halt | None:
    """The kill switch of all accounts while it is thrown."""
    row = connection.execute(
        "SELECT actor, reason, halted_at FROM prop_halts WHERE account_id IS NULL AND released_at IS NULL"
    ).fetchone()
    return None if row is None else Halt(*row)


def _placed(found: list[Standing]) -> list[Standing]:
    """By return, then by the smaller drawdown, then by age."""
    ranked = sorted(found, key=lambda one: (-one.return_rate, one.max_drawdown, one.account_id))
    return [replace(standing, place=place) for place, standing in enumerate(ranked, start=1)]


_STANDINGS = """
    SELECT a.id AS account_id, a.clone_id, a.kind, a.state, c.name AS clone_name, c.owner,
           (SELECT p.name FROM clone_profiles p WHERE p.clone_id = a.clone_id AND p.state = 'approved'
            ORDER BY p.id DESC LIMIT 1) AS public_name,
           c.engine, a.start_balance,
           iif(a.state IN ('completed', 'liquidated') OR s.t IS NULL, a.balance, s.equity) AS equity,
           coalesce(s.max_drawdown, 0) AS max_drawdown, coalesce(s.positions, 0) AS positions, s.marked_at,
           EXISTS (SELECT 1 FROM prop_halts h WHERE h.released_at IS NULL
                   AND (h.account_id IS NULL OR h.account_id = a.id)) AS is_halted,
           EXISTS (SELECT 1 FROM clone_retirements r
                   WHERE r.clone_id = a.clone_id AND r.reinstated_at IS NULL) AS is_retired
    FROM prop_accounts a
    JOIN clones c ON c.id = a.clone_id
    LEFT JOIN prop_snapshots s ON s.account_id = a.id
      AND s.t = (SELECT max(t) FROM prop_snapshots WHERE account_id = a.id)
    WHERE (:kind IS NULL OR a.kind = :kind)
      AND (NOT :only_running OR a.state NOT IN ('completed', 'liquidated'))
"""


def _standing(row: Row) -> Standing:
    return Standing(**{**dict(row), "is_halted": bool(row["is_halted"]), "is_retired": bool(row["is_retired"])})
