"""Trouble of one account, told from trouble of the machine: the first stays with its account, the second ends the work.

Nobody else misses a tick, a mark or a stop because of one account's rows (09 W5).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog

from clash_pipeline.storage.sqlite import IntegrityError, OperationalError

DEFECTS = (
    ArithmeticError, AssertionError, AttributeError, IntegrityError, LookupError, RuntimeError, TypeError, ValueError,
    msgspec.MsgspecError,
)  # fmt: skip
"""What rows may raise that no program of ours has written; bugs look alike."""
IN_A_ROW = "SQLITE_ERROR"
"""How SQLite calls it when a cell holds no JSON; a cell that holds no text has no name at all."""

log = structlog.get_logger(__name__)


def is_own(error: BaseException) -> bool:
    """Whether an error can come from one account's rows; a failing disk, a full or a locked file cannot."""
    if isinstance(error, OperationalError):
        return getattr(error, "sqlite_errorname", IN_A_ROW) == IN_A_ROW
    return isinstance(error, DEFECTS)


@contextmanager
def kept_apart(troubles: dict[int, Exception], account_id: int, *also: type[Exception]) -> Iterator[None]:
    """Keep an account's trouble to itself: noted under its id and logged, while the others go on.

    `also` names further errors that concern this account alone.
    """
    try:
        yield
    except Exception as error:
        if not (is_own(error) or isinstance(error, also)):
            raise
        log.error("account_in_trouble", account_id=account_id, error=f"{type(error).__name__}: {error}")
        troubles[account_id] = error
