"""The execution policy of an account: taken from the settings at creation, stored with its hash, never changed (04)."""

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.settings import Settings
from clash_pipeline.units import RATE, USD

RULE_SET = 1
BASIS_POINT = 10_000
"""One basis point in units of 1e-8."""
MARK_MAX_AGE_MS = 90 * SECOND_MS
"""A venue mark older than this does not mark a position (11, 6)."""
CLOSES_MAX_AGE_MS = 10 * MINUTE_MS
"""The newest of the five closes that stand in for a mark may be this old; then the last mark is carried *(ours)*."""
SLIPPAGE_CAP = 100 * BASIS_POINT
"""Slippage is never computed above 1 %; missing inputs that cannot be bounded otherwise cost this much (11, 3)."""


class Policy(msgspec.Struct, frozen=True):
    """Limits in whole percent, ages in ms, amounts in 1e-8 USD; `symbols` None allows every tradable asset."""

    rule_set: int
    symbols: tuple[str, ...] | None
    max_leverage: int
    max_position_pct: int
    max_gross_pct: int
    max_open_positions: int
    min_order: int
    max_orders_per_hour: int
    mid_max_age_ms: int
    candle_max_age_ms: int
    mark_max_age_ms: int
    closes_max_age_ms: int
    slippage_cap: int
    max_drawdown: int
    has_funding: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return canonical.digest(self)


def from_settings(settings: Settings, symbols: tuple[str, ...] | None = None) -> Policy:
    """The policy of a sandbox account as the settings have it now."""
    return Policy(
        rule_set=RULE_SET,
        symbols=None if symbols is None else tuple(sorted(set(symbols))),
        max_leverage=settings.max_leverage,
        max_position_pct=settings.max_position_pct,
        max_gross_pct=settings.max_gross_pct,
        max_open_positions=settings.max_open_positions,
        min_order=settings.min_order_usd * USD,
        max_orders_per_hour=settings.max_orders_per_hour,
        mid_max_age_ms=settings.mid_max_age_sec * SECOND_MS,
        candle_max_age_ms=settings.candle_max_age_sec * SECOND_MS,
        mark_max_age_ms=MARK_MAX_AGE_MS,
        closes_max_age_ms=CLOSES_MAX_AGE_MS,
        slippage_cap=SLIPPAGE_CAP,
        max_drawdown=settings.max_drawdown_pct * RATE // 100,
        has_funding=True,
    )


def decode(text: str) -> Policy:
    """A stored policy."""
    return msgspec.json.decode(text, type=Policy)
