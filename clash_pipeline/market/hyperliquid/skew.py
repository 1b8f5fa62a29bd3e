"""How far the venue's clock is ahead of ours, learnt from the open times of its candle frames.

A frame of minute `t` says that the venue's time lies in `[t, t + 60 s]`, a little later for one that was under way. As
long as our own clock agrees with that, nothing is learnt; when several coins contradict it and none agrees in between,
the estimate moves just far enough. Single odd frames move nothing.

First frames of a minute are a sharp lower bound, last frames a blunt upper one. So a clock found ahead by the last
frames of a minute is measured by the first frames of the next: else being late would hide a part of being off.
"""

from clash_pipeline.clock import MINUTE_MS

LATE_MS = 1_000
"""The last frame of a minute may arrive this long after its end on a healthy link (sources 1.3)."""
WITNESSES = 3


class SkewEstimate:
    """`ms` is the venue's clock less ours: positive when ours is behind."""

    def __init__(self) -> None:
        self.ms = 0
        self._coins = 1
        self._ahead: list[tuple[str, int]] = []
        self._behind: list[tuple[str, int]] = []
        self._first: list[tuple[str, int]] = []
        self._late_t: int | None = None
        """The minute whose last frames moved the estimate, until a later one has measured it."""

    @property
    def is_disputed(self) -> bool:
        """Whether some coins contradict the estimate at present, or it is yet to be measured."""
        return bool(self._ahead or self._behind) or self._late_t is not None

    def expect(self, symbols: int) -> None:
        """With few coins, fewer different ones have to do."""
        self._coins = max(1, min(WITNESSES, symbols))

    def observe(self, symbol: str, t: int, received_ms: int) -> None:
        """Take the open time of a frame."""
        at_least = t - received_ms
        at_most = at_least + MINUTE_MS + LATE_MS
        if at_least > self.ms:
            self._ahead.append((symbol, at_least))
            if self._is_agreed(self._ahead):
                self._move(min(bound for _, bound in self._ahead))
        elif at_most < self.ms:
            self._behind.append((symbol, at_most))
            if self._is_agreed(self._behind):
                self._move(max(bound for _, bound in self._behind))
                self._late_t = t
        else:
            self._ahead.clear()
            self._behind.clear()
            if self._late_t is not None and t > self._late_t:
                self._measure(symbol, at_least)

    def _measure(self, symbol: str, at_least: int) -> None:
        """Let the first frames of a minute say how far ahead our clock is, as far as the last ones left it open."""
        self._first.append((symbol, at_least))
        if self._is_agreed(self._first):
            self._move(max(self.ms - 2 * LATE_MS, *(bound for _, bound in self._first)))

    def _is_agreed(self, testimony: list[tuple[str, int]]) -> bool:
        return len(testimony) >= WITNESSES and len({symbol for symbol, _ in testimony}) >= self._coins

    def _move(self, ms: int) -> None:
        self.ms = ms
        self._ahead.clear()
        self._behind.clear()
        self._first.clear()
        self._late_t = None
