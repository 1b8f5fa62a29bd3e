"""Moderation: the queue of submitted profiles, its decisions, and clones that are retired and reinstated (02).

The same decision again changes nothing; a contradicting one is a conflict. Every function works inside the caller's
transaction and leaves an audit row.
"""

from clash_pipeline.clones import acts, holds, public_profiles, retirement
from clash_pipeline.clones.clones import get
from clash_pipeline.clones.public_profiles import Profile, profile
from clash_pipeline.clones.refusals import CloneConflict
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection

APPROVE_AFTER_REPLACED = point("clones.moderation.approve_after_replaced")
RETIRE_AFTER_WRITTEN = point("clones.moderation.retire_after_written")
REINSTATE_AFTER_ENDED = point("clones.moderation.reinstate_after_ended")


def queue(connection: Connection, *, limit: int = 100) -> list[Profile]:
    """The profiles that wait for a decision, oldest first."""
    rows = connection.execute(
        "SELECT id FROM clone_profiles WHERE state = 'submitted' ORDER BY submitted_at, id LIMIT ?", (limit,)
    ).fetchall()
    return [profile(connection, row["id"]) for row in rows]


def approve(connection: Connection, profile_id: int, *, actor: str, now_ms: int, reason: str = "") -> Profile:
    """Show a submitted profile from now on, instead of the one that was shown.

    Raises:
        CloneConflict: it was rejected, replaced or removed.
        CloneUnknown: no such profile.
    """
    found = profile(connection, profile_id)
    if found.state == "approved":
        return found
    _refuse_decided(found, "approved")
    before = public_profiles.shown(connection, found.clone_id)
    if before is not None:
        replaced = f"by profile {profile_id}"
        public_profiles.move(connection, before, "replaced", actor=actor, reason=replaced, now_ms=now_ms)
    fault(APPROVE_AFTER_REPLACED)
    public_profiles.move(connection, found, "approved", actor=actor, reason=reason.strip(), now_ms=now_ms)
    return profile(connection, profile_id)


def reject(connection: Connection, profile_id: int, *, actor: str, reason: str, now_ms: int) -> Profile:
    """Refuse a submitted profile and free its name; an approved one goes on being shown.

    Raises:
        ProfileInvalid: no reason.
        CloneConflict: it was approved, replaced or removed.
        CloneUnknown: no such profile.
    """
    found = profile(connection, profile_id)
    if found.state == "rejected":
        return found
    _refuse_decided(found, "rejected")
    said = acts.needed_reason(reason, "a rejection")
    public_profiles.move(connection, found, "rejected", actor=actor, reason=said, now_ms=now_ms)
    return profile(connection, profile_id)


def retire(connection: Connection, clone_id: int, *, actor: str, reason: str, now_ms: int) -> bool:
    """Retire a clone and free its name; False when it is retired already. Its profile is kept.

    Raises:
        ProfileInvalid: no reason.
        CloneHeld: a running audition or race has to end first.
        CloneUnknown: no such clone.
    """
    get(connection, clone_id)
    if retirement.is_retired(connection, clone_id):
        return False
    said = acts.needed_reason(reason, "a retirement")
    holds.refuse_held(connection, clone_id, "its retirement")
    retirement.begin(connection, clone_id, actor=actor, reason=said, now_ms=now_ms)
    fault(RETIRE_AFTER_WRITTEN)
    public_profiles.hold_names(connection, clone_id)
    acts.record(connection, "retired", clone_id, actor=actor, now_ms=now_ms, reason=said)
    return True


def reinstate(connection: Connection, clone_id: int, *, actor: str, now_ms: int, reason: str = "") -> bool:
    """Take a retirement back; False when the clone is not retired.

    Raises:
        NameTaken: another clone took the name meanwhile; the clone needs a new profile first.
        CloneUnknown: no such clone.
    """
    get(connection, clone_id)
    if not retirement.end(connection, clone_id, actor=actor, now_ms=now_ms):
        return False
    fault(REINSTATE_AFTER_ENDED)
    public_profiles.hold_names(connection, clone_id)
    acts.record(connection, "reinstated", clone_id, actor=actor, now_ms=now_ms, reason=reason.strip())
    return True


def _refuse_decided(found: Profile, wanted: str) -> None:
    if found.state != "submitted":
        raise CloneConflict(f"profile {found.id} is {found.state} and cannot be {wanted}")
