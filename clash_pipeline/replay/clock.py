"""The clock of a client process that lives in a replay: every reading asks the venue, nothing is cached."""

from clash_pipeline.clock import ReplayClock
from clash_pipeline.replay.controls import VenueControls

TIMEOUT_SEC = 10.0


def venue_clock(url: str) -> ReplayClock:
    """A clock that reads the `/clock` of a replayed venue; safe from many threads.

    Raises (when read):
        VenueGone: the venue does not answer.
    """
    return ReplayClock(VenueControls(url, TIMEOUT_SEC).now_ms)
