"""Why the clone service says no: one family, a stable code for programs, one line for people."""

from typing import ClassVar


class CloneError(ValueError):
    """The clone service refuses; nothing was changed."""

    code: ClassVar[str] = "clone_refused"


class CloneUnknown(CloneError):
    """There is no such clone, version, grant, profile or report."""

    code = "not_found"


class CloneConflict(CloneError):
    """It cannot be done from where things stand, or was already decided otherwise."""

    code = "state_conflict"


class CloneHeld(CloneConflict):
    """A running audition freezes the clone, or a race has to end first (05)."""

    code = "clone_held"


class DraftChanged(CloneConflict):
    """Somebody saved the draft since it was read."""

    code = "draft_changed"


class NameTaken(CloneConflict):
    """Another clone has this name, or one that is taken for it."""

    code = "name_taken"


class TierExceeded(CloneError):
    """The effective entitlement does not reach (02 Entitlements)."""

    code = "tier_exceeded"


class ProfileInvalid(CloneError):
    """A public name, description or report that cannot be."""

    code = "profile_invalid"


class ImageInvalid(ProfileInvalid):
    """Not a 512 × 512 PNG or JPEG of at most 1 MB (02)."""

    code = "image_invalid"
