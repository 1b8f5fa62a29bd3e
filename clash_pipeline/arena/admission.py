"""The gates before the Arena: one visible list, in order, each with a stable code and a sentence with figures.

A clone auditions, is admitted from the queue, and enters the next field from its slot, only while every gate before it
is open.
"""

from collections.abc import Callable
from typing import NamedTuple

from clash_pipeline.arena import requests, slots
from clash_pipeline.clones import clones, public_profiles, retirement
from clash_pipeline.clones.clones import OPERATOR, Clone
from clash_pipeline.clones.entitlements import effective, exceeded
from clash_pipeline.clones.versions import active_version
from clash_pipeline.economy import credits as audition_credits
from clash_pipeline.storage.sqlite import Connection, one


class Blocked(NamedTuple):
    """The first gate that is closed."""

    code: str
    sentence: str


class Case(NamedTuple):
    """A clone before the gates."""

    connection: Connection
    clone: Clone
    now_ms: int


Gate = Callable[[Case], str | None]


def gates(connection: Connection, clone_id: int, now_ms: int) -> Blocked | None:
    """The first closed gate of a clone, whether it waits or has a slot; None when it may compete.

    Raises:
        CloneUnknown: no such clone.
    """
    return _first(GATES, Case(connection, clones.get(connection, clone_id), now_ms))


def entry_gates(connection: Connection, clone_id: int, now_ms: int) -> Blocked | None:
    """The same for a clone that has no slot yet: also what would keep it out of every race beside those in slots.

    Raises:
        CloneUnknown: no such clone.
    """
    return _first((*GATES, *ENTRY_GATES), Case(connection, clones.get(connection, clone_id), now_ms))


def audition_gates(connection: Connection, clone_id: int, now_ms: int) -> Blocked | None:
    """The first closed gate of a clone that wants to audition.

    Raises:
        CloneUnknown: no such clone.
    """
    return _first(AUDITION_GATES, Case(connection, clones.get(connection, clone_id), now_ms))


def not_retired(case: Case) -> str | None:
    """A retired clone competes no more."""
    is_retired = retirement.is_retired(case.connection, case.clone.id)
    return f"clone {case.clone.id} is retired" if is_retired else None


def not_retiring(case: Case) -> str | None:
    """A clone whose retirement waits for its last race enters no other one."""
    request = requests.open_of(case.connection, case.clone.id)
    return f"clone {case.clone.id} will be retired: {request.reason}" if request else None


def has_approved_profile(case: Case) -> str | None:
    """Only what was approved is shown to people who buy tickets."""
    approved = public_profiles.shown(case.connection, case.clone.id)
    return None if approved else f"clone {case.clone.id} has no approved profile"


def has_active_version(case: Case) -> str | None:
    """Without one there is nothing to run."""
    found = case.clone.version
    return f"clone {case.clone.id} has no active version" if found is None else None


def was_bought(case: Case) -> str | None:
    """Debug and operator grants lead nowhere near real money; house clones are the operator's own."""
    if case.clone.owner == OPERATOR or effective(case.connection, case.clone.id, case.now_ms).may_audition:
        return None
    return f"nothing was bought for clone {case.clone.id}"


def is_within_entitlement(case: Case) -> str | None:
    """The active version, its engine and its model within what the clone may use."""
    version = active_version(case.connection, case.clone.id)
    if version is None:
        return None
    allowed = effective(case.connection, case.clone.id, case.now_ms)
    beyond = exceeded(allowed, version.compiled, case.clone.engine, case.clone.model_tier)
    return f"clone {case.clone.id} is beyond its entitlement: {beyond}" if beyond else None


def was_paid(case: Case) -> str | None:
    """An audition is paid for, by a house clone as well."""
    bought = effective(case.connection, case.clone.id, case.now_ms).may_audition
    return None if bought else f"nothing was bought for clone {case.clone.id}; debug grants lead into no audition"


def audition_is_unused(case: Case) -> str | None:
    """Each purchase is good for one audition."""
    left = audition_credits.unused(case.connection, case.clone.id)
    return f"every audition bought for clone {case.clone.id} was used" if left is None else None


def has_profile(case: Case) -> str | None:
    """A profile that is shown or waits for moderation."""
    found = public_profiles.shown(case.connection, case.clone.id) or public_profiles.in_state(
        case.connection, case.clone.id, "submitted"
    )
    return None if found else f"clone {case.clone.id} has no profile that is approved or submitted"


def does_not_compete(case: Case) -> str | None:
    """A clone that passed waits for its slot, or has it."""
    occupant = slots.of(case.connection, case.clone.id)
    if occupant is not None:
        return f"clone {case.clone.id} has slot {occupant.slot_no}"
    waits = one(
        case.connection, "SELECT 1 FROM promotion_queue WHERE clone_id = ? AND state = 'waiting'", (case.clone.id,)
    )
    return f"clone {case.clone.id} has passed and waits for a slot" if waits else None


def owner_has_no_slot(case: Case) -> str | None:
    """One clone per owner and race (11, 12); house clones are exempt."""
    if case.clone.owner == OPERATOR:
        return None
    other = one(
        case.connection,
        """
        SELECT s.clone_id FROM arena_slots s JOIN clones c ON c.id = s.clone_id
        WHERE s.left_at IS NULL AND c.owner = ? AND c.id <> ? ORDER BY s.slot_no
        """,
        (case.clone.owner, case.clone.id),
    )
    return None if other is None else f"clone {other} of the same owner has a slot"


def graph_has_no_slot(case: Case) -> str | None:
    """One compiled graph per race (11, 12)."""
    other = one(
        case.connection,
        """
        SELECT s.clone_id FROM arena_slots s
        JOIN clone_versions v ON v.clone_id = s.clone_id AND v.is_active = 1
        JOIN clone_versions own ON own.clone_id = ?1 AND own.is_active = 1 AND own.compiled_hash = v.compiled_hash
        WHERE s.left_at IS NULL AND s.clone_id <> ?1 ORDER BY s.slot_no
        """,
        (case.clone.id,),
    )
    return None if other is None else f"clone {other} with the same compiled graph has a slot"


GATES: tuple[tuple[str, Gate], ...] = (
    ("retired", not_retired),
    ("retiring", not_retiring),
    ("profile_not_approved", has_approved_profile),
    ("no_active_version", has_active_version),
    ("entitlement_is_mock", was_bought),
    ("entitlement_exceeded", is_within_entitlement),
)
AUDITION_GATES: tuple[tuple[str, Gate], ...] = (
    ("retired", not_retired),
    ("retiring", not_retiring),
    ("already_competing", does_not_compete),
    ("entitlement_is_mock", was_paid),
    ("audition_used", audition_is_unused),
    ("no_active_version", has_active_version),
    ("entitlement_exceeded", is_within_entitlement),
    ("no_profile", has_profile),
)
ENTRY_GATES: tuple[tuple[str, Gate], ...] = (
    ("owner_has_slot", owner_has_no_slot),
    ("graph_has_slot", graph_has_no_slot),
)


def _first(listed: tuple[tuple[str, Gate], ...], case: Case) -> Blocked | None:
    for code, gate in listed:
        if (sentence := gate(case)) is not None:
            return Blocked(code, sentence)
    return None
