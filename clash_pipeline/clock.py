"""Time as an argument: the clocks that composition hands to everything else.

All times are integers of milliseconds since 1970-01-01 UTC. Nothing in the domain reads the wall clock by itself.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """Wall-clock time in milliseconds."""
        return time.time_ns() // 1_000_000


class SettableClock:
    """A clock that stands still until it is told to move; for tests, demos and replays inside one process."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time last set."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move to an absolute time; moving backwards is allowed, clocks do it too."""
        self._now_ms = now_ms

    def advance(self, by_ms: int) -> None:
        """Move forward by some milliseconds."""
        self._now_ms += by_ms


class ReplayClock:
    """The time of a replayed venue, asked for through `read` (one GET of its `/clock`)."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read

    def now_ms(self) -> int:
        """The venue's present time."""
        return self._read()


def minute_of(t_ms: int) -> int:
    """The start of the minute that holds `t_ms`."""
    return t_ms - t_ms % MINUTE_MS


def hour_of(t_ms: int) -> int:
    """The start of the hour that holds `t_ms`."""
    return t_ms - t_ms % HOUR_MS


def day_of(t_ms: int) -> int:
    """The start of the UTC day that holds `t_ms`."""
    return t_ms - t_ms % DAY_MS


def iso(t_ms: int) -> str:
    """ISO-8601 in UTC with `Z`, seconds, and milliseconds only where there are some."""
    seconds, rest = divmod(t_ms, SECOND_MS)
    text: str = msgspec.to_builtins(datetime.fromtimestamp(seconds, UTC))  # a third of the time of isoformat
    return f"{text[:-1]}.{rest:03}Z" if rest else text


def parse_time(text: str) -> int:
    """Milliseconds from `2025-07-21`, `2025-07-21T12:10[:30][Z]` or a number of epoch milliseconds.

    Raises:
        ValueError: the text is none of these; the message names it.
    """
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is not a time: give 2025-07-21, 2025-07-21T12:10Z or epoch milliseconds"
        ) from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
