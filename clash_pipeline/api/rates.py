"""Rate limits: so many requests a minute, exact at the boundary, in bounded memory (09 §5.3.9).

A principal may spend its whole allowance at once; it grows back evenly (the generic cell rate algorithm). Principals
not seen for a minute are as new ones, so forgetting the longest unseen costs nothing while there is room.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from clash_pipeline.clock import MINUTE_MS

PRINCIPALS = 100_000
"""How many are remembered; under a flood of new ones the longest unseen are forgotten first."""


@dataclass
class Allowance:
    """`per_minute` requests for each principal."""

    per_minute: int
    _full_at: "OrderedDict[str, float]" = field(default_factory=OrderedDict)

    def take(self, principal: str, now_ms: int) -> int | None:
        """Take one; None when it was there, else the whole seconds after which there is one again."""
        step = MINUTE_MS / self.per_minute
        full_at = max(self._full_at.get(principal, 0.0), float(now_ms))
        wait_ms = full_at + step - now_ms - MINUTE_MS
        if wait_ms > 1e-6:
            return int(-(-wait_ms // 1_000))
        self._full_at[principal] = full_at + step
        self._full_at.move_to_end(principal)
        if len(self._full_at) > PRINCIPALS:
            self._full_at.popitem(last=False)
        return None
