"""The due grid: which tick an account stands at, and one query for everything that is due (03 Cadence; 11, 2).

Sandboxes are spread over their cadence. Races and auditions share one grid without a phase, whose step is the smallest
cadence of their terms: a slower prompt decides at every second, third, … step of it.
"""

from typing import NamedTuple

from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.decisions.runs import Due
from clash_pipeline.storage.sqlite import Connection


class Waiting(NamedTuple):
    """How many runs of one engine and shard wait, the newest tick among them, and how often they were tried before."""

    engine: str
    shard: int
    tick: int
    runs: int
    attempts: int = 0

    def plus(self, other: "Waiting") -> "Waiting":
        """Both together."""
        return Waiting(
            self.engine, self.shard, max(self.tick, other.tick), self.runs + other.runs, self.attempts + other.attempts
        )


def cadence_of(cadence_sec: int, account_kind: str, min_cadence_sec: int) -> int:
    """The cadence that holds: never below the terms of the account, and on the common grid a multiple of its step."""
    step = max(min_cadence_sec, 1)
    return max(cadence_sec, step) if account_kind == "sandbox" else -(-cadence_sec // step) * step


def phase_of(account_id: int, account_kind: str, cadence_sec: int) -> int:
    """Sandboxes are spread over the cadence by account id, in minutes; races and auditions share one grid (03, 11)."""
    return 0 if account_kind != "sandbox" else account_id % max(cadence_sec // 60, 1) * MINUTE_MS


def tick_of(now_ms: int, cadence_sec: int, phase_ms: int) -> int:
    """The newest tick of a grid: floor((now − phase) / cadence) × cadence + phase (03 Cadence)."""
    cadence_ms = cadence_sec * SECOND_MS
    return (now_ms - phase_ms) // cadence_ms * cadence_ms + phase_ms


def due(
    connection: Connection,
    *,
    now_ms: int,
    clone_id: int | None = None,
    account_id: int | None = None,
    engine: str | None = None,
    shard: int = 0,
    shards: int = 1,
) -> list[Due]:
    """The runs of every active account of a trading clone whose present tick was not claimed; missed ticks are gone.

    A tick before the account existed, or outside its window, is never due.
    """
    rows = connection.execute(
        """
        WITH ticking AS (
          SELECT *, (:now - phase_ms) / cadence_ms * cadence_ms + phase_ms AS tick FROM decision_paces
          WHERE (:clone IS NULL OR clone_id = :clone) AND (:account IS NULL OR account_id = :account)
            AND (:engine IS NULL OR engine = :engine) AND account_id % :shards = :shard
        )
        SELECT account_id, clone_id, version_id, branch, symbol, tick, 'due' AS kind, cadence_sec, engine,
               NULL AS run_id, iif(fill_delay_ms > 0, tick + fill_delay_ms, NULL) AS fill_at
        FROM ticking
        WHERE tick >= begins_at AND (ends_at IS NULL OR tick < ends_at)
          AND NOT EXISTS (SELECT 1 FROM decision_runs r WHERE r.account_id = ticking.account_id
                          AND r.branch = ticking.branch AND r.symbol = ticking.symbol AND r.tick = ticking.tick)
        ORDER BY account_id, branch, symbol
        """,
        {
            "now": now_ms, "clone": clone_id, "account": account_id, "engine": engine, "shard": shard,
            "shards": shards,
        },
    )  # fmt: skip
    return [Due._make(row) for row in rows]


def waiting(connection: Connection, *, now_ms: int, shards: int = 1) -> list[Waiting]:
    """What is due, counted by engine and shard: all that a sensor needs to know."""
    rows = connection.execute(
        """
        WITH ticking AS (
          SELECT *, (:now - phase_ms) / cadence_ms * cadence_ms + phase_ms AS tick FROM decision_paces
        )
        SELECT engine, account_id % :shards AS shard, max(tick) AS tick, count(*) AS runs
        FROM ticking
        WHERE tick >= begins_at AND (ends_at IS NULL OR tick < ends_at)
          AND NOT EXISTS (SELECT 1 FROM decision_runs r WHERE r.account_id = ticking.account_id
                          AND r.branch = ticking.branch AND r.symbol = ticking.symbol AND r.tick = ticking.tick)
        GROUP BY engine, shard ORDER BY engine, shard
        """,
        {"now": now_ms, "shards": shards},
    )
    return [Waiting(*row) for row in rows]


def forced(connection: Connection, *, now_ms: int, clone_id: int | None, account_id: int | None) -> list[Due]:
    """A run now for every asset of the open sandboxes of a clone, whatever their state, so that the reason is kept.

    Races and auditions are never forced: no act of a user reaches a frozen account (11, 2).
    """
    rows = connection.execute(
        """
        SELECT a.id AS account_id, a.clone_id, v.id AS version_id, t.branch, t.symbol, :now AS tick, 'forced' AS kind,
               t.cadence_sec, c.engine, NULL AS run_id, NULL AS fill_at
        FROM prop_accounts a
        JOIN clones c ON c.id = a.clone_id
        JOIN clone_versions v ON v.clone_id = a.clone_id AND v.is_active = 1
        JOIN decision_targets t ON t.version_id = v.id
        WHERE a.kind = 'sandbox' AND a.state NOT IN ('completed', 'liquidated') AND a.created_at <= :now
          AND (:clone IS NULL OR a.clone_id = :clone) AND (:account IS NULL OR a.id = :account)
          AND NOT EXISTS (SELECT 1 FROM decision_runs r WHERE r.account_id = a.id AND r.branch = t.branch
                          AND r.symbol = t.symbol AND r.tick = :now)
        ORDER BY a.id, t.branch, t.symbol
        """,
        {"now": now_ms, "clone": clone_id, "account": account_id},
    )
    return [Due._make(row) for row in rows]
