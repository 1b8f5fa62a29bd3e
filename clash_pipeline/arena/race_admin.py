"""What an admin may do to a race: take a clone out of its field, or call it off. The row says who and why (11, 11)."""

from clash_pipeline.arena import cancelling, races
from clash_pipeline.arena.races import BEFORE_LAUNCH, CANCELLABLE, Race
from clash_pipeline.arena.refusals import ArenaConflict
from clash_pipeline.clones import holds
from clash_pipeline.economy import pools
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Database

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
    said = _needed(reason)
    with clash.write() as connection:
        race, one = races.get(connection, race_id), races.entrant(connection, race_id, clone_id)
        if one.state == "removed":
            return False
        if race.state not in CANCELLABLE:
            raise ArenaConflict(f"race {race_id} is {race.state}: a clone is taken out of it before its end only")
        connection.execute(
            """
            UPDATE race_entrants SET state = 'removed', removed_at = ?, removed_by = ?, reason = ?
            WHERE race_id = ? AND clone_id = ? AND state <> 'removed'
            """,
            (now_ms, actor, said, race_id, clone_id),
        )
        fault(AFTER_REMOVED)
        if race.state in BEFORE_LAUNCH:
            pools.leave(connection, race_id, clone_id, now_ms=now_ms)
            holds.release(connection, clone_id, "race", str(race_id), now_ms=now_ms)
        else:
            why = f"removed from race {race_id}: {said}"
            cancelling.lock(connection, one, actor=actor, reason=why, now_ms=now_ms)
        fault(AFTER_LEFT)
        return True


def cancel(clash: Database, race_id: int, *, actor: str, reason: str, now_ms: int) -> Race:
    """Call a race off and refund its tickets; one that is cancelled already is answered as it stands.

    Raises:
        ArenaUnknown: no such race.
        ArenaConflict: its end has begun; no reason.
    """
    said = _needed(reason)
    with clash.write() as connection:
        race = races.get(connection, race_id)
        if race.state == "cancelled":
            return race
        if race.state not in CANCELLABLE:
            raise ArenaConflict(f"race {race_id} is {race.state} and cannot be cancelled")
        cancelling.cancel(connection, race, "admin", said, actor=actor, now_ms=now_ms)
        return races.get(connection, race_id)


def _needed(reason: str) -> str:
    if not reason.strip():
        raise ArenaConflict("an act on a race needs a reason")
    return reason.strip()
