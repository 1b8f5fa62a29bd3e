"""Flags on equity that moves as one: two clones with |ρ| above 0.95 over three races, for an admin to look at (11, 12).

Compared are the steps of equity between the minutes at which both were marked, over the last three settled races that
both started in; levels would be alike for any two that rise. Integers throughout: the bound is asked of the squares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import isqrt

from clash_pipeline import canonical
from clash_pipeline.arena.refusals import ArenaConflict, ArenaUnknown
from clash_pipeline.storage.sqlite import Connection

RACES = 3
RHO_BP = 9_500
WHOLE_BP = 10_000
LEAST_STEPS = 30
"""Fewer steps than this say nothing *(ours)*."""


@dataclass(frozen=True)
class Alike:
    """Two clones, the smaller id first, the races compared, ρ in basis points, and of how many steps."""

    clone_id: int
    other_id: int
    races: tuple[int, ...]
    rho_bp: int
    points: int


@dataclass(frozen=True)
class Flag:
    """A flag as stored."""

    id: int
    clone_id: int
    other_id: int
    race_id: int
    races: str
    rho_bp: int
    points: int
    at: int
    looked_at: int | None
    looked_at_by: str | None
    verdict: str | None


def alike(connection: Connection, race_id: int) -> list[Alike]:
    """The pairs of a settled race whose equity moved as one over their last three common races."""
    started = _started(connection, race_id)
    paths: dict[int, dict[int, int]] = {}
    found = []
    for one, other in combinations(sorted(started), 2):
        common = sorted(started[one].keys() & started[other].keys(), reverse=True)[:RACES]
        if len(common) < RACES:
            continue
        steps: list[tuple[int, int]] = []
        for race in common:
            pair = [started[one][race], started[other][race]]
            for account_id in pair:
                if account_id not in paths:
                    paths[account_id] = _path(connection, account_id)
            steps += _steps(paths[pair[0]], paths[pair[1]])
        rho = correlation(steps)
        if len(steps) >= LEAST_STEPS and rho is not None and abs(rho) > RHO_BP:
            found.append(Alike(one, other, tuple(sorted(common)), rho, len(steps)))
    return found


def correlation(steps: Sequence[tuple[int, int]]) -> int | None:
    """ρ of pairs in basis points, its magnitude rounded down; None where one side never moves."""
    count = len(steps)
    sum_x, sum_y = sum(x for x, _ in steps), sum(y for _, y in steps)
    together = count * sum(x * y for x, y in steps) - sum_x * sum_y
    spread = (count * sum(x * x for x, _ in steps) - sum_x**2) * (count * sum(y * y for _, y in steps) - sum_y**2)
    if spread <= 0:
        return None
    magnitude = isqrt(together**2 * WHOLE_BP**2 // spread)
    return magnitude if together >= 0 else -magnitude


def write(connection: Connection, race_id: int, found: Sequence[Alike], *, now_ms: int) -> None:
    """Raise a flag for each pair, once a race."""
    connection.executemany(
        """
        INSERT INTO equity_flags (clone_id, other_id, race_id, races, rho_bp, points, at) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """,
        [
            (one.clone_id, one.other_id, race_id, canonical.text(one.races), one.rho_bp, one.points, now_ms)
            for one in found
        ],
    )


def newest(connection: Connection, *, limit: int = 100, only_open: bool = False) -> list[Flag]:
    """Flags, the newest first; `only_open` leaves out those somebody looked at."""
    rows = connection.execute(
        """
        SELECT id, clone_id, other_id, race_id, races, rho_bp, points, at, looked_at, looked_at_by, verdict
        FROM equity_flags WHERE NOT ? OR looked_at IS NULL ORDER BY id DESC LIMIT ?
        """,
        (only_open, limit),
    )
    return [Flag(*row) for row in rows]


def get(connection: Connection, flag_id: int) -> Flag:
    """One flag.

    Raises:
        ArenaUnknown: no such flag.
    """
    row = connection.execute(
        """
        SELECT id, clone_id, other_id, race_id, races, rho_bp, points, at, looked_at, looked_at_by, verdict
        FROM equity_flags WHERE id = ?
        """,
        (flag_id,),
    ).fetchone()
    if row is None:
        raise ArenaUnknown(f"there is no equity flag {flag_id}")
    return Flag(*row)


def look_at(connection: Connection, flag_id: int, *, actor: str, verdict: str, now_ms: int) -> bool:
    """Note what an admin made of a flag; False when somebody did before.

    Raises:
        ArenaUnknown: no such flag.
        ArenaConflict: no verdict.
    """
    if not verdict.strip():
        raise ArenaConflict("a flag is looked at with a verdict")
    get(connection, flag_id)
    changed = connection.execute(
        "UPDATE equity_flags SET looked_at = ?, looked_at_by = ?, verdict = ? WHERE id = ? AND looked_at IS NULL",
        (now_ms, actor, verdict.strip(), flag_id),
    )
    return changed.rowcount == 1


def _started(connection: Connection, race_id: int) -> dict[int, dict[int, int]]:
    """Of each starter of a race: its accounts by settled race, up to this one."""
    rows = connection.execute(
        """
        SELECT e.clone_id, e.race_id, e.account_id FROM race_entrants e JOIN races r ON r.id = e.race_id
        WHERE e.rank IS NOT NULL AND r.state IN ('settled', 'archived') AND e.race_id <= ?1
          AND e.clone_id IN (SELECT clone_id FROM race_entrants WHERE race_id = ?1 AND rank IS NOT NULL)
        """,
        (race_id,),
    )
    found: dict[int, dict[int, int]] = {}
    for row in rows:
        found.setdefault(row["clone_id"], {})[row["race_id"]] = row["account_id"]
    return found


def _path(connection: Connection, account_id: int) -> dict[int, int]:
    rows = connection.execute("SELECT t, equity FROM prop_snapshots WHERE account_id = ? ORDER BY t", (account_id,))
    return {row["t"]: row["equity"] for row in rows}


def _steps(one: dict[int, int], other: dict[int, int]) -> list[tuple[int, int]]:
    both = sorted(one.keys() & other.keys())
    return [(one[after] - one[before], other[after] - other[before]) for before, after in pairwise(both)]
