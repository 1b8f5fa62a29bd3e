"""Open a venue from what a person asks for: recordings or a seed, a start, faults."""

from dataclasses import dataclass
from pathlib import Path

from clash_pipeline.clock import iso, parse_time
from clash_pipeline.replay.faults import FaultBook, UnknownFault
from clash_pipeline.replay.recorded import RecordedMarket, RecordingsIncomplete
from clash_pipeline.replay.synthetic import DEFAULT_START_MS, SyntheticMarket
from clash_pipeline.replay.venue import Venue


class OpeningError(ValueError):
    """What was asked for cannot be opened; one line names the argument and the limit."""


@dataclass(frozen=True)
class Opened:
    """A venue and where it came from."""

    venue: Venue
    source: str

    def described(self, speed: float | None) -> str:
        """One line for a person."""
        pace = "stepped by POST /clock" if speed is None else f"running at {speed:g}x"
        assets = self.venue.market.trading
        return f"{self.source}: {len(assets)} assets with candles, venue time {iso(self.venue.now_ms)}, {pace}"


def open_venue(
    recordings: Path | None = None,
    *,
    seed: int = 7,
    start: str | None = None,
    faults: str = "",
    symbols: int | None = None,
    most_frames: int = 4,
) -> Opened:
    """A venue that is ready to be served.

    Raises:
        OpeningError: a time, fault or folder that is not usable, or a start outside the data.
    """
    try:
        start_ms = DEFAULT_START_MS if start is None else parse_time(start)
        truth = _truth(recordings, seed, start_ms, symbols)
        _refuse_outside(truth.span, start_ms, start or iso(start_ms))
        book = FaultBook(seed)
        book.add(faults, start_ms)
    except (UnknownFault, RecordingsIncomplete, ValueError) as error:
        raise OpeningError(str(error)) from None
    source = f"recordings of {recordings}" if recordings else f"synthetic market of seed {seed}"
    return Opened(Venue(truth, faults=book, most_frames=most_frames), source)


def _truth(recordings: Path | None, seed: int, start_ms: int, symbols: int | None) -> SyntheticMarket | RecordedMarket:
    if recordings is None:
        return SyntheticMarket(seed, start_ms=start_ms, perps=symbols)
    return RecordedMarket(recordings, seed=seed, start_ms=start_ms, symbols=symbols)


def _refuse_outside(span: tuple[int, int], start_ms: int, start: str) -> None:
    """A venue outside its data would serve nothing at all, without a word."""
    first, end = span
    if not first <= start_ms < end:
        raise OpeningError(f"start {start} lies outside the data: {iso(first)} to before {iso(end)}")
