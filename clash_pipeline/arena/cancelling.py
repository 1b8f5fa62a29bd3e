"""Calling a race off, before its launch or while it is live: every ticket is refunded, no strike is given (11, 13).

Every function works inside the caller's transaction.
"""

from clash_pipeline.arena import field, incidents, races
from clash_pipeline.arena.races import Cause, Entrant, Race
from clash_pipeline.economy import settling
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts
from clash_pipeline.storage.sqlite import Connection

AFTER_ACCOUNTS = point("arena.cancel.after_accounts")
AFTER_REFUNDS = point("arena.cancel.after_refunds")
AFTER_RELEASED = point("arena.cancel.after_released")


def cancel(connection: Connection, race: Race, cause: Cause, reason: str, *, actor: str, now_ms: int) -> bool:
    """Cancel a race, refund its tickets and let its clones go; False when it has moved on since it was read.

    Accounts of a live one are locked: nothing trades in them any more, and the fixing ends them with their window.
    """
    if not races.move(connection, race, "cancelled", now_ms=now_ms, actor=actor, reason=reason, cause=cause):
        return False
    entered = races.entrants(connection, race.id)
    for one in entered:
        lock(connection, one, actor=actor, reason=f"race {race.id} is cancelled: {reason}", now_ms=now_ms)
    fault(AFTER_ACCOUNTS)
    starters = [one.clone_id for one in entered if one.is_starter]
    settling.settle_race(connection, race.id, starters, is_cancelled=True, now_ms=now_ms)
    fault(AFTER_REFUNDS)
    field.let_go(connection, race.id, entered, now_ms=now_ms)
    incidents.clear(connection, race.id, now_ms=now_ms)
    fault(AFTER_RELEASED)
    return True


def lock(connection: Connection, one: Entrant, *, actor: str, reason: str, now_ms: int) -> None:
    """Lock the account of an entrant; one that has none, or has ended, stays as it is."""
    if one.account_id is not None and not accounts.get(connection, one.account_id).is_final:
        accounts.move_within(connection, one.account_id, "locked", now_ms=now_ms, actor=actor, reason=reason)
