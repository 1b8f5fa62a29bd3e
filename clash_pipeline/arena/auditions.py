"""Auditions: submitted once for each purchase, judged by the frozen result of their account, retried, voided (05, 11).

A clone in an audition is held: its version, engine, model and toggles stay as they were submitted. Whether the clone is
the caller's is checked at the door.
"""

from clash_pipeline import canonical
from clash_pipeline.arena import admission, criteria, facts, queue
from clash_pipeline.arena.audition_rows import Audition, every, get, open_of
from clash_pipeline.arena.criteria import Finding, Judge, Verdict
from clash_pipeline.arena.refusals import ArenaConflict, GateClosed
from clash_pipeline.clock import MINUTE_MS, SECOND_MS, minute_of
from clash_pipeline.clones import clones, holds
from clash_pipeline.clones.versions import Version, active_version
from clash_pipeline.economy import credits as audition_credits
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts, policy, results
from clash_pipeline.prop.accounts import Pinned
from clash_pipeline.prop.results import Result
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database, one
from clash_pipeline.units import USD, scaled_text

__all__ = ["Audition", "every", "get", "open_of"]  # of the rows, read through here

ARENA = "arena"
REPEATABLE = frozenset({"failed", "voided"})
AFTER_INSERTED = point("arena.audition.after_inserted")
AFTER_CREDIT = point("arena.audition.after_credit")
AFTER_ACCOUNT = point("arena.audition.after_account")
AFTER_STARTED = point("arena.audition.after_started")
AFTER_JUDGED = point("arena.audition.after_judged")
AFTER_RELEASED = point("arena.audition.after_released")
AFTER_QUEUED = point("arena.audition.after_queued")


# submitting


def submit(connection: Connection, settings: Settings, clone_id: int, *, actor: str, now_ms: int) -> Audition:
    """Enter a clone with the oldest purchase whose audition is unused: row, credit, account and hold, or nothing.

    The audition that runs is answered again.

    Raises:
        GateClosed: names the gate: nothing bought, its audition used, no version, no profile, a slot or a place.
        CloneHeld: a race holds it.
        CloneUnknown: no such clone.
    """
    running = open_of(connection, clone_id)
    if running is not None:
        return running
    if (blocked := admission.audition_gates(connection, clone_id, now_ms)) is not None:
        raise GateClosed(*blocked)
    purchase_id, version = audition_credits.unused(connection, clone_id), active_version(connection, clone_id)
    if purchase_id is None or version is None:
        raise GateClosed("audition_used", f"every audition bought for clone {clone_id} was used")
    holds.refuse_held(connection, clone_id, "its audition")
    audition_id = _insert(connection, settings, version, purchase_id, actor, now_ms)
    fault(AFTER_INSERTED)
    audition_credits.use(connection, purchase_id, audition_id, now_ms=now_ms)
    fault(AFTER_CREDIT)
    _start(connection, settings, get(connection, audition_id), actor, now_ms)
    return get(connection, audition_id)


def retry(connection: Connection, settings: Settings, audition_id: int, *, actor: str, now_ms: int) -> Audition:
    """Audition again after a failed or voided one, with a purchase of its own and the version that is active now.

    The audition that already follows it is answered again.

    Raises:
        ArenaConflict: it runs, or passed.
        ArenaUnknown: no such audition.
        GateClosed, CloneHeld: as for `submit`.
    """
    before = get(connection, audition_id)
    follower: int | None = one(connection, "SELECT id FROM auditions WHERE retry_of = ?", (audition_id,))
    if follower is not None:
        return get(connection, follower)
    if before.state not in REPEATABLE:
        raise ArenaConflict(f"audition {audition_id} is {before.state}: only a failed or voided one is retried")
    return submit(connection, settings, before.clone_id, actor=actor, now_ms=now_ms)


# judging


def has_due(connection: Connection) -> bool:
    """Whether the account of a running audition has ended."""
    return bool(_due(connection))


def evaluate_due(clash: Database, now_ms: int, *, judge: Judge = criteria.judge) -> list[Audition]:
    """Judge every running audition whose account has a frozen result, one transaction each; returns those judged.

    An account that broke its drawdown limit ended at once, and so does its audition.
    """
    with clash.read() as connection:
        due = _due(connection)
    judged = []
    for audition_id in due:
        with clash.write() as connection:
            judged += evaluate(connection, audition_id, now_ms=now_ms, judge=judge)
    return judged


def evaluate(connection: Connection, audition_id: int, *, now_ms: int, judge: Judge = criteria.judge) -> list[Audition]:
    """Judge one, inside the caller's transaction; empty when it is not running, or its account has no result yet."""
    found = get(connection, audition_id)
    result = None if found.account_id is None else results.get(connection, found.account_id)
    if found.state != "running" or result is None:
        return []
    verdict = judge(found.rules, facts.of(connection, result, ends_at=found.ends_at))
    _store_verdict(connection, found, result, verdict, now_ms)
    fault(AFTER_JUDGED)
    release(connection, found, now_ms=now_ms)
    fault(AFTER_RELEASED)
    if verdict.cause is None:
        queue.join(connection, audition_id, found.clone_id, now_ms=now_ms)
        fault(AFTER_QUEUED)
    return [get(connection, audition_id)]


def release(connection: Connection, audition: Audition, *, now_ms: int) -> None:
    """Let go of the clone of an audition that has ended."""
    holds.release(connection, audition.clone_id, "audition", str(audition.id), now_ms=now_ms)


def store_voided(connection: Connection, audition: Audition, *, actor: str, reason: str, now_ms: int) -> None:
    """Mark an open audition as voided.

    Raises:
        ArenaConflict: it moved meanwhile.
    """
    changed = connection.execute(
        """
        UPDATE auditions SET state = 'voided', ended_at = ?, ended_by = ?, reason = ?
        WHERE id = ? AND state IN ('submitted', 'running')
        """,
        (now_ms, actor, reason, audition.id),
    )
    _require_one(changed.rowcount, audition)


# what is underneath


def _due(connection: Connection) -> list[int]:
    rows = connection.execute(
        """
        SELECT a.id FROM auditions a JOIN prop_results r ON r.account_id = a.account_id
        WHERE a.state = 'running' ORDER BY r.ended_at, a.id
        """
    )
    return [row["id"] for row in rows]


def _insert(
    connection: Connection, settings: Settings, version: Version, purchase_id: int, actor: str, now_ms: int
) -> int:
    rules = criteria.fair(settings)
    starts_at = minute_of(now_ms + MINUTE_MS - 1)  # windows are of whole minutes, as marks are
    return int(
        one(
            connection,
            """
            INSERT INTO auditions
              (clone_id, purchase_id, retry_of, version_id, compiled_hash, state, submitted_at, submitted_by, starts_at,
               ends_at, rules, rules_hash)
            VALUES (?, ?, ?, ?, ?, 'submitted', ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (
                version.clone_id, purchase_id, _repeated(connection, version.clone_id), version.id,
                version.compiled_hash, now_ms, actor, starts_at,
                starts_at + settings.audition_length_sec * SECOND_MS, canonical.text(rules), rules.digest,
            ),
        )
    )  # fmt: skip


def _repeated(connection: Connection, clone_id: int) -> int | None:
    """The newest audition of a clone, where it failed or was voided."""
    row = connection.execute(
        "SELECT id, state FROM auditions WHERE clone_id = ? ORDER BY id DESC LIMIT 1", (clone_id,)
    ).fetchone()
    return row["id"] if row is not None and row["state"] in REPEATABLE else None


def _start(connection: Connection, settings: Settings, audition: Audition, actor: str, now_ms: int) -> None:
    clone = clones.get(connection, audition.clone_id)
    account_id = accounts.open_account(
        connection, audition.clone_id, "audition", policy.audition(settings),
        start_balance=settings.start_balance_usd * USD, now_ms=now_ms, actor=actor, parent_id=audition.id,
        starts_at=audition.starts_at, ends_at=audition.ends_at,
        pinned=Pinned(audition.version_id, clone.engine, clone.model_tier),
    )  # fmt: skip
    fault(AFTER_ACCOUNT)
    holds.place(connection, audition.clone_id, "audition", str(audition.id), now_ms=now_ms)
    changed = connection.execute(
        "UPDATE auditions SET state = 'running', account_id = ? WHERE id = ? AND state = 'submitted'",
        (account_id, audition.id),
    )
    _require_one(changed.rowcount, audition)
    fault(AFTER_STARTED)


def _store_verdict(connection: Connection, audition: Audition, result: Result, verdict: Verdict, now_ms: int) -> None:
    said = canonical.text(verdict.findings)
    state = "passed" if verdict.cause is None else "failed"
    changed = connection.execute(
        """
        UPDATE auditions SET state = ?, result_hash = ?, criteria = ?, criteria_hash = ?, cause = ?, ended_at = ?,
                             ended_by = ?, reason = ?
        WHERE id = ? AND state = 'running'
        """,
        (
            state, result.hash, said, canonical.sha256(said.encode()), verdict.cause, now_ms, ARENA,
            _sentence(verdict, result), audition.id,
        ),
    )  # fmt: skip
    _require_one(changed.rowcount, audition)


def _sentence(verdict: Verdict, result: Result) -> str:
    """Why, in one line with figures."""
    missed = next((finding for finding in verdict.findings if finding.criterion == verdict.cause), None)
    if missed is None:
        return "every criterion is met"
    if missed.criterion == "survival":
        return f"survival: the account was {result.state}: {result.reason}"
    return f"{missed.criterion}: {shown(missed, missed.value)}, the bound is {shown(missed, missed.bound)}"


def shown(finding: Finding, value: int | None) -> str:
    """A bound or value of a finding as people read it."""
    if value is None:
        return "nothing to measure"
    if finding.unit == "rate":
        return f"{scaled_text(value, 6)} %"
    return f"{value // 60_000} min" if finding.unit == "ms" else str(value)


def _require_one(changed: int, audition: Audition) -> None:
    if changed != 1:
        raise ArenaConflict(f"audition {audition.id} is no longer {audition.state}")
