"""The audit of strikes, retirements and careers: A4 strikes, A5 retirement and Hall of Fame."""

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from clash_pipeline.arena import careers, hall_of_fame
from clash_pipeline.economy import pools
from clash_pipeline.prop.differences import Difference
from clash_pipeline.storage.sqlite import Connection, Row


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
