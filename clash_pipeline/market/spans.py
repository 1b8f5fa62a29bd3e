"""A range of time, the way every question about the market memory is asked."""

from typing import NamedTuple

from clash_pipeline.clock import iso


class Span(NamedTuple):
    """The half-open range `[from_t, to_t)` in epoch ms."""

    from_t: int
    to_t: int

    def holds(self, t_ms: int) -> bool:
        """Whether a moment lies in it."""
        return self.from_t <= t_ms < self.to_t

    def __str__(self) -> str:
        return f"{iso(self.from_t)} to {iso(self.to_t)}"
