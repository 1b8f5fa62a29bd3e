"""Netting positions with an exact cost basis: what one fill makes of a position. Pure.

The stored truth is the cost; the average entry does not terminate and is only shown (04 Positions).
"""

from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from clash_pipeline.units import Grid, Rounding, grid_of, mul_div, scaled_text


class Position(msgspec.Struct, frozen=True):
    """A signed size and what it cost, with the sums of its account's life, the last mark, and what is armed.

    `mark`, `stop` and `target` are scaled prices; a stop or target of None is none.
    """

    symbol: str
    kind: str
    sz_decimals: int
    size: int = 0
    cost: int = 0
    leverage: int = 1
    realized: int = 0
    fees: int = 0
    funding: int = 0
    fills: int = 0
    opened_at: int | None = None
    mark: int | None = None
    mark_source: str | None = None
    mark_at: int | None = None
    stop: int | None = None
    target: int | None = None

    @property
    def grid(self) -> Grid:
        """The grid its integers are scaled by."""
        return grid_of(self.kind, self.sz_decimals)

    @property
    def side(self) -> int:
        """1 long, -1 short, 0 flat."""
        return (self.size > 0) - (self.size < 0)

    @property
    def value(self) -> int:
        """Notional at the last mark, without sign; the cost where it was never marked."""
        return self.cost if self.mark is None else self.grid.notional(self.mark, abs(self.size))

    @property
    def unrealized(self) -> int:
        """Profit at the last mark, before fees."""
        return self.side * (self.value - self.cost)

    @property
    def entry_text(self) -> str | None:
        """The average entry, rounded for display; None when flat."""
        if self.size == 0:
            return None
        decimals = self.grid.px_decimals
        return scaled_text(mul_div(self.cost, 1, abs(self.size) * self.grid.notional_factor, Rounding.FLOOR), decimals)

    def marked(self, mark: int, source: str, at: int) -> "Position":
        """The same position at another mark."""
        return replace(self, mark=mark, mark_source=source, mark_at=at)


@dataclass(frozen=True)
class Effect:
    """What a fill did: the position after it, and the profit that it realized before fees."""

    position: Position
    realized: int


def after_fill(
    position: Position, *, is_buy: bool, size: int, price: int, fee: int, leverage: int, now_ms: int
) -> Effect:
    """Apply one fill that opens, adds, reduces or closes; never one that crosses zero (a flip is two fills).

    A reduction releases floor(cost × q / Q) for a long and ceil for a short, a full close all of it (04).

    Raises:
        ValueError: the fill is larger than the position it reduces.
    """
    side = 1 if is_buy else -1
    notional = position.grid.notional(price, size)
    if position.side in (0, side):
        opened_at = now_ms if position.size == 0 else position.opened_at
        grown = replace(position, size=position.size + side * size, cost=position.cost + notional, leverage=leverage)
        return Effect(_counted(replace(grown, opened_at=opened_at), fee, 0), 0)
    if size > abs(position.size):
        raise ValueError(f"a fill of {size} crosses the position of {position.size} in {position.symbol}")
    released = _released(position, size)
    realized = position.side * (notional - released)
    left = replace(position, size=position.size + side * size, cost=position.cost - released)
    return Effect(_counted(left if left.size else _flat(left), fee, realized), realized)


def _released(position: Position, size: int) -> int:
    held = abs(position.size)
    if size == held:
        return position.cost
    return mul_div(position.cost, size, held, Rounding.FLOOR if position.size > 0 else Rounding.CEIL)


def _flat(position: Position) -> Position:
    return replace(position, opened_at=None, mark=None, mark_source=None, mark_at=None, stop=None, target=None)


def _counted(position: Position, fee: int, realized: int) -> Position:
    return replace(position, fills=position.fills + 1, fees=position.fees + fee, realized=position.realized + realized)
