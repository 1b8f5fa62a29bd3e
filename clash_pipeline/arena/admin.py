"""What an admin may do to auditions, slots and clones: each act in one transaction with its audit row.

The same act twice is one; a refused act is written down as well.
"""

from clash_pipeline.arena import acts, auditions, entry, retirement
from clash_pipeline.arena.acts import Order, Outcome
from clash_pipeline.arena.auditions import Audition
from clash_pipeline.arena.refusals import ArenaConflict
from clash_pipeline.economy import refunds
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts
from clash_pipeline.prop import admin as prop_admin
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

AFTER_ENDED = point("arena.void.after_account_ended")
AFTER_VOIDED = point("arena.void.after_voided")
AFTER_REFUND = point("arena.void.after_refund")


def void(
    clash: Database, execution: ExecutionVenue, audition_id: int, *, actor: str, reason: str, now_ms: int
) -> Audition:
    """Call an audition off: its account ends, the clone is let go, the purchase is refunded; all of it or nothing.

    What refuses to end the account undoes all that was written, and is kept as a refusal of this act.

    Raises:
        ArenaUnknown: no such audition.
        ArenaConflict: it was judged; no reason. StateConflict: its window is over and the fixing ends its account.
    """
    order = Order("void", actor, reason, now_ms, audition_id=audition_id)
    with acts.refusals(clash, order), clash.together() as connection:
        found = auditions.get(connection, audition_id)
        if found.state == "voided":
            acts.record(connection, order, "unchanged")
            return found
        if not found.is_open:
            raise ArenaConflict(f"audition {audition_id} is {found.state} and cannot be voided")
        _end_account(clash, execution, connection, found, order)
        fault(AFTER_ENDED)
        _void(connection, found, order)
        acts.record(connection, order, "done", f"{found.state}>voided")
        return auditions.get(connection, audition_id)


def admit(clash: Database, settings: Settings, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Put a house clone into a free slot; False when it has one.

    Raises:
        ArenaConflict: not a house clone, no slot free, a gate fails; no reason.
        CloneUnknown: no such clone.
    """
    order = Order("admit", actor, reason, now_ms, clone_id)
    with acts.refusals(clash, order), clash.write() as connection:
        done = entry.admit(connection, settings, clone_id, actor=actor, now_ms=now_ms)
        acts.record(connection, order, "done" if done else "unchanged")
        return done


def remove(clash: Database, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Free the slot of a clone; False when it has none.

    Raises:
        ArenaConflict: no reason.
        CloneUnknown: no such clone.
    """
    order = Order("remove", actor, reason, now_ms, clone_id)
    with acts.refusals(clash, order), clash.write() as connection:
        done = entry.remove(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)
        acts.record(connection, order, "done" if done else "unchanged")
        return done


def retire(clash: Database, clone_id: int, *, actor: str, reason: str, now_ms: int) -> Outcome:
    """Retire a clone, or let its retirement wait for the race or audition that holds it; says which.

    Raises:
        ArenaConflict: no reason.
        CloneUnknown: no such clone.
    """
    with clash.write() as connection:
        return retire_within(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)


def retire_within(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> Outcome:
    """The same inside the caller's transaction."""
    order = Order("retire", actor, reason, now_ms, clone_id)
    is_done = retirement.retire(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)
    still = "waits" if retirement.waits(connection, clone_id) else "unchanged"
    outcome: Outcome = "done" if is_done else still  # type: ignore[assignment]
    acts.record(connection, order, outcome)
    return outcome


def reinstate(clash: Database, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Take a retirement back, or the request for one; False when there is neither.

    Raises:
        NameTaken: another clone took the name meanwhile.
        ArenaConflict: no reason.
        CloneUnknown: no such clone.
    """
    order = Order("reinstate", actor, reason, now_ms, clone_id)
    with acts.refusals(clash, order), clash.write() as connection:
        return reinstate_within(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)


def reinstate_within(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """The same inside the caller's transaction."""
    order = Order("reinstate", actor, reason, now_ms, clone_id)
    done = retirement.reinstate(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)
    acts.record(connection, order, "done" if done else "unchanged")
    return done


def _end_account(
    clash: Database, execution: ExecutionVenue, connection: Connection, found: Audition, order: Order
) -> None:
    if found.account_id is not None and not accounts.get(connection, found.account_id).is_final:
        reason = f"audition {found.id} voided: {order.reason}"
        prop_admin.complete(clash, execution, found.account_id, actor=order.actor, reason=reason, now_ms=order.now_ms)


def _void(connection: Connection, found: Audition, order: Order) -> None:
    auditions.store_voided(connection, found, actor=order.actor, reason=order.reason, now_ms=order.now_ms)
    auditions.release(connection, found, now_ms=order.now_ms)
    fault(AFTER_VOIDED)
    refunds.refund_granted(
        connection, found.purchase_id, actor=order.actor, reason=f"audition {found.id} voided", now_ms=order.now_ms
    )
    fault(AFTER_REFUND)
