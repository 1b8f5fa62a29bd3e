"""The order of finish of a race (11, 16). Pure: what each starter's account came to in, the rank of each out.

Active survivors, then inactive ones, then the liquidated by the later end, then the removed; within a class the higher
final equity, the smaller drawdown, the earlier slot entry, the smaller clone id. The order is total, so the sequence in
which starters are given changes nothing.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from clash_pipeline.prop.results import Result
from clash_pipeline.units import RATE

Class = Literal["active", "inactive", "liquidated", "removed"]
CLASSES: tuple[Class, ...] = ("active", "inactive", "liquidated", "removed")
LEAST_GROSS_SHARE = RATE // 10
"""Time-weighted gross below this share of equity is inactive, and so is a clone without a fill."""


class Finisher(NamedTuple):
    """A starter at the end; amounts in 1e-8 USD, rates in 1e-8, times in ms."""

    clone_id: int
    slot_entered_at: int
    is_removed: bool
    is_liquidated: bool
    final_equity: int
    max_drawdown: int
    ended_at: int
    fills: int
    gross_share: int | None

    @property
    def standing(self) -> Class:
        """The class it is ranked in."""
        if self.is_removed:
            return "removed"
        if self.is_liquidated:
            return "liquidated"
        is_active = self.fills > 0 and self.gross_share is not None and self.gross_share >= LEAST_GROSS_SHARE
        return "active" if is_active else "inactive"


class Placed(NamedTuple):
    """A starter with its rank, from 1."""

    rank: int
    finisher: Finisher

    @property
    def clone_id(self) -> int:
        """The clone."""
        return self.finisher.clone_id


def finisher(clone_id: int, slot_entered_at: int, result: Result, *, is_removed: bool) -> Finisher:
    """A starter by its frozen result."""
    return Finisher(
        clone_id=clone_id,
        slot_entered_at=slot_entered_at,
        is_removed=is_removed,
        is_liquidated=result.state == "liquidated",
        final_equity=result.final_equity,
        max_drawdown=result.max_drawdown,
        ended_at=result.ended_at,
        fills=result.fills,
        gross_share=result.gross_share,
    )


def rank(finishers: Iterable[Finisher]) -> list[Placed]:
    """Every starter in the order of finish.

    Raises:
        ValueError: a clone that is given twice.
    """
    ordered = sorted(finishers, key=_key)
    clones = [one.clone_id for one in ordered]
    if len(set(clones)) != len(clones):
        raise ValueError(f"a clone finishes once: {clones}")
    return [Placed(place, one) for place, one in enumerate(ordered, start=1)]


def _key(one: Finisher) -> tuple[int, ...]:
    survived = CLASSES.index(one.standing)
    later_first = -one.ended_at if one.standing == "liquidated" else 0
    return (survived, later_first, -one.final_equity, one.max_drawdown, one.slot_entered_at, one.clone_id)
