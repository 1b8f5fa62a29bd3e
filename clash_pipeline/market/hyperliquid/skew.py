"""How far the venue's clock is ahead of ours, learnt from the open times of its candle frames.

A frame of minute `t` says that the venue's time lies in `[t, t + 60 s]`, a little later for one that was under way. As
long as our own clock agrees with that, nothing is learnt; when several coins contradict it and none agrees in between,
the estimate moves just far enough. Single odd frames move nothing.
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

    @property
    def is_disputed(self) -> bool:
        """Whether some coins contradict the estimate at present."""
        return bool(self._ahead or self._behind)

    def expect(self, symbols: int) -> None:
        """With few coins, fewer different ones have to do."""
        self._coins = max(1, min(WITNESSES, symbols))

    def observe(self, symbol: str, t: int, received_ms: int) -> None:
        """Take the open time of a frame."""
        at_least = t - received_ms
        at_most = at_least + MINUTE_MS + LATE_MS
        if at_least <= self.ms <= at_most:
            if self._ahead or self._behind:
                self._ahead.clear()
                self._behind.clear()
        elif at_least > self.ms:
            self._ahead.append((symbol, at_least))
            if self._is_agreed(self._ahead):
                self._move(min(bound for _, bound in self._ahead))
        else:
            self._behind.append((symbol, at_most))
            if self._is_agreed(self._behind):
                self._move(max(bound for _, bound in self._behind))

    def _is_agreed(self, testimony: list[tuple[str, int]]) -> bool:
        return len(testimony) >= WITNESSES and len({symbol for symbol, _ in testimony}) >= self._coins

    def _move(self, ms: int) -> None:
        self.ms = ms
        self._ahead.clear()
        self._behind.clear()
