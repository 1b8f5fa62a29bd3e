"""The clocks of processes that live in a replay: every reading asks the venue, except in the one that steps it."""

from clash_pipeline.clock import ReplayClock
from clash_pipeline.replay.controls import VenueControls

TIMEOUT_SEC = 10.0


def venue_clock(url: str) -> ReplayClock:
    """A clock that reads the `/clock` of a replayed venue; safe from many threads.

    Raises (when read):
        VenueGone: the venue does not answer.
    """
    return ReplayClock(VenueControls(url, TIMEOUT_SEC).now_ms)


def stepped_clock(controls: VenueControls) -> ReplayClock:
    """The clock of the process that steps a venue, and is alone in that: it knows the time without asking."""

    def read() -> int:
        return controls.now_ms() if controls.moved_to is None else controls.moved_to

    return ReplayClock(read)
