"""Retirement from the Arena: the slot is freed, the profile kept, the career frozen (05, 11 rule 18).

While an audition or a race holds the clone, the retirement waits as a request: the clone enters no other field, and
`carry_out_due` retires it once nothing holds it. Every function but that one works inside the caller's transaction.
"""

from clash_pipeline.arena import hall_of_fame, queue, requests, slots, strikes
from clash_pipeline.clones import acts, clones, holds, moderation
from clash_pipeline.clones import retirement as retirements
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Database

BY_AN_ADMIN = 0
"""What stands for a race where an admin cleared the strikes."""
AFTER_QUEUE = point("arena.retire.after_queue")
AFTER_RETIRED = point("arena.retire.after_retired")
AFTER_REINSTATED = point("arena.retire.after_reinstated")


def retire(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Retire a clone now, or ask for it where something holds the clone; True when it is retired by this call.

    Raises:
        ProfileInvalid: no reason.
        CloneUnknown: no such clone.
    """
    clones.get(connection, clone_id)
    if retirements.is_retired(connection, clone_id):
        return False
    said = acts.needed_reason(reason, "a retirement")
    if holds.of(connection, clone_id):
        requests.ask(connection, clone_id, actor=actor, reason=said, now_ms=now_ms)
        return False
    _carry_out(connection, clone_id, actor=actor, reason=said, now_ms=now_ms)
    return True


def retire_now(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Retire a clone that nothing holds; False when it is retired already.

    Raises:
        CloneHeld: a running audition or race has to end first.
        ProfileInvalid: no reason.
        CloneUnknown: no such clone.
    """
    if not retirements.is_retired(connection, clone_id):
        holds.refuse_held(connection, clone_id, "its retirement")
    return retire(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)


def waits(connection: Connection, clone_id: int) -> bool:
    """Whether a retirement was asked for that is not carried out yet."""
    return requests.open_of(connection, clone_id) is not None


def due(connection: Connection) -> list[int]:
    """The clones whose retirement waits for nothing any more."""
    return [ask.clone_id for ask in requests.every_open(connection) if not holds.of(connection, ask.clone_id)]


def carry_out_due(clash: Database, now_ms: int) -> list[int]:
    """Retire every clone that was asked to and is held by nothing, one transaction each; returns those retired."""
    with clash.read() as connection:
        found = due(connection)
    retired = []
    for clone_id in found:
        with clash.write() as connection:
            request = requests.open_of(connection, clone_id)
            if request is not None and retire(
                connection, clone_id, actor=request.requested_by, reason=request.reason, now_ms=now_ms
            ):
                retired.append(clone_id)
    return retired


def reinstate(connection: Connection, clone_id: int, *, actor: str, now_ms: int, reason: str = "") -> bool:
    """Take a retirement back, or the request for one; False when there is neither. Strikes begin again at none.

    The clone has no slot: it auditions again, and a house clone is admitted again.

    Raises:
        NameTaken: another clone took the name meanwhile.
        CloneUnknown: no such clone.
    """
    is_withdrawn = requests.end(connection, clone_id, "withdrawn", actor=actor, now_ms=now_ms)
    is_back = moderation.reinstate(connection, clone_id, actor=actor, now_ms=now_ms, reason=reason)
    if is_withdrawn or is_back:
        strikes.clear(connection, clone_id, BY_AN_ADMIN, now_ms=now_ms)
        fault(AFTER_REINSTATED)
    return is_withdrawn or is_back


def _carry_out(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> None:
    place = queue.of(connection, clone_id)
    if place is not None:
        queue.end(connection, place, "left", f"retired: {reason}", now_ms=now_ms)
    fault(AFTER_QUEUE)
    slots.leave(connection, clone_id, f"retired: {reason}", now_ms, actor=actor)
    moderation.retire(connection, clone_id, actor=actor, reason=reason, now_ms=now_ms)
    fault(AFTER_RETIRED)
    hall_of_fame.freeze(connection, clone_id)
    requests.end(connection, clone_id, "retired", actor=actor, now_ms=now_ms)
