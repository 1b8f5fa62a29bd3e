"""Stops and targets: trigger prices armed by the fill that opens or grows a position (04, 10). Pure.

A proposal gives distances in percent of the execution price. A trigger is rounded as the fill it leads to: down where
it sells, up where it buys.
"""

from typing import NamedTuple

from clash_pipeline.prop.orders import FURTHEST_TARGET, WHOLE, percent
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import Grid, Rounding, mul_div


class Armed(NamedTuple):
    """The trigger prices of a position, scaled by its grid; None is none."""

    stop: int | None = None
    target: int | None = None


NOTHING = Armed()


def armed(proposal: Proposal, held: Position, side: int, price: int, grid: Grid) -> Armed:
    """What a fill at `price` that opens or grows a position on `side` arms.

    What the proposal does not name is kept from the same position, and none for a new one. A distance that is no
    percentage arms 0, which is no price; the gate refuses it.
    """
    kept = Armed(held.stop, held.target) if held.side == side else Armed()
    stop, target = proposal.stop_loss_pct, proposal.take_profit_pct
    return Armed(
        kept.stop if stop is None else _trigger(price, -side, percent(stop), side, grid),
        kept.target if target is None else _trigger(price, side, percent(target, FURTHEST_TARGET), side, grid),
    )


def _trigger(price: int, direction: int, distance: int | None, side: int, grid: Grid) -> int:
    if distance is None:
        return 0
    rounding = Rounding.FLOOR if side > 0 else Rounding.CEIL
    exact = mul_div(price, WHOLE + direction * distance, WHOLE, rounding)
    return grid.round_price(exact, rounding) if exact > 0 else 0
