"""What really happened in a replayed market: the one interface behind recordings and the synthetic market.

Everything the venue says (running frames, history, books, contexts, strikes of prediction markets) is derived from it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from clash_pipeline.clock import MINUTE_MS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Asset(NamedTuple):
    """A listed asset, as far as the replay needs to know it."""

    symbol: str
    kind: str
    sz_decimals: int
    has_candles: bool


class Minute(NamedTuple):
    """One finished minute; a minute without trades is flat with v 0 and n 0."""

    t: int
    o: float
    h: float
    l: float  # noqa: E741 - the venue's own name
    c: float
    v: float
    n: int


@dataclass(frozen=True)
class Minutes:
    """Consecutive finished minutes of one asset, as columns; the numbers are exactly those of the wire text."""

    t0: int
    o: Floats
    h: Floats
    l: Floats  # noqa: E741 - the venue's own name
    c: Floats
    v: Floats
    n: Integers

    def __len__(self) -> int:
        return len(self.c)

    @property
    def end_t(self) -> int:
        """The end (exclusive) of the last minute."""
        return self.t0 + len(self) * MINUTE_MS

    def between(self, from_t: int, to_t: int) -> "Minutes":
        """The minutes that start in [from_t, to_t)."""
        first = min(max(-(-(from_t - self.t0) // MINUTE_MS), 0), len(self))
        last = min(max(-(-(to_t - self.t0) // MINUTE_MS), first), len(self))
        columns = (column[first:last] for column in (self.o, self.h, self.l, self.c, self.v, self.n))
        return Minutes(self.t0 + first * MINUTE_MS, *columns)  # type: ignore[arg-type]

    def rows(self) -> list[Minute]:
        """The same minutes one by one."""
        times = range(self.t0, self.end_t, MINUTE_MS)
        columns = (column.tolist() for column in (self.o, self.h, self.l, self.c, self.v, self.n))
        return [Minute(*row) for row in zip(times, *columns, strict=True)]


def nothing(t0: int = 0) -> Minutes:
    """No minutes at all."""
    none = np.empty(0)
    return Minutes(t0, none, none, none, none, none, np.empty(0, np.int64))


def joined(parts: list[Minutes]) -> Minutes:
    """Neighbouring stretches as one."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return nothing()
    if len(parts) == 1:
        return parts[0]
    return Minutes(
        parts[0].t0,
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("o", "h", "l", "c", "v", "n")),
    )


class MarketTruth(Protocol):
    """A market whose whole past and future is decided."""

    seed: int
    start_ms: int
    """Where the venue's clock starts unless told otherwise."""
    assets: tuple[Asset, ...]
    """Perps in the order of the universe, then spots."""

    def meta(self) -> dict[str, Any]:
        """The answer of `meta`."""
        ...

    def spot_meta(self) -> dict[str, Any]:
        """The answer of `spotMeta`."""
        ...

    def minutes(self, symbol: str, from_t: int, to_t: int) -> Minutes:
        """The finished minutes that start in [from_t, to_t), as far as the market has any."""
        ...

    def funding(self, symbol: str, from_ms: int, to_ms: int) -> list[tuple[int, float]]:
        """Hourly payments (time a few ms past the hour, rate per hour) of a perp in [from_ms, to_ms)."""
        ...

    def recorded_context(self, symbol: str) -> dict[str, Any] | None:
        """The asset context of a recording, for what cannot be derived from candles."""
        ...


def least_trades(o: Floats, h: Floats, l: Floats, c: Floats) -> Integers:  # noqa: E741
    """The fewest trades that can make each candle: its open, each extreme beyond open and close, and its close."""
    extremes = (h > np.maximum(o, c)).astype(np.int64) + (l < np.minimum(o, c))
    return np.asarray(1 + extremes + ((extremes > 0) | (o != c)), dtype=np.int64)
