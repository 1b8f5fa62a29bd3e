"""What an audition is judged by: rules as data, and the judge that gives every criterion its bound and its value.

Pure and in integers. Amounts are 1e-8 USD, rates 1e-8, times ms. The kinds are those that evaluation firms use (10 §2);
`fair` are the product's own (11). A rule set is stored with each audition, and another evaluator is another `Judge`.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec

from clash_pipeline import canonical
from clash_pipeline.arena.facts import Facts, Fill
from clash_pipeline.arena.losses import DailyLoss, Loss, MaxLoss, first_broken, loss
from clash_pipeline.clock import DAY_MS, HOUR_MS
from clash_pipeline.settings import Settings
from clash_pipeline.units import RATE, Rounding, mul_div

RULE_SET = 1
PERIODS_MS = {"hour": HOUR_MS, "day": DAY_MS}
Period = Literal["hour", "day"]


class Survival(msgspec.Struct, frozen=True, tag_field="rule", tag="survival"):
    """The account was not liquidated, whatever for, and lived through its window."""


class ProfitTarget(msgspec.Struct, frozen=True, tag_field="rule", tag="profit_target"):
    """A least return on the start balance."""

    target: int


class MinimumActivity(msgspec.Struct, frozen=True, tag_field="rule", tag="minimum_activity"):
    """So many fills of at least a share of equity, in so many different periods of UTC."""

    fills: int
    min_share: int
    periods: int
    period: Period
    only_opening: bool = False


class Consistency(msgspec.Struct, frozen=True, tag_field="rule", tag="consistency"):
    """The profit is at least the best period's divided by a share: no single period made more than that."""

    share: int
    period: Period


Criterion = MaxLoss | DailyLoss | Survival | ProfitTarget | MinimumActivity | Consistency


class Rules(msgspec.Struct, frozen=True):
    """What one audition is judged by, as stored with it."""

    rule_set: int
    criteria: tuple[Criterion, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return canonical.digest(self)


class Finding(msgspec.Struct, frozen=True):
    """One criterion, its bound and its value, both of one unit; `value` is None where there is nothing to measure.

    Of a loss `floor` is the equity it allowed and `at` the moment that came closest to it, or broke it.
    """

    criterion: str
    is_met: bool
    bound: int
    value: int | None
    unit: Literal["rate", "count", "ms"]
    floor: int | None = None
    at: int | None = None


class Verdict(NamedTuple):
    """Every finding in the order of the rules; `cause` names the one that decided, None when all are met."""

    findings: tuple[Finding, ...]
    cause: str | None


Judge = Callable[[Rules, Facts], Verdict]


def fair(settings: Settings) -> Rules:
    """The product's own rules (11)."""
    return Rules(
        RULE_SET,
        (
            MaxLoss("trailing-intraday-unrealized", settings.audition_max_drawdown_pct * RATE // 100, of="peak"),
            Survival(),
            ProfitTarget(settings.audition_min_return_bp * RATE // 10_000),
            MinimumActivity(
                settings.audition_min_fills, settings.audition_min_fill_pct * RATE // 100,
                settings.audition_min_hours, "hour",
            ),
            Consistency(settings.audition_max_hour_share_pct * RATE // 100, "hour"),
        ),
    )  # fmt: skip


def decode(text: str) -> Rules:
    """Stored rules."""
    return msgspec.json.decode(text, type=Rules)


def findings_from(text: str) -> tuple[Finding, ...]:
    """Stored findings."""
    return msgspec.json.decode(text, type=tuple[Finding, ...])


def judge(rules: Rules, facts: Facts) -> Verdict:
    """The verdict of some rules on what an account came to.

    A broken loss limit is the cause before anything else: the one that broke first, of two in one move the higher floor
    (10 §2). Otherwise it is the first criterion that is not met.
    """
    losses = [loss(rule, facts) for rule in rules.criteria if isinstance(rule, MaxLoss | DailyLoss)]
    known = iter(losses)
    findings = tuple(
        finding
        for rule in rules.criteria
        for finding in ((_of_loss(next(known)),) if isinstance(rule, MaxLoss | DailyLoss) else _of_rule(rule, facts))
    )
    broken = first_broken(losses)
    missed = next((finding.criterion for finding in findings if not finding.is_met), None)
    return Verdict(findings, broken.name if broken else missed)


def _of_loss(found: Loss) -> Finding:
    return Finding(found.name, not found.is_broken, found.limit, found.value, "rate", found.floor, found.at)


def _of_rule(rule: Survival | ProfitTarget | MinimumActivity | Consistency, facts: Facts) -> Iterable[Finding]:
    match rule:
        case Survival():
            lasted = facts.ended_at - facts.started_at
            is_whole = not facts.is_liquidated and lasted >= facts.window_ms
            yield Finding("survival", is_whole, facts.window_ms, lasted, "ms")
        case ProfitTarget():
            made = mul_div(facts.pnl, RATE, facts.start, Rounding.FLOOR)
            yield Finding("profit_target", facts.pnl * RATE >= rule.target * facts.start, rule.target, made, "rate")
        case MinimumActivity():
            counted = [fill for fill in facts.fills if _counts(rule, fill)]
            periods = {fill.at // PERIODS_MS[rule.period] for fill in counted}
            yield _at_least("fills", rule.fills, len(counted))
            yield _at_least(f"active_{rule.period}s", rule.periods, len(periods))
        case Consistency():
            yield _consistency(rule, facts)


def _counts(rule: MinimumActivity, fill: Fill) -> bool:
    is_large = fill.notional * RATE >= rule.min_share * fill.equity
    return is_large and (fill.is_opening or not rule.only_opening)


def _at_least(name: str, bound: int, value: int) -> Finding:
    return Finding(name, value >= bound, bound, value, "count")


def _consistency(rule: Consistency, facts: Facts) -> Finding:
    best = max([0, *gains(facts, rule.period).values()])
    share = mul_div(best, RATE, facts.pnl, Rounding.CEIL) if facts.pnl > 0 else None
    is_met = facts.pnl * rule.share >= best * RATE
    return Finding(f"best_{rule.period}", is_met, rule.share, share, "rate")


def gains(facts: Facts, period: Period) -> Mapping[int, int]:
    """What each period of UTC made, by its start, from the last equity known in the one before it."""
    length = PERIODS_MS[period]
    closes = {min(point.t, facts.ended_at - 1) // length * length: point.equity for point in facts.path}
    equities = [facts.start, *closes.values()]
    return dict(zip(closes, (after - before for before, after in pairwise(equities)), strict=True))
