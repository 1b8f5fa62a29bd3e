"""The execution policy of an account: one versioned rule set with the terms of each kind of account (04, 11).

Taken from the settings when the account is opened, stored with its hash, never changed. A field that a later rule set
added has a default that means what its absence meant, so that policies stored before it still say the same.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.settings import Settings
from clash_pipeline.units import RATE, USD, Rounding, mul_div

RULE_SET = 2
BASIS_POINT = RATE // 10_000
"""One basis point in units of 1e-8."""

Ages = tuple[tuple[str, int], ...]


class Policy(msgspec.Struct, frozen=True):
    """Limits in whole percent, ages in ms, amounts in 1e-8 USD, rates in 1e-8; `symbols` None allows every asset.

    None as a limit means that there is none.
    """

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
    symbol_max_age_ms: Ages = ()
    """Symbols whose prices must be younger than their source's limit."""
    max_slippage: int | None = None
    """Slippage above it refuses an opening order; None only caps it."""
    max_volume_share: int | None = None
    """The largest opening order, as a share of 24 h volume."""
    drawdown_basis: Literal["trailing", "static"] = "trailing"
    """Whether `max_drawdown` counts from the high-water mark or from the start balance."""
    funding_credit_window_ms: int = 0
    """Funding is credited on the smallest position held for this long before the hour; 0 on the one held then."""
    risk_budget: int | None = None
    """Σ |notional| × σ6h may be at most this share of equity."""
    volatility_floor: int = RATE // 100
    unknown_volatility: int = 15 * RATE // 100
    """σ6h of an asset with too few stored hours."""
    fill_delay_ms: int = 0
    """Runs of tick t are filled at t + this, all at the same price; 0 fills at the newest price."""
    last_order_before_end_ms: int = 0
    fixing_ms: int = 0
    """Final equity takes the median of the marks of this long before the end; 0 takes the last mark."""
    oracle_after_ms: int | None = None
    """A held asset without a mark for this long is priced by the oracle at the fixing."""
    allows_spot: bool = True
    min_cadence_sec: int = 60

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return canonical.digest(self)

    def fill_minute(self, tick: int) -> int | None:
        """The open time of the minute at whose close the runs of a tick are filled; None fills at the newest price."""
        return tick + self.fill_delay_ms - MINUTE_MS if self.fill_delay_ms else None

    def equity_floor(self, start_balance: int, high_water_mark: int) -> int:
        """The equity below which the drawdown limit is broken, rounded up against the account."""
        base = high_water_mark if self.drawdown_basis == "trailing" else start_balance
        return base - mul_div(base, self.max_drawdown, RATE, Rounding.FLOOR)


class SpreadClass(NamedTuple):
    """What half an impact spread is taken to be, down to a rank by 24 h volume (11, 3)."""

    last_rank: int
    half_spread: int


SPREAD_CLASSES = (
    SpreadClass(5, 5 * BASIS_POINT // 10),
    SpreadClass(20, 17 * BASIS_POINT // 10),
    SpreadClass(50, 48 * BASIS_POINT // 10),
    SpreadClass(100, 63 * BASIS_POINT // 10),
)
WORST_HALF_SPREAD = 17 * BASIS_POINT
"""Beyond the last class, and where the rank is unknown: the widest that was measured (11, 3)."""
MIN_HALF_SPREAD = BASIS_POINT // 2
IMPACT_TENTHS = 7
"""The impact coefficient 0.7, in tenths (11, 3)."""
WORST_DAY_VOLATILITY = RATE // 10
"""Taken for slippage where too few closes are known: 10 % a day *(ours)*, above nearly every listed perp."""


def sandbox(settings: Settings, symbols: tuple[str, ...] | None = None) -> Policy:
    """The terms of a sandbox account: the defaults of 04."""
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
        mark_max_age_ms=settings.mark_max_age_sec * SECOND_MS,
        closes_max_age_ms=settings.closes_max_age_sec * SECOND_MS,
        slippage_cap=settings.slippage_cap_bp * BASIS_POINT,
        max_drawdown=settings.max_drawdown_pct * RATE // 100,
        has_funding=True,
        symbol_max_age_ms=tuple((symbol, sec * SECOND_MS) for symbol, sec in settings.price_max_ages),
        max_volume_share=settings.max_volume_share_bp * BASIS_POINT,
        oracle_after_ms=settings.oracle_after_sec * SECOND_MS,
        min_cadence_sec=settings.min_cadence_sec,
    )


def audition(settings: Settings, symbols: tuple[str, ...] | None = None) -> Policy:
    """The terms of an audition account: those of a race, spot allowed, a trailing drawdown of its own (11)."""
    return msgspec.structs.replace(
        _fair(settings, symbols),
        max_drawdown=settings.audition_max_drawdown_pct * RATE // 100,
        drawdown_basis="trailing",
    )


def race(settings: Settings, symbols: tuple[str, ...] | None = None) -> Policy:
    """The terms of a race account: perps only, a static drawdown from the start balance, a slower cadence (11)."""
    return msgspec.structs.replace(
        _fair(settings, symbols),
        max_drawdown=settings.race_max_drawdown_pct * RATE // 100,
        drawdown_basis="static",
        allows_spot=False,
        min_cadence_sec=settings.race_min_cadence_sec,
    )


def _fair(settings: Settings, symbols: tuple[str, ...] | None) -> Policy:
    """What auditions and races have in common (11, 1 to 9)."""
    return msgspec.structs.replace(
        sandbox(settings, symbols),
        max_leverage=settings.fair_max_leverage,
        max_position_pct=settings.fair_max_gross_pct,
        max_gross_pct=settings.fair_max_gross_pct,
        max_orders_per_hour=settings.fair_max_orders_per_hour,
        slippage_cap=settings.fair_slippage_cap_bp * BASIS_POINT,
        max_slippage=settings.fair_max_slippage_bp * BASIS_POINT,
        max_volume_share=settings.fair_max_volume_share_bp * BASIS_POINT,
        funding_credit_window_ms=settings.fair_funding_credit_window_sec * SECOND_MS,
        risk_budget=settings.fair_risk_budget_pct * RATE // 100,
        volatility_floor=settings.fair_volatility_floor_pct * RATE // 100,
        unknown_volatility=settings.fair_unknown_volatility_pct * RATE // 100,
        fill_delay_ms=settings.fair_fill_delay_sec * SECOND_MS,
        last_order_before_end_ms=settings.fair_last_order_before_end_sec * SECOND_MS,
        fixing_ms=settings.fair_fixing_sec * SECOND_MS,
    )


@lru_cache(maxsize=256)
def decode(text: str) -> Policy:
    """A stored policy, of this rule set or an earlier one; a wave has few different ones.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(text, type=Policy)
