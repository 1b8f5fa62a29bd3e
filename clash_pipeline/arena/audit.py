"""The audit of the Arena before its races: auditions, holds, credits, queue, slots, strikes, retirements, careers.

Reads one snapshot and changes nothing. What can be computed again is: verdicts, strikes and careers. Names of
invariants: A1 auditions, A2 holds and credits, A3 queue and slots, A4 strikes, A5 retirement and Hall of Fame.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

import msgspec

from clash_pipeline import canonical
from clash_pipeline.arena import careers, criteria, facts, hall_of_fame
from clash_pipeline.clones.clones import OPERATOR
from clash_pipeline.economy import pools
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


def demand_is_that_of_the_pools(connection: Connection) -> Iterator[Difference]:
    """A4: what strikes were counted from is what was sold."""
    for race in connection.execute("SELECT DISTINCT race_id FROM clone_demand ORDER BY race_id").fetchall():
        sold = {
            clone_id: (found.tickets, found.foreign)
            for clone_id, found in pools.demand(connection, race["race_id"]).items()
        }
        stored = {
            row["clone_id"]: (row["tickets"], row["by_others"])
            for row in connection.execute("SELECT * FROM clone_demand WHERE race_id = ?", (race["race_id"],))
        }
        for clone_id in sorted(sold.keys() | stored.keys()):
            if sold.get(clone_id) != stored.get(clone_id):
                where = f"clone_demand({race['race_id']}, {clone_id})"
                yield Difference("A4", where, f"says {stored.get(clone_id)}, the tickets say {sold.get(clone_id)}")


def strikes_are_those_of_the_demand(connection: Connection) -> Iterator[Difference]:
    """A4: an unsold strike for each race that sold, with the clone on sale and nothing sold; a sale clears them."""
    demand = connection.execute("SELECT * FROM clone_demand ORDER BY clone_id, race_id").fetchall()
    sold_any = {row["race_id"] for row in demand if row["tickets"]}
    due = {
        (row["clone_id"], row["race_id"])
        for row in demand
        if row["race_id"] in sold_any and row["was_on_sale"] and not row["by_others"]
    }
    given = connection.execute("SELECT * FROM clone_strikes ORDER BY clone_id, race_id, kind").fetchall()
    unsold = {(row["clone_id"], row["race_id"]) for row in given if row["kind"] == "unsold"}
    for clone_id, race_id in sorted(due ^ unsold):
        said = "is missing" if (clone_id, race_id) in due else "is of a race that gave none"
        yield Difference("A4", f"clone_strikes({clone_id}, {race_id}, unsold)", said)
    sales: dict[int, list[int]] = defaultdict(list)
    for row in demand:
        if row["by_others"]:
            sales[row["clone_id"]].append(row["race_id"])
    for row in given:
        first = next((race_id for race_id in sales[row["clone_id"]] if race_id > row["race_id"]), None)
        if row["cleared_by"] != first and row["cleared_by"] != 0:
            where = f"clone_strikes({row['clone_id']}, {row['race_id']}, {row['kind']})"
            yield Difference("A4", where, f"was cleared by race {row['cleared_by']}, the next sale is of {first}")


def the_retired_are_gone(connection: Connection) -> Iterator[Difference]:
    """A5: a retired clone has no slot, no place and no request, and a career if it ever had a slot."""
    rows = connection.execute(
        """
        SELECT r.id, r.clone_id, 'has a slot' AS problem FROM clone_retirements r
        JOIN arena_slots s ON s.clone_id = r.clone_id AND s.left_at IS NULL WHERE r.reinstated_at IS NULL
        UNION ALL SELECT r.id, r.clone_id, 'waits in the queue' FROM clone_retirements r
        JOIN promotion_queue q ON q.clone_id = r.clone_id AND q.state = 'waiting' WHERE r.reinstated_at IS NULL
        UNION ALL SELECT r.id, r.clone_id, 'is asked to be retired' FROM clone_retirements r
        JOIN retirement_requests a ON a.clone_id = r.clone_id AND a.ended_at IS NULL WHERE r.reinstated_at IS NULL
        UNION ALL SELECT r.id, r.clone_id, 'has no entry in the Hall of Fame' FROM clone_retirements r
        WHERE NOT EXISTS (SELECT 1 FROM hall_of_fame h WHERE h.retirement_id = r.id)
          AND EXISTS (SELECT 1 FROM arena_slots s WHERE s.clone_id = r.clone_id AND s.entered_at < r.retired_at)
        """
    )
    for row in rows:
        yield Difference("A5", f"clone_retirements({row['id']})", f"clone {row['clone_id']} {row['problem']}")


def careers_are_frozen(connection: Connection) -> Iterator[Difference]:
    """A5: an entry hashes to its hash and is of its retirement; while that lasts its career can be counted again."""
    rows = connection.execute(
        """
        SELECT h.*, r.clone_id AS retired_clone, r.retired_at AS at, r.reason AS why, r.reinstated_at
        FROM hall_of_fame h JOIN clone_retirements r ON r.id = h.retirement_id ORDER BY h.id
        """
    )
    for row in rows:
        where, columns = f"hall_of_fame({row['id']})", dict(row)
        of_retirement = [columns.pop(name) for name in ("retired_clone", "at", "why", "reinstated_at")]
        if hall_of_fame.seal(columns) != row["hash"]:
            yield Difference("A5", where, "does not hash to its hash")
        if of_retirement[:3] != [row["clone_id"], row["retired_at"], row["reason"]]:
            yield Difference("A5", where, f"is not of retirement {row['retirement_id']}")
        elif row["reinstated_at"] is None and _counted(connection, row) != _plain(careers.decode(row["career"])):
            yield Difference("A5", where, "its career is not what races, slots and tickets make")


def _counted(connection: Connection, row: Row) -> careers.Career:
    return _plain(careers.of(connection, row["clone_id"], now_ms=row["retired_at"]))


def _plain(career: careers.Career) -> careers.Career:
    """Without what the owner of a retired clone may still change."""
    return msgspec.structs.replace(career, engine="", model_tier=None)


CHECKS: tuple[Check, ...] = (
    auditions_are_whole,
    verdicts_are_those_of_the_rules,
    holds_are_those_of_auditions,
    each_audition_was_paid,
    passes_have_places,
    stays_do_not_overlap,
    demand_is_that_of_the_pools,
    strikes_are_those_of_the_demand,
    the_retired_are_gone,
    careers_are_frozen,
)
