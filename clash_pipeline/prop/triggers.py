"""Stops and targets: they trigger on the mark and fill at the worse of trigger and next execution price (11, 6)."""

from typing import Literal, NamedTuple

from clash_pipeline.clock import minute_of
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import closing
from clash_pipeline.prop.desk import Desk, Filled, Order
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.snapshots import has_mark

AFTER_TRIGGER = point("prop.mark.after_trigger")
ACTOR = "trigger"


class Trigger(NamedTuple):
    """What fired, and the scaled price it stood at."""

    kind: Literal["stop", "target"]
    price: int


def fired(position: Position) -> Trigger | None:
    """What the mark of a position has reached; touching the price is enough, and the stop counts first."""
    if position.mark is None or position.size == 0:
        return None
    side, mark = position.side, position.mark
    if position.stop is not None and side * (mark - position.stop) <= 0:
        return Trigger("stop", position.stop)
    if position.target is not None and side * (mark - position.target) >= 0:
        return Trigger("target", position.target)
    return None


def fire(desk: Desk) -> list[Filled]:
    """Close every position whose stop or target its present mark has reached.

    One that has no fresh execution price stays armed and is tried again at the next tick; a kill switch stops them all.
    """
    if desk.account.halted:
        return []
    found = [(held, trigger) for held in desk.book.positions.values() if (trigger := fired(held))]
    return [filled for held, trigger in found if (filled := _close(desk, held, trigger))]


def _close(desk: Desk, position: Position, trigger: Trigger) -> Filled | None:
    quote, policy = desk.quotes.get(position.symbol), desk.account.policy
    reference = quote.reference(policy, desk.now_ms) if quote else None
    if quote is None or reference is None or not has_mark(quote, desk):
        return None
    if not quote.is_fresh(reference, policy, desk.now_ms):
        return None
    leg = closing.not_better_than(closing.at_market(desk, position, reference), position, trigger.price, reference)
    at = position.grid.price_text(trigger.price)
    order = Order(
        trigger.kind, position.symbol, position.leverage, ACTOR, f"{trigger.kind} at {at}",
        trigger_minute=minute_of(desk.now_ms),
    )  # fmt: skip
    filled = desk.execute(order, leg, reference)
    fault(AFTER_TRIGGER)
    return filled
