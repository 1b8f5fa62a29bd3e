"""Loss limits along an equity path: where each floor stood, how close the account came, and which broke first (10 §2).

Every kind is a way to set a floor under equity. A value is how far below its reference the account was, in the same
rate as the limit, so that a limit is broken exactly when the value is above it.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import msgspec

from clash_pipeline.arena.facts import Facts, Point
from clash_pipeline.clock import DAY_MS
from clash_pipeline.units import RATE, Rounding, mul_div


class MaxLoss(msgspec.Struct, frozen=True, tag_field="rule", tag="max_loss"):
    """The most that may be lost, as a share of the start balance or of the peak.

    `static-initial` counts from the start balance; `trailing-realized-eod` from the highest balance at the end of a
    day, set between days and checked live; `trailing-intraday-unrealized` from the highest equity of any minute;
    `trailing-locks-at-initial` as the end-of-day one, until its floor reaches the start balance plus the offset.
    """

    kind: Literal[
        "static-initial", "trailing-realized-eod", "trailing-intraday-unrealized", "trailing-locks-at-initial"
    ]
    limit: int
    of: Literal["initial", "peak"] = "initial"
    lock_offset: int = 0
    day_starts_ms: int = 0


class DailyLoss(msgspec.Struct, frozen=True, tag_field="rule", tag="daily_loss"):
    """The most that may be lost in a day.

    The limit is a share of `limit_basis`; it counts from the `basis` that the day before closed at (`higher` takes the
    larger of the two); with `includes_open_pnl` it is equity that must stay above the floor, else the balance; it is
    checked live, or at the end of each day. A day begins `day_starts_ms` after midnight UTC.
    """

    limit: int
    limit_basis: Literal["initial", "day_start"] = "initial"
    basis: Literal["balance", "equity", "higher"] = "balance"
    includes_open_pnl: bool = True
    evaluation: Literal["live", "end_of_day"] = "live"
    day_starts_ms: int = 0


class Check(NamedTuple):
    """A floor at a moment, what was measured against it, and the amounts that make a rate of it."""

    at: int
    floor: int
    measured: int
    amount: int
    base: int

    @property
    def is_broken(self) -> bool:
        """Whether the account was below the floor."""
        return self.measured < self.floor

    @property
    def value(self) -> int:
        """How far it was below the reference, as a rate, rounded up; negative above it."""
        return mul_div(self.floor + self.amount - self.measured, RATE, self.base, Rounding.CEIL)


class Loss(NamedTuple):
    """What a limit came to: the moment it was first broken, else the one that came closest."""

    name: str
    limit: int
    value: int
    is_broken: bool
    floor: int | None
    at: int | None


def loss(rule: MaxLoss | DailyLoss, facts: Facts) -> Loss:
    """A limit along the path of an account."""
    checks = list(_max_loss(rule, facts) if isinstance(rule, MaxLoss) else _daily_loss(rule, facts))
    name = "max_loss" if isinstance(rule, MaxLoss) else "daily_loss"
    broken = next((check for check in checks if check.is_broken), None)
    closest = broken or max(checks, key=lambda check: check.value)
    value = max(check.value for check in checks)
    if _is_drawdown(rule) and not broken and facts.max_drawdown > value:  # of a minute that was thinned since
        is_broken = facts.max_drawdown > rule.limit
        return Loss(name, rule.limit, facts.max_drawdown, is_broken, None, None)
    return Loss(name, rule.limit, value, broken is not None, closest.floor, closest.at)


def first_broken(losses: Iterable[Loss]) -> Loss | None:
    """The limit that broke first; of those that broke at one moment the one with the higher floor."""
    broken = [each for each in losses if each.is_broken]
    return min(broken, key=lambda each: (each.at or 0, -(each.floor or 0)), default=None)


def _is_drawdown(rule: MaxLoss | DailyLoss) -> bool:
    return isinstance(rule, MaxLoss) and (rule.kind, rule.of) == ("trailing-intraday-unrealized", "peak")


def _max_loss(rule: MaxLoss, facts: Facts) -> Iterator[Check]:
    for point, closed in _days(facts, rule.day_starts_ms):
        high = {
            "static-initial": facts.start,
            "trailing-intraday-unrealized": max(facts.start, point.peak),
        }.get(rule.kind, max([facts.start, *(each.balance for each in closed)]))
        base = high if rule.of == "peak" else facts.start
        amount = mul_div(base, rule.limit, RATE, Rounding.FLOOR)
        floor = high - amount
        if rule.kind == "trailing-locks-at-initial":
            floor = min(floor, facts.start + rule.lock_offset)
        yield Check(point.t, floor, point.equity, amount, base)


def _daily_loss(rule: DailyLoss, facts: Facts) -> Iterator[Check]:
    path = list(_days(facts, rule.day_starts_ms))
    for number, (point, closed) in enumerate(path):
        is_last = number + 1 == len(path) or len(path[number + 1][1]) > len(closed)
        if rule.evaluation == "end_of_day" and not is_last:
            continue
        before = closed[-1] if closed else Point(facts.started_at, facts.start, facts.start, facts.start)
        reference = {"balance": before.balance, "equity": before.equity}.get(
            rule.basis, max(before.balance, before.equity)
        )
        base = facts.start if rule.limit_basis == "initial" else max(reference, 1)
        amount = mul_div(base, rule.limit, RATE, Rounding.FLOOR)
        measured = point.equity if rule.includes_open_pnl else point.balance
        yield Check(point.t, reference - amount, measured, amount, base)


def _days(facts: Facts, day_starts_ms: int) -> Iterator[tuple[Point, list[Point]]]:
    """Every point of the path with the last points of the days before its own."""
    closed: list[Point] = []
    before: Point | None = None
    for point in facts.path:
        if before is not None and _day(before, facts, day_starts_ms) < _day(point, facts, day_starts_ms):
            closed = [*closed, before]
        yield point, closed
        before = point


def _day(point: Point, facts: Facts, day_starts_ms: int) -> int:
    return (min(point.t, facts.ended_at - 1) - day_starts_ms) // DAY_MS
