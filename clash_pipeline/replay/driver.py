"""The driver of stepped time: to the next due moment, wait until everybody has finished with it, and on."""

import time
from collections.abc import Callable, Iterator, Sequence

from clash_pipeline.clock import MINUTE_MS, SECOND_MS, minute_of
from clash_pipeline.replay.controls import VenueControls

GRACE_MS = 5 * SECOND_MS
"""A minute closes this long after its end."""
DEADLINE_SEC = 60.0
POLL_SEC = 0.005
LONGEST_POLL_SEC = 0.1

Wait = Callable[[int], bool]
"""Whether the work of a closed minute (its open time) is finished."""


class ReplayStuck(RuntimeError):
    """A wait did not come true in time; names the wait, the minute and the limit."""


class Driver:
    """Steps a venue minute by minute; each step ends one second after a minute closed."""

    def __init__(
        self,
        venue_url: str,
        waits: Sequence[Wait] = (),
        *,
        grace_ms: int = GRACE_MS,
        deadline_sec: float = DEADLINE_SEC,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.controls = VenueControls(venue_url)
        self._waits = tuple(waits)
        self._after_end_ms = grace_ms + SECOND_MS
        self._deadline_sec = deadline_sec
        self._sleep = sleep
        self._monotonic = monotonic

    def run(self, until_ms: int) -> int:
        """Replay until every minute that ends by `until_ms` is closed and finished with; how many minutes those were.

        Raises:
            ReplayStuck: see there.
        """
        return sum(1 for _ in self.minutes(until_ms))

    def minutes(self, until_ms: int) -> Iterator[int]:
        """The same one by one: the open time of each minute, after all waits for it came true."""
        now_ms = self.controls.now_ms()
        stop = self.next_stop(now_ms)
        while stop - self._after_end_ms <= until_ms:
            self.controls.advance(stop)
            minute = stop - self._after_end_ms - MINUTE_MS
            for wait in self._waits:
                self._finish(wait, minute)
            yield minute
            stop += MINUTE_MS

    def next_stop(self, now_ms: int) -> int:
        """When the running minute will have closed; one that ended before is nobody's duty any more."""
        return minute_of(now_ms) + MINUTE_MS + self._after_end_ms

    def _finish(self, wait: Wait, minute: int) -> None:
        began, pause = self._monotonic(), POLL_SEC
        while not wait(minute):
            if self._monotonic() - began > self._deadline_sec:
                name = getattr(wait, "__name__", type(wait).__name__)
                raise ReplayStuck(f"{name} is not finished with minute {minute} after {self._deadline_sec:g} s")
            self._sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL_SEC)
