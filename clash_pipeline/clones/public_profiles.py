"""Public profiles: each submission is a row of its own, the approved one is shown, and names are unique (02).

A name is taken by the submitted and the approved profile of every clone that is not retired.
"""

from dataclasses import dataclass

from clash_pipeline.clones import acts, names, retirement
from clash_pipeline.clones.clones import get
from clash_pipeline.clones.images import StoredImage
from clash_pipeline.clones.names import Skeletons
from clash_pipeline.clones.refusals import CloneConflict, CloneUnknown, NameTaken
from clash_pipeline.clones.versions import active_version
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row, one

DESCRIPTION_CHARACTERS = 280
"""Longest description after cleaning (02)."""

AFTER_INSERTED = point("clones.profiles.after_inserted")
AFTER_MOVED = point("clones.profiles.after_moved")


@dataclass(frozen=True)
class Profile:
    """One submission as stored; `state` is submitted, approved, rejected, replaced (by a newer one) or removed."""

    id: int
    clone_id: int
    name: str
    description: str
    image: StoredImage | None
    state: str
    submitted_by: str
    submitted_at: int
    decided_by: str | None
    decided_at: int | None
    reason: str | None

    @property
    def content(self) -> tuple[str, str, str | None]:
        """What people would see: two submissions of the same content are one."""
        return self.name, self.description, self.image.sha256 if self.image else None


@dataclass(frozen=True)
class Badges:
    """What is shown of a strategy: who decides, how strong, what it trades, which sources it reads; never how."""

    engine: str
    model_tier: int | None
    assets: tuple[str, ...]
    streams: tuple[str, ...]


@dataclass(frozen=True)
class PublicProfile:
    """What everybody may see of a clone."""

    profile: Profile
    badges: Badges
    is_retired: bool


def submit(
    connection: Connection,
    clone_id: int,
    name: str,
    *,
    actor: str,
    now_ms: int,
    description: str = "",
    image: StoredImage | None = None,
) -> Profile:
    """Ask for a profile to be shown; it replaces one that still waits, and the approved one goes on being shown.

    The content that waits, or is shown while none waits, answers itself again. The image was stored before.

    Raises:
        ProfileInvalid: name or description empty or too long after cleaning.
        NameTaken: another clone has the name, or one that is taken for it.
        CloneUnknown: no such clone.
    """
    chosen = names.public_name(name)
    described = names.one_line(description, "a description", DESCRIPTION_CHARACTERS)
    get(connection, clone_id)
    waiting, standing = in_state(connection, clone_id, "submitted"), shown(connection, clone_id)
    current = waiting or standing
    if current and current.content == (chosen, described, image.sha256 if image else None):
        return current
    compared = names.skeletons(chosen)
    _refuse_taken(connection, clone_id, chosen, compared)
    if waiting:
        move(connection, waiting, "replaced", actor=actor, reason="a newer submission", now_ms=now_ms)
    made = _insert(connection, clone_id, chosen, compared, described, image, actor=actor, now_ms=now_ms)
    fault(AFTER_INSERTED)
    hold_names(connection, clone_id)
    acts.record(connection, "submitted", clone_id, actor=actor, now_ms=now_ms, profile_id=made)
    return profile(connection, made)


def profile(connection: Connection, profile_id: int) -> Profile:
    """One submission by its id.

    Raises:
        CloneUnknown: no such profile.
    """
    row = connection.execute("SELECT * FROM clone_profiles WHERE id = ?", (profile_id,)).fetchone()
    if row is None:
        raise CloneUnknown(f"there is no profile {profile_id}")
    return _profile(row)


def shown(connection: Connection, clone_id: int) -> Profile | None:
    """The approved profile, if there is one; only such a clone may enter the Arena."""
    return in_state(connection, clone_id, "approved")


def in_state(connection: Connection, clone_id: int, state: str) -> Profile | None:
    """The newest profile of a clone in a state."""
    row = connection.execute(
        "SELECT * FROM clone_profiles WHERE clone_id = ? AND state = ? ORDER BY id DESC LIMIT 1", (clone_id, state)
    ).fetchone()
    return None if row is None else _profile(row)


def history(connection: Connection, clone_id: int) -> list[Profile]:
    """Every submission of a clone, newest first."""
    rows = connection.execute("SELECT * FROM clone_profiles WHERE clone_id = ? ORDER BY id DESC", (clone_id,))
    return [_profile(row) for row in rows]


def public(connection: Connection, clone_id: int) -> PublicProfile:
    """What everybody may see of a clone: its approved profile, its badges, whether it is retired.

    Raises:
        CloneUnknown: no such clone, or none with an approved profile.
    """
    approved = shown(connection, clone_id)
    if approved is None:
        raise CloneUnknown(f"clone {clone_id} has no public profile")
    return PublicProfile(approved, badges(connection, clone_id), retirement.is_retired(connection, clone_id))


def badges(connection: Connection, clone_id: int) -> Badges:
    """Badges from the engine and the active version; sources by name only, because how they are read is private.

    Raises:
        CloneUnknown: no such clone.
    """
    clone, active = get(connection, clone_id), active_version(connection, clone_id)
    assets = active.compiled.symbols if active else ()
    branches = active.compiled.branches if active else ()
    sources = {entry.source for branch in branches for asset in branch.assets for entry in asset.plan.entries}
    return Badges(clone.engine, clone.model_tier if clone.engine == "model" else None, assets, tuple(sorted(sources)))


def move(
    connection: Connection,
    moved: Profile,
    state: acts.Act,
    *,
    actor: str,
    reason: str,
    now_ms: int,
    report_id: int | None = None,
) -> None:
    """Move a profile on, with its audit row and the names it holds, inside the caller's transaction.

    Raises:
        CloneConflict: somebody moved it since it was read.
    """
    changed = connection.execute(
        """
        UPDATE clone_profiles SET state = ?, decided_by = ?, decided_at = ?, reason = ? WHERE id = ? AND state = ?
        """,
        (state, actor, now_ms, reason, moved.id, moved.state),
    )
    if changed.rowcount != 1:
        raise CloneConflict(f"profile {moved.id} is not {moved.state} any more")
    fault(AFTER_MOVED)
    hold_names(connection, moved.clone_id)
    acts.record(
        connection, state, moved.clone_id, actor=actor, now_ms=now_ms, reason=reason, profile_id=moved.id,
        report_id=report_id,
    )  # fmt: skip


def hold_names(connection: Connection, clone_id: int) -> None:
    """Take the names of a clone's submitted and approved profiles, and free every other one it had.

    A retired clone takes none, so that a better name can be submitted while its old one belongs to somebody else.

    Raises:
        NameTaken: another clone has one of them; says which.
    """
    connection.execute("DELETE FROM clone_taken_names WHERE clone_id = ?", (clone_id,))
    if retirement.is_retired(connection, clone_id):
        return
    rows = connection.execute(
        """
        SELECT name, name_seen, name_read FROM clone_profiles
        WHERE clone_id = ? AND state IN ('submitted', 'approved') ORDER BY id
        """,
        (clone_id,),
    ).fetchall()
    for row in rows:
        wanted = Skeletons(row["name_seen"], row["name_read"])
        _refuse_taken(connection, clone_id, row["name"], wanted)
        connection.executemany(
            "INSERT INTO clone_taken_names (kind, skeleton, clone_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(kind, skeleton, clone_id) for kind, skeleton in wanted._asdict().items()],
        )


def _refuse_taken(connection: Connection, clone_id: int, name: str, wanted: Skeletons) -> None:
    taken = one(
        connection,
        """
        SELECT 1 FROM clone_taken_names
        WHERE clone_id <> ? AND ((kind = 'seen' AND skeleton = ?) OR (kind = 'read' AND skeleton = ?))
        """,
        (clone_id, *wanted),
    )
    if taken is not None:
        raise NameTaken(f"the name {name} is taken, or could be mistaken for another clone's")


def _insert(
    connection: Connection,
    clone_id: int,
    name: str,
    compared: Skeletons,
    description: str,
    image: StoredImage | None,
    *,
    actor: str,
    now_ms: int,
) -> int:
    stored = (image.key, image.sha256, image.media_type) if image else (None, None, None)
    return int(
        one(
            connection,
            """
            INSERT INTO clone_profiles
              (clone_id, name, name_seen, name_read, description, image_key, image_sha256, image_type, state,
               submitted_by, submitted_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'submitted', ?, ?) RETURNING id
            """,
            (clone_id, name, *compared, description, *stored, actor, now_ms),
        )
    )


def _profile(row: Row) -> Profile:
    image = StoredImage(row["image_key"], row["image_sha256"], row["image_type"]) if row["image_key"] else None
    return Profile(
        row["id"], row["clone_id"], row["name"], row["description"], image, row["state"], row["submitted_by"],
        row["submitted_at"], row["decided_by"], row["decided_at"], row["reason"],
    )  # fmt: skip
