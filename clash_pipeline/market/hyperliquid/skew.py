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
        self._quorum = 1
        self._ahead: dict[str, int] = {}
        self._behind: dict[str, int] = {}

    def expect(self, symbols: int) -> None:
        """With few coins, fewer witnesses have to do."""
        self._quorum = max(1, min(WITNESSES, symbols))

    def observe(self, symbol: str, t: int, received_ms: int) -> None:
        """Take the open time of a frame."""
        at_least = t - received_ms
        at_most = at_least + MINUTE_MS + LATE_MS
        if at_least <= self.ms <= at_most:
            if self._ahead or self._behind:
                self._ahead.clear()
                self._behind.clear()
        elif at_least > self.ms:
            self._ahead[symbol] = at_least
            if len(self._ahead) >= self._quorum:
                self._move(min(self._ahead.values()))
        else:
            self._behind[symbol] = at_most
            if len(self._behind) >= self._quorum:
                self._move(max(self._behind.values()))

    def _move(self, ms: int) -> None:
        self.ms = ms
        self._ahead.clear()
        self._behind.clear()
