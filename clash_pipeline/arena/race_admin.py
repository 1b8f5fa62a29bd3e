"""What an admin may do to a race: take a clone out of its field, or call it off (11, 11).

Each act is one transaction with its audit row; a refused act is written down as well.
"""

from clash_pipeline.arena import acts, cancelling, races
from clash_pipeline.arena.acts import Order
from clash_pipeline.arena.races import BEFORE_LAUNCH, CANCELLABLE, Entrant, Race
from clash_pipeline.arena.refusals import ArenaConflict
from clash_pipeline.clones import holds
from clash_pipeline.economy import pools
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Database

AFTER_REMOVED = point("arena.remove.after_removed")
AFTER_LEFT = point("arena.remove.after_left")


def remove(clash: Database, race_id: int, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Take a clone out of a field; False when it was taken out before.

    Before launch its tickets are refunded and it is let go; while the race is live its account is locked, its tickets
    stay in the pool, and it ranks after all others.

    Raises:
        ArenaUnknown: no such race, or the clone is not in its field.
        ArenaConflict: the race is over or being settled; no reason.
    """
    order = Order("take_out", actor, reason, now_ms, clone_id, race_id=race_id)
    with acts.refusals(clash, order), clash.write() as connection:
        race, one = races.get(connection, race_id), races.entrant(connection, race_id, clone_id)
        if one.state == "removed":
            acts.record(connection, order, "unchanged")
            return False
        if race.state not in CANCELLABLE:
            raise ArenaConflict(f"race {race_id} is {race.state}: a clone is taken out of it before its end only")
        _take_out(connection, race, one, order)
        acts.record(connection, order, "done", race.state)
        return True


def cancel(clash: Database, race_id: int, *, actor: str, reason: str, now_ms: int) -> Race:
    """Call a race off and refund its tickets; one that is cancelled already is answered as it stands.

    Raises:
        ArenaUnknown: no such race.
        ArenaConflict: its end has begun; no reason.
    """
    order = Order("cancel", actor, reason, now_ms, race_id=race_id)
    with acts.refusals(clash, order), clash.write() as connection:
        race = races.get(connection, race_id)
        if race.state == "cancelled":
            acts.record(connection, order, "unchanged")
            return race
        if race.state not in CANCELLABLE:
            raise ArenaConflict(f"race {race_id} is {race.state} and cannot be cancelled")
        cancelling.cancel(connection, race, "admin", reason.strip(), actor=actor, now_ms=now_ms)
        acts.record(connection, order, "done", race.state)
        return races.get(connection, race_id)


def _take_out(connection: Connection, race: Race, one: Entrant, order: Order) -> None:
    connection.execute(
        """
        UPDATE race_entrants SET state = 'removed', removed_at = ?, removed_by = ?, reason = ?
        WHERE race_id = ? AND clone_id = ? AND state <> 'removed'
        """,
        (order.now_ms, order.actor, order.reason.strip(), race.id, one.clone_id),
    )
    fault(AFTER_REMOVED)
    if race.state in BEFORE_LAUNCH:
        pools.leave(connection, race.id, one.clone_id, now_ms=order.now_ms)
        holds.release(connection, one.clone_id, "race", str(race.id), now_ms=order.now_ms)
    else:
        why = f"removed from race {race.id}: {order.reason.strip()}"
        cancelling.lock(connection, one, actor=order.actor, reason=why, now_ms=order.now_ms)
    fault(AFTER_LEFT)
