"""Why the arena says no: one family, a stable code for programs, one line for people."""

from typing import ClassVar


class ArenaError(ValueError):
    """The arena refuses; nothing was changed."""

    code: ClassVar[str] = "arena_refused"


class ArenaUnknown(ArenaError):
    """There is no such audition, race or entry."""

    code = "not_found"


class ArenaConflict(ArenaError):
    """It cannot be done from where things stand."""

    code = "state_conflict"


class GateClosed(ArenaConflict):
    """A gate is closed; `code` names which, the message says why."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code  # type: ignore[misc]  # of this refusal, not of the family
