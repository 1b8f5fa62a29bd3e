"""Entering the Arena: `sync` fills free slots from the queue, an admin admits house clones and removes any clone.

Everything is idempotent: run twice, nothing changes the second time.
"""

from dataclasses import dataclass, field

from clash_pipeline.arena import admission, queue, slots
from clash_pipeline.arena.admission import Blocked
from clash_pipeline.arena.queue import Place
from clash_pipeline.arena.refusals import ArenaConflict, GateClosed
from clash_pipeline.arena.slots import Occupant
from clash_pipeline.clock import SECOND_MS, iso
from clash_pipeline.clones import clones, retirement
from clash_pipeline.clones.clones import OPERATOR
from clash_pipeline.faults import fault, point
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

ARENA = "arena"
AFTER_EXPIRED = point("arena.sync.after_expired")
AFTER_ADMITTED = point("arena.sync.after_admitted")
AFTER_ENTERED = point("arena.sync.after_entered")


@dataclass
class Synced:
    """What a sync did, and what it passed over; `noted` counts rows whose reason or clock changed."""

    admitted: list[Occupant] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)
    freed: list[int] = field(default_factory=list)
    passed_over: dict[int, Blocked] = field(default_factory=dict)
    noted: int = 0
    free: int = 0

    @property
    def has_changed(self) -> bool:
        """Whether anything was written."""
        return bool(self.admitted or self.expired or self.freed or self.noted)


def sync(clash: Database, settings: Settings, now_ms: int) -> Synced:
    """Admit from the queue while slots are free, in one transaction.

    A clone whose gate fails keeps its place and is passed over, with the reason in its row. It is the head of the queue
    while nobody who could enter waits before it; a head that was passed over for too long expires (11, 19).
    """
    with clash.write() as connection:
        return sync_within(connection, settings, now_ms)


def sync_within(connection: Connection, settings: Settings, now_ms: int) -> Synced:
    """The same inside the caller's transaction."""
    done = Synced(freed=_free_retired(connection, now_ms))
    numbers = slots.free(slots.occupants(connection), settings.arena_slots)
    is_head = True
    for place in queue.waiting(connection):
        blocked = admission.entry_gates(connection, place.clone_id, now_ms)
        if blocked is not None:
            _pass_over(connection, place, blocked, is_head, settings, now_ms, done)
        elif numbers:
            done.admitted.append(_admit(connection, place, numbers.pop(0), now_ms))
        else:
            is_head = False
            done.noted += queue.note(connection, place, None, blocked_at=None, head_since=None)
    done.free = len(numbers)
    return done


def is_due(connection: Connection, settings: Settings, now_ms: int) -> bool:
    """Whether `sync` would change something now; nothing is written."""
    if _retired_occupants(connection):
        return True
    has_room = bool(slots.free(slots.occupants(connection), settings.arena_slots))
    is_head = True
    for place in queue.waiting(connection):
        blocked = admission.entry_gates(connection, place.clone_id, now_ms)
        if blocked is None and (has_room or place.blocked is not None):
            return True
        if blocked is not None:
            is_expired = is_head and _is_expired(place, settings, now_ms)
            if is_expired or blocked != place.blocked or is_head != (place.head_since is not None):
                return True
        is_head = is_head and blocked is not None
    return False


def is_wanted(connection: Connection, now_ms: int) -> bool:
    """Whether anybody waits who could take a slot: then the least demanded slot takes a strike (11, 18)."""
    return any(admission.entry_gates(connection, place.clone_id, now_ms) is None for place in queue.waiting(connection))


def admit(connection: Connection, settings: Settings, clone_id: int, *, actor: str, now_ms: int) -> bool:
    """Put a house clone into a free slot without an audition; False when it has a slot already.

    Raises:
        ArenaConflict: it is somebody's clone, or no slot is free.
        GateClosed: a gate of admission fails.
        CloneUnknown: no such clone.
    """
    clone = clones.get(connection, clone_id)
    if slots.of(connection, clone_id):
        return False
    if clone.owner != OPERATOR:
        raise ArenaConflict(f"clone {clone_id} is of {clone.owner}: only house clones enter without an audition")
    if (blocked := admission.entry_gates(connection, clone_id, now_ms)) is not None:
        raise GateClosed(*blocked)
    numbers = slots.free(slots.occupants(connection), settings.arena_slots)
    if not numbers:
        raise ArenaConflict(f"all {settings.arena_slots} slots are taken")
    slots.enter(connection, clone_id, numbers[0], actor=actor, now_ms=now_ms)
    return True


def remove(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Free the slot of a clone; False when it has none. A race whose field it is in goes on with it.

    Raises:
        CloneUnknown: no such clone.
    """
    clones.get(connection, clone_id)
    return slots.leave(connection, clone_id, f"removed: {reason}", now_ms, actor=actor)


def _admit(connection: Connection, place: Place, slot_no: int, now_ms: int) -> Occupant:
    queue.end(connection, place, "admitted", f"slot {slot_no}", now_ms=now_ms)
    fault(AFTER_ADMITTED)
    entered = slots.enter(connection, place.clone_id, slot_no, actor=ARENA, now_ms=now_ms, queue_id=place.id)
    fault(AFTER_ENTERED)
    return entered


def _pass_over(
    connection: Connection, place: Place, blocked: Blocked, is_head: bool, settings: Settings, now_ms: int, done: Synced
) -> None:
    if is_head and _is_expired(place, settings, now_ms):
        since = iso(place.head_since or now_ms)
        queue.end(connection, place, "expired", f"passed over since {since}: {blocked.sentence}", now_ms=now_ms)
        fault(AFTER_EXPIRED)
        done.expired.append(place.clone_id)
        return
    blocked_at = place.blocked_at if place.blocked and place.blocked.code == blocked.code else now_ms
    head_since = (place.head_since or now_ms) if is_head else None
    done.noted += queue.note(connection, place, blocked, blocked_at=blocked_at, head_since=head_since)
    done.passed_over[place.clone_id] = blocked


def _is_expired(place: Place, settings: Settings, now_ms: int) -> bool:
    return place.head_since is not None and now_ms - place.head_since >= settings.queue_expiry_sec * SECOND_MS


def _retired_occupants(connection: Connection) -> list[int]:
    here = [occupant.clone_id for occupant in slots.occupants(connection)]
    return [clone_id for clone_id in here if retirement.is_retired(connection, clone_id)]


def _free_retired(connection: Connection, now_ms: int) -> list[int]:
    """Slots of clones that were retired without the Arena."""
    freed = _retired_occupants(connection)
    for clone_id in freed:
        slots.leave(connection, clone_id, "retired", now_ms)
    return freed
