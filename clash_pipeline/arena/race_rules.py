"""The rule set of a race: every figure that decides something in it, taken from the settings when its field is frozen.

Stored with the race and its hash, never changed: settings that change later are those of the next race (11).
"""

from typing import NamedTuple

import msgspec

from clash_pipeline import canonical
from clash_pipeline.arena.ranking import LEAST_GROSS_SHARE
from clash_pipeline.clock import SECOND_MS
from clash_pipeline.economy.settlement import CREATOR_BP, LEAST_STARTERS, RAKE_BP, WEIGHTS
from clash_pipeline.prop import policy
from clash_pipeline.prop.policy import Policy
from clash_pipeline.settings import Settings
from clash_pipeline.units import USD

RULE_SET = 1


class RaceRules(msgspec.Struct, frozen=True):
    """Times in ms, amounts in 1e-8 USD, rates in 1e-8; `policy` is that of each account and names the universe."""

    rule_set: int
    start_balance: int
    least_starters: int
    late_after_ms: int
    silent_after_ms: int
    least_volume: int
    least_gross_share: int
    rake_bp: int
    creator_bp: int
    weights: tuple[int, ...]
    policy: Policy

    @property
    def text(self) -> str:
        """The canonical JSON."""
        return canonical.text(self)

    @property
    def digest(self) -> str:
        """Its SHA-256."""
        return canonical.digest(self)


class Window(NamedTuple):
    """When a race sells and runs."""

    starts_at: int
    ends_at: int
    sales_open_at: int
    sales_close_at: int
    hidden_from: int


def of(settings: Settings, universe: tuple[str, ...]) -> RaceRules:
    """The rule set that some settings make for a universe."""
    return RaceRules(
        rule_set=RULE_SET,
        start_balance=settings.start_balance_usd * USD,
        least_starters=LEAST_STARTERS,
        late_after_ms=settings.race_late_sec * SECOND_MS,
        silent_after_ms=settings.race_silence_sec * SECOND_MS,
        least_volume=settings.race_least_volume_usd * USD,
        least_gross_share=LEAST_GROSS_SHARE,
        rake_bp=RAKE_BP,
        creator_bp=CREATOR_BP,
        weights=WEIGHTS,
        policy=policy.race(settings, universe),
    )


def decode(text: str) -> RaceRules:
    """A stored rule set."""
    return msgspec.json.decode(text, type=RaceRules)


def window(settings: Settings, now_ms: int, after: int | None) -> Window:
    """The next window whose sales, opened now, last long enough; `after` is the start of the race before it.

    Starts lie on the grid of multiples of the length since the epoch.
    """
    length = settings.race_length_sec * SECOND_MS
    before = settings.race_sales_close_before_sec * SECOND_MS
    earliest = now_ms + settings.race_least_sales_sec * SECOND_MS + before
    starts_at = -(-earliest // length) * length
    if after is not None:
        starts_at = max(starts_at, after + length)
    closes_at = starts_at - before
    hidden_from = max(closes_at - settings.race_hidden_sec * SECOND_MS, now_ms)
    return Window(starts_at, starts_at + length, now_ms, closes_at, hidden_from)
