"""Claims: every run is taken up once, by whichever worker comes first, and passes on when that one is gone (09 §4.9).

A claim ends by time; its token fences every later write. A run that is put back is not taken up before its time, which
stands where the end of a claim stands.
"""

import json
from collections.abc import Iterable, Sequence
from random import Random

from clash_pipeline.clock import HOUR_MS, SECOND_MS
from clash_pipeline.decisions.grid import Waiting
from clash_pipeline.decisions.runs import MAX_ATTEMPTS, Claim, Due, Ended, claim_of
from clash_pipeline.storage.sqlite import Connection

FIRST_BACK_OFF_MS = 5 * SECOND_MS
LONGEST_BACK_OFF_MS = 120 * SECOND_MS
FURTHEST_MS = HOUR_MS
"""No claim and no back-off reaches this far ahead; one that does was made by a clock that has since gone back."""


def claim_all(
    connection: Connection, due: Sequence[Due], *, worker: str, now_ms: int, ttl_ms: int, dagster_run_id: str | None
) -> list[Claim]:
    """Claim runs, new or left behind, inside the caller's transaction; those that somebody else has are left out."""
    rows = connection.execute(
        """
        INSERT INTO decision_runs
          (account_id, clone_id, version_id, branch, symbol, tick, kind, cadence_sec, engine, fill_at, state, reason,
           attempts, claimed_by, claim_token, claimed_until, dagster_run_id, created_at)
        SELECT d.value ->> 0, d.value ->> 1, d.value ->> 2, d.value ->> 3, d.value ->> 4, d.value ->> 5, d.value ->> 6,
               d.value ->> 7, d.value ->> 8, d.value ->> 10, 'queued', 'claimed', 1, :worker, 1, :until, :dagster, :now
        FROM json_each(:due) d WHERE true
        ON CONFLICT (account_id, branch, symbol, tick) DO UPDATE SET
          attempts = attempts + 1, claimed_by = :worker, claim_token = claim_token + 1, claimed_until = :until,
          dagster_run_id = coalesce(:dagster, dagster_run_id)
        WHERE state IN ('queued', 'running') AND NOT claimed_until BETWEEN :now AND :furthest
        RETURNING *
        """,
        {
            "due": json.dumps(due), "worker": worker, "until": now_ms + ttl_ms, "dagster": dagster_run_id,
            "now": now_ms, "furthest": now_ms + FURTHEST_MS,
        },
    )  # fmt: skip
    return sorted((claim_of(row) for row in rows), key=in_order)


def in_order(claim: Claim) -> tuple[int, int, str, str, int]:
    """The order in which a wave is prepared and applied: account, version, branch, symbol, tick."""
    return claim.account_id, claim.version_id, claim.branch, claim.symbol, claim.tick


def renew(connection: Connection, held: Iterable[Claim], *, now_ms: int, ttl_ms: int) -> set[int]:
    """Keep claims for another while; returns the runs that are still ours. The others have passed on or ended."""
    rows = connection.execute(
        """
        UPDATE decision_runs SET claimed_until = :until
        FROM json_each(:held) h
        WHERE decision_runs.id = h.value ->> 0 AND claim_token = h.value ->> 1 AND state IN ('queued', 'running')
        RETURNING id
        """,
        {"held": json.dumps([(claim.run_id, claim.token) for claim in held]), "until": now_ms + ttl_ms},
    )
    return {row["id"] for row in rows}


def put_back(connection: Connection, held: Claim, reason: str, *, not_before: int) -> bool:
    """Give a run back for anybody to take up at `not_before`; False when it has passed to another worker or ended.

    The reason stays on the row, so that a run that is parked in the end says what kept failing.
    """
    changed = connection.execute(
        """
        UPDATE decision_runs SET reason = ?, claim_token = claim_token + 1, claimed_until = ?
        WHERE id = ? AND claim_token = ? AND state IN ('queued', 'running')
        """,
        (reason, not_before - 1, held.run_id, held.token),
    )
    return changed.rowcount == 1


def back_off_ms(attempts: int, chance: Random) -> int:
    """How long a run waits after so many attempts: twice as long each time, between half and all of it."""
    longest = min(FIRST_BACK_OFF_MS * 2 ** (attempts - 1), LONGEST_BACK_OFF_MS)
    return chance.randint(longest // 2, longest)


def has_parked(connection: Connection, *, now_ms: int) -> bool:
    """Whether `park` would find something."""
    found = connection.execute(
        """
        SELECT 1 FROM decision_runs
        WHERE state IN ('queued', 'running') AND attempts >= :limit AND NOT claimed_until BETWEEN :now AND :furthest
        """,
        {"now": now_ms, "limit": MAX_ATTEMPTS, "furthest": now_ms + FURTHEST_MS},
    ).fetchone()
    return found is not None


def park(connection: Connection, *, now_ms: int) -> list[Ended]:
    """End the runs that were taken up too often and never ended, with what kept failing (09 W5)."""
    rows = connection.execute(
        """
        UPDATE decision_runs
        SET state = 'failed', effective = 'hold', finished_at = :now, claim_token = claim_token + 1,
            reason = 'gave_up_after_' || :limit || '_attempts' ||
                     iif(reason IN ('claimed', 'prepared', 'decided'), '', ': ' || reason)
        WHERE state IN ('queued', 'running') AND attempts >= :limit AND NOT claimed_until BETWEEN :now AND :furthest
        RETURNING id, account_id, clone_id, branch, symbol, tick, state, reason, effective
        """,
        {"now": now_ms, "limit": MAX_ATTEMPTS, "furthest": now_ms + FURTHEST_MS},
    )
    return [Ended(*row) for row in rows.fetchall()]


def left_behind(
    connection: Connection,
    *,
    now_ms: int,
    clone_id: int | None = None,
    account_id: int | None = None,
    engine: str | None = None,
    shard: int = 0,
    shards: int = 1,
) -> list[Due]:
    """Runs without a response whose claim has run out, oldest first; those with one are `undelivered`."""
    rows = connection.execute(
        """
        SELECT account_id, clone_id, version_id, branch, symbol, tick, kind, cadence_sec, engine, id AS run_id, fill_at
        FROM decision_runs
        WHERE state IN ('queued', 'running') AND response_hash IS NULL AND attempts < :limit
          AND NOT claimed_until BETWEEN :now AND :furthest
          AND (:clone IS NULL OR clone_id = :clone) AND (:account IS NULL OR account_id = :account)
          AND (:engine IS NULL OR engine = :engine) AND account_id % :shards = :shard
        ORDER BY id
        """,
        {
            "now": now_ms, "furthest": now_ms + FURTHEST_MS, "clone": clone_id, "account": account_id,
            "engine": engine, "shard": shard, "shards": shards, "limit": MAX_ATTEMPTS,
        },
    )  # fmt: skip
    return [Due._make(row) for row in rows]


def left_waiting(connection: Connection, *, now_ms: int, shards: int) -> list[Waiting]:
    """What was left behind, counted by engine and shard."""
    rows = connection.execute(
        """
        SELECT engine, account_id % :shards AS shard, max(tick) AS tick, count(*) AS runs, sum(attempts) AS attempts
        FROM decision_runs
        WHERE state IN ('queued', 'running') AND response_hash IS NULL AND attempts < :limit
          AND NOT claimed_until BETWEEN :now AND :furthest
        GROUP BY engine, shard
        """,
        {"now": now_ms, "furthest": now_ms + FURTHEST_MS, "shards": shards, "limit": MAX_ATTEMPTS},
    )
    return [Waiting(*row) for row in rows]


def undelivered(
    connection: Connection, *, now_ms: int, clone_id: int | None = None, account_id: int | None = None
) -> list[Due]:
    """Runs that have a response, lack an apply, belong to no living worker, and whose time of filling has come."""
    rows = connection.execute(
        """
        SELECT account_id, clone_id, version_id, branch, symbol, tick, kind, cadence_sec, engine, id AS run_id, fill_at
        FROM decision_runs
        WHERE state = 'running' AND response_hash IS NOT NULL AND attempts < :limit AND coalesce(fill_at, 0) <= :now
          AND NOT claimed_until BETWEEN :now AND :furthest
          AND (:clone IS NULL OR clone_id = :clone) AND (:account IS NULL OR account_id = :account)
        ORDER BY id
        """,
        {
            "now": now_ms, "furthest": now_ms + FURTHEST_MS, "clone": clone_id, "account": account_id,
            "limit": MAX_ATTEMPTS,
        },
    )  # fmt: skip
    return [Due._make(row) for row in rows]
