"""The gates: one ordered list of small rules; the first that refuses decides, later ones may rely on earlier ones.

Each refusal carries its code and the figures that decided it. Limits and the hourly rate bind only orders that raise
exposure; a reduction is never refused by them (04 Intake). The opening leg of a flip raises exposure.
"""

from collections.abc import Callable

from clash_pipeline.prop import orders
from clash_pipeline.prop.case import Case, Rejection
from clash_pipeline.prop.limits import (
    exposure_limit,
    insufficient_margin,
    leverage_exceeded,
    liquidity_limit,
    open_positions_limit,
    position_limit,
    rate_limited,
    risk_budget,
    stop_invalid,
)
from clash_pipeline.prop.pricing import max_age_ms
from clash_pipeline.units import usd_text

SUPPORTED = frozenset({"open_long", "open_short", "increase", "reduce", "close"})
NEEDS_POSITION = frozenset({"increase", "reduce", "close"})

Gate = Callable[[Case], Rejection | None]


def trading_halted(case: Case) -> Rejection | None:
    """A global or per-account kill switch is thrown."""
    return Rejection("trading_halted", {"halt": case.account.halted}) if case.account.halted else None


def account_not_active(case: Case) -> Rejection | None:
    """The account is in any state but active."""
    state = case.account.state
    return Rejection("account_not_active", {"state": state}) if state != "active" else None


def window_closed(case: Case) -> Rejection | None:
    """The account's window is over, has not begun, or takes no more orders before the fixing (11, 9)."""
    starts, ends, quiet = case.account.starts_at, case.account.ends_at, case.account.policy.last_order_before_end_ms
    is_over = ends is not None and (case.now_ms >= ends or (quiet > 0 and case.filled_as_of > ends - quiet))
    is_early = starts is not None and case.filled_as_of < starts
    if not is_over and not is_early:
        return None
    last = ends - quiet if ends is not None and quiet else ends
    return Rejection(
        "window_closed", {"now": case.filled_as_of, "starts_at": starts, "ends_at": ends, "last_order_at": last}
    )


def action_unsupported(case: Case) -> Rejection | None:
    """Hold and cancel are no orders."""
    action = case.proposal.action
    return Rejection("action_unsupported", {"action": action}) if action not in SUPPORTED else None


def symbol_not_allowed(case: Case) -> Rejection | None:
    """Outside the account's symbols, or spot where there is none; what is already held may always be reduced."""
    policy, symbol = case.account.policy, case.proposal.symbol
    if _only_reduces(case):
        return None
    if policy.symbols is not None and symbol not in policy.symbols:
        return Rejection("symbol_not_allowed", {"symbol": symbol, "allowed": len(policy.symbols)})
    if case.is_spot and not policy.allows_spot:
        return Rejection("symbol_not_allowed", {"symbol": symbol, "kind": "spot"})
    return None


def symbol_not_tradable(case: Case) -> Rejection | None:
    """Unknown, delisted, or without candles of its own."""
    asset = case.quote.asset if case.quote else None
    why = "unknown" if asset is None else "delisted" if asset.is_delisted else "context only"
    if asset is not None and not asset.is_delisted and "ohlcv" in asset.channels:
        return None
    return Rejection("symbol_not_tradable", {"symbol": case.proposal.symbol, "why": why})


def price_unavailable(case: Case) -> Rejection | None:
    """Memory has no positive price at all; or the minute of the common instant is missing, open or without a trade."""
    if case.reference is not None and case.reference.price is not None:
        return None
    figures: dict[str, str | int | None] = {"symbol": case.proposal.symbol}
    if case.account.policy.fill_delay_ms:
        figures |= {"fill_minute": case.fill_minute, "why": case.why_no_close}
    return Rejection("price_unavailable", figures)


def price_stale(case: Case) -> Rejection | None:
    """The price is older than the policy allows, or than what the decision already knew; the limit is accepted."""
    reference, policy = case.reference, case.account.policy
    if reference is None or case.quote is None:
        return None
    if case.newest_datum_at is not None and policy.fill_delay_ms and reference.at < case.newest_datum_at:
        return Rejection(
            "price_stale",
            {"source": reference.source, "price_at": reference.at, "newest_datum_at": case.newest_datum_at},
        )
    if case.quote.is_fresh(reference, policy, case.now_ms):
        return None
    limit = max_age_ms(case.proposal.symbol, reference.source, policy)
    age = reference.age_ms(case.now_ms)
    return Rejection("price_stale", {"source": reference.source, "age_ms": age, "limit_ms": limit})


def size_invalid(case: Case) -> Rejection | None:
    """Not a percentage in (0, 100], or it rounds to nothing at the asset's size decimals."""
    if case.proposal.action in NEEDS_POSITION and case.position.size == 0:
        return None  # the next gate says it better
    if case.amount is not None and case.legs and all(leg.size > 0 and leg.price > 0 for leg in case.legs):
        return None
    asset = case.quote.asset if case.quote else None
    return Rejection(
        "size_invalid",
        {
            "size_pct": case.proposal.size_pct[:40],
            "equity": usd_text(case.book.equity),
            "sz_decimals": asset.sz_decimals if asset else None,
        },
    )


def no_position(case: Case) -> Rejection | None:
    """Nothing is held that could be increased, reduced or closed."""
    if case.proposal.action in NEEDS_POSITION and case.position.size == 0:
        return Rejection("no_position", {"action": case.proposal.action, "symbol": case.proposal.symbol})
    return None


def side_conflict(case: Case) -> Rejection | None:
    """An open on the side that is already held, or a short of a spot asset."""
    side = orders.OPENING.get(case.proposal.action)
    if side is None or (side != case.position.side and not (side == -1 and case.is_spot)):
        return None
    held = case.position.grid.size_text(case.position.size)
    return Rejection("side_conflict", {"action": case.proposal.action, "held": held, "kind": case.position.kind})


def below_min_notional(case: Case) -> Rejection | None:
    """An order under the minimum; a full close is exempt, and so is the closing leg of a flip."""
    leg = case.opening or (None if case.is_full_close else case.legs[0])
    minimum = case.account.policy.min_order
    if leg is None or leg.notional >= minimum:
        return None
    return Rejection("below_min_notional", {"notional": usd_text(leg.notional), "limit": usd_text(minimum)})


GATES: tuple[Gate, ...] = (
    trading_halted,
    account_not_active,
    window_closed,
    action_unsupported,
    symbol_not_allowed,
    symbol_not_tradable,
    price_unavailable,
    price_stale,
    size_invalid,
    no_position,
    side_conflict,
    below_min_notional,
    leverage_exceeded,
    position_limit,
    exposure_limit,
    open_positions_limit,
    insufficient_margin,
    liquidity_limit,
    stop_invalid,
    risk_budget,
    rate_limited,
)


def first_rejection(case: Case) -> Rejection | None:
    """The first gate that refuses decides."""
    return next((rejection for gate in GATES if (rejection := gate(case))), None)


def _only_reduces(case: Case) -> bool:
    return case.proposal.action in ("reduce", "close") and case.position.size != 0
