"""The audit of the Arena before its races: auditions, holds, credits, queue, slots, strikes, retirements, careers.

Reads one snapshot and changes nothing. What can be computed again is: verdicts, strikes and careers. Names of
invariants: A1 auditions, A2 holds and credits, A3 queue and slots, A4 strikes, A5 retirement and Hall of Fame.
"""

from collections.abc import Callable, Iterator

from clash_pipeline import canonical
from clash_pipeline.arena import criteria, facts, retirement_audit
from clash_pipeline.clones.clones import OPERATOR
from clash_pipeline.prop import results
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Database, Row, one

Check = Callable[[Connection], Iterator[Difference]]


def audit(clash: Database) -> tuple[Difference, ...]:
    """Check all of it, on one snapshot of the file."""
    with clash.read() as connection:
        return tuple(difference for check in CHECKS for difference in check(connection))


def auditions_are_whole(connection: Connection) -> Iterator[Difference]:
    """A1: the account and version of an audition are its own, and its rules hash to what was stored."""
    rows = connection.execute(
        """
        SELECT a.*, p.kind, p.parent_id, p.clone_id AS account_clone, p.starts_at AS account_start,
               p.ends_at AS account_end, v.clone_id AS version_clone, v.compiled_hash AS version_hash
        FROM auditions a LEFT JOIN prop_accounts p ON p.id = a.account_id
        LEFT JOIN clone_versions v ON v.id = a.version_id ORDER BY a.id
        """
    )
    for row in rows:
        where = f"auditions({row['id']})"
        account = (row["kind"], row["parent_id"], row["account_clone"], row["account_start"], row["account_end"])
        if account != ("audition", row["id"], row["clone_id"], row["starts_at"], row["ends_at"]):
            yield Difference("A1", where, f"account {row['account_id']} is not that of this audition and window")
        if (row["version_clone"], row["version_hash"]) != (row["clone_id"], row["compiled_hash"]):
            yield Difference("A1", where, f"version {row['version_id']} is of another clone or graph")
        if canonical.sha256(row["rules"].encode()) != row["rules_hash"]:
            yield Difference("A1", where, "its rules do not hash to rules_hash")


def verdicts_are_those_of_the_rules(connection: Connection) -> Iterator[Difference]:
    """A1: a judged audition says what its rules make of the result; a voided one ended its account."""
    for row in connection.execute("SELECT * FROM auditions WHERE ended_at IS NOT NULL ORDER BY id"):
        where, result = f"auditions({row['id']})", results.get(connection, row["account_id"] or 0)
        if result is None:
            yield Difference("A1", where, f"is {row['state']}, and its account has no result")
        elif row["state"] != "voided":
            yield from _verdict(connection, row, result, where)


def _verdict(connection: Connection, row: Row, result: results.Result, where: str) -> Iterator[Difference]:
    if row["result_hash"] != result.hash:
        yield Difference("A1", where, "was judged by another result than that of its account")
    if canonical.sha256(row["criteria"].encode()) != row["criteria_hash"]:
        yield Difference("A1", where, "its criteria do not hash to criteria_hash")
    if (row["state"] == "passed") != (row["cause"] is None):
        yield Difference("A1", where, f"is {row['state']}, and its cause is {row['cause']}")
    if _is_thinned(connection, row):
        return
    again = criteria.judge(criteria.decode(row["rules"]), facts.of(connection, result, ends_at=row["ends_at"]))
    if (canonical.text(again.findings), again.cause) != (row["criteria"], row["cause"]):
        yield Difference("A1", where, f"is {row['state']} for {row['cause']}; its rules say {again.cause}")


def _is_thinned(connection: Connection, row: Row) -> bool:
    """Whether minutes that it was judged on are gone."""
    through = one(connection, "SELECT through_t FROM prop_thinnings WHERE account_id = ?", (row["account_id"],))
    return through is not None and through > row["starts_at"]


def holds_are_those_of_auditions(connection: Connection) -> Iterator[Difference]:
    """A2: a clone is held by an audition exactly while that runs."""
    rows = connection.execute(
        """
        SELECT a.id, 'runs without its hold' AS problem FROM auditions a
        WHERE a.state IN ('submitted', 'running') AND NOT EXISTS (
          SELECT 1 FROM clone_holds h WHERE h.clone_id = a.clone_id AND h.reason = 'audition'
            AND h.ref = CAST(a.id AS TEXT) AND h.released_at IS NULL)
        UNION ALL
        SELECT a.id, 'has ended and still holds its clone' FROM auditions a JOIN clone_holds h
          ON h.reason = 'audition' AND h.ref = CAST(a.id AS TEXT) AND h.released_at IS NULL
        WHERE a.ended_at IS NOT NULL OR h.clone_id <> a.clone_id
        ORDER BY 1
        """
    )
    for row in rows:
        yield Difference("A2", f"auditions({row['id']})", row["problem"])


def each_audition_was_paid(connection: Connection) -> Iterator[Difference]:
    """A2: one granted purchase of the same clone, one used credit, one audition; a voided one was refunded."""
    rows = connection.execute(
        """
        SELECT a.id, 'is not what the credit of its purchase was used by' AS problem FROM auditions a
        LEFT JOIN audition_credits c ON c.purchase_id = a.purchase_id AND c.used_by = a.id AND c.clone_id = a.clone_id
        LEFT JOIN purchases p ON p.id = a.purchase_id AND p.clone_id = a.clone_id AND p.state = 'granted'
        WHERE c.purchase_id IS NULL OR p.id IS NULL
        UNION ALL
        SELECT c.used_by, 'is not there, and the credit of purchase ' || c.purchase_id || ' was used by it'
        FROM audition_credits c LEFT JOIN auditions a ON a.id = c.used_by
        WHERE c.used_by IS NOT NULL AND a.id IS NULL
        UNION ALL
        SELECT a.id, 'is voided and was not refunded' FROM auditions a
        WHERE a.state = 'voided' AND NOT EXISTS (
          SELECT 1 FROM payables y WHERE y.kind = 'refund' AND y.purchase_id = a.purchase_id)
        ORDER BY 1
        """
    )
    for row in rows:
        yield Difference("A2", f"auditions({row['id']})", row["problem"])


def passes_have_places(connection: Connection) -> Iterator[Difference]:
    """A3: one place for each pass, one stay for each admission."""
    rows = connection.execute(
        """
        SELECT 'auditions(' || a.id || ')' AS row, 'passed and has no place in the queue' AS problem
        FROM auditions a LEFT JOIN promotion_queue q ON q.audition_id = a.id AND q.clone_id = a.clone_id
        WHERE a.state = 'passed' AND q.id IS NULL
        UNION ALL
        SELECT 'promotion_queue(' || q.id || ')', 'its audition did not pass'
        FROM promotion_queue q JOIN auditions a ON a.id = q.audition_id WHERE a.state <> 'passed'
        UNION ALL
        SELECT 'promotion_queue(' || q.id || ')', 'passed before its audition was judged'
        FROM promotion_queue q JOIN auditions a ON a.id = q.audition_id WHERE q.passed_at < a.ended_at
        UNION ALL
        SELECT 'promotion_queue(' || q.id || ')', 'was admitted and has no slot'
        FROM promotion_queue q LEFT JOIN arena_slots s ON s.queue_id = q.id AND s.clone_id = q.clone_id
        WHERE q.state = 'admitted' AND s.id IS NULL
        UNION ALL
        SELECT 'arena_slots(' || s.id || ')', 'entered from a place that was not admitted'
        FROM arena_slots s LEFT JOIN promotion_queue q
          ON q.id = s.queue_id AND q.state = 'admitted' AND q.clone_id = s.clone_id
        WHERE s.queue_id IS NOT NULL AND q.id IS NULL
        """
    )
    for row in rows:
        yield Difference("A3", row["row"], row["problem"])


def stays_do_not_overlap(connection: Connection) -> Iterator[Difference]:
    """A3: a slot has one clone at a time, a clone one slot; without a pass only house clones enter."""
    rows = connection.execute(
        """
        SELECT 'arena_slots(' || b.id || ')' AS row, 'overlaps with stay ' || a.id AS problem
        FROM arena_slots a JOIN arena_slots b ON b.id > a.id AND (b.slot_no = a.slot_no OR b.clone_id = a.clone_id)
        WHERE b.entered_at < coalesce(a.left_at, b.entered_at + 1)
          AND a.entered_at < coalesce(b.left_at, a.entered_at + 1)
        UNION ALL
        SELECT 'arena_slots(' || s.id || ')', 'is of a clone of ' || c.owner || ' that passed no audition'
        FROM arena_slots s JOIN clones c ON c.id = s.clone_id WHERE s.queue_id IS NULL AND c.owner <> ?
        """,
        (OPERATOR,),
    )
    for row in rows:
        yield Difference("A3", row["row"], row["problem"])


CHECKS: tuple[Check, ...] = (
    auditions_are_whole,
    verdicts_are_those_of_the_rules,
    holds_are_those_of_auditions,
    each_audition_was_paid,
    passes_have_places,
    stays_do_not_overlap,
    retirement_audit.demand_is_that_of_the_pools,
    retirement_audit.strikes_are_those_of_the_demand,
    retirement_audit.the_retired_are_gone,
    retirement_audit.careers_are_frozen,
)
