"""The gates: one ordered list of small rules; the first that refuses decides, later ones may rely on earlier ones.

Each refusal carries its code and the figures that decided it. Limits and the hourly rate bind only orders that raise
exposure; a reduction is never refused by them (04 Intake). The opening leg of a flip raises exposure.
"""

from collections.abc import Callable

from clash_pipeline.prop import margin, orders, risk
from clash_pipeline.prop.case import Case, Rejection
from clash_pipeline.prop.pricing import max_age_ms
from clash_pipeline.units import RATE, Rounding, mul_div, scaled_text, usd_text

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


def leverage_exceeded(case: Case) -> Rejection | None:
    """Leverage below 1, above the policy, or above what the asset has at this notional; spot has 1."""
    if case.opening is None or case.quote is None or case.quote.asset is None:
        return None
    asset, wanted = case.quote.asset, case.proposal.leverage
    own = 1 if case.is_spot else margin.max_leverage(asset.tiers, case.notional_after)
    limit = min(own, case.account.policy.max_leverage)
    return Rejection("leverage_exceeded", {"leverage": wanted, "limit": limit}) if not 1 <= wanted <= limit else None


def position_limit(case: Case) -> Rejection | None:
    """The position would exceed its share of equity; equity is that before the order, at its marks."""
    if case.opening is None:
        return None
    return _above(case, "position_limit", case.notional_after, case.account.policy.max_position_pct)


def exposure_limit(case: Case) -> Rejection | None:
    """All positions together would exceed their share of equity."""
    if case.opening is None:
        return None
    others = sum(held.value for symbol, held in case.after.positions.items() if symbol != case.proposal.symbol)
    return _above(case, "exposure_limit", others + case.notional_after, case.account.policy.max_gross_pct)


def open_positions_limit(case: Case) -> Rejection | None:
    """One position too many."""
    count, limit = len(case.after.positions), case.account.policy.max_open_positions
    if case.opening is None or count <= limit:
        return None
    return Rejection("open_positions_limit", {"positions": count, "limit": limit})


def insufficient_margin(case: Case) -> Rejection | None:
    """Initial margin after the order, fees and slippage paid, would exceed equity; spot must be paid in free cash."""
    if case.opening is None:
        return None
    if case.after.free < 0:
        return Rejection(
            "insufficient_margin", {"margin": usd_text(case.after.margin), "equity": usd_text(case.after.equity)}
        )
    needed = case.opening.notional + case.opening.fee
    if case.is_spot and needed > case.book.cash:
        return Rejection("insufficient_margin", {"needed": usd_text(needed), "cash": usd_text(case.book.cash)})
    return None


def liquidity_limit(case: Case) -> Rejection | None:
    """Too large a share of the day's volume, which must be known; or more slippage than the account may pay."""
    policy, opening = case.account.policy, case.opening
    if opening is None or case.quote is None:
        return None
    volume = case.quote.liquidity.day_volume
    if policy.max_volume_share is not None:
        limit = mul_div(volume or 0, policy.max_volume_share, RATE, Rounding.FLOOR)
        if opening.notional > limit:
            known = None if volume is None else usd_text(volume)
            return Rejection(
                "liquidity_limit",
                {"notional": usd_text(opening.notional), "limit": usd_text(limit), "day_volume": known},
            )
    if policy.max_slippage is not None and opening.slippage_rate > policy.max_slippage:
        return Rejection(
            "liquidity_limit",
            {"slippage": usd_text(opening.slippage_rate), "limit": usd_text(policy.max_slippage)},
        )
    return None


def stop_invalid(case: Case) -> Rejection | None:
    """A stop or target that is no percentage, stands on the wrong side, or lies beyond where the account would end.

    Stops are measured from the execution price and trigger on the mark, so neither may have reached them already.
    """
    if case.opening is None:
        return None
    for name in ("stop_loss_pct", "take_profit_pct"):
        text = getattr(case.proposal, name)
        if text is not None and orders.percent(text) is None:
            return Rejection("stop_invalid", {"field": name, "value": text[:40], "limit": "above 0, at most 100"})
    for name, trigger, direction in (("stop", case.armed.stop, -1), ("target", case.armed.target, 1)):
        if trigger is not None and (found := _wrong_side(case, name, trigger, direction)):
            return found
    return _beyond_the_end(case)


def risk_budget(case: Case) -> Rejection | None:
    """Σ |notional| × six-hour volatility, every position after the order, above its share of equity (11, 5)."""
    limit = risk.budget(case.book.equity, case.account.policy)
    if limit is None or case.opening is None or case.risk_after <= limit:
        return None
    volatility = usd_text(case.six_hour_volatility(case.proposal.symbol))
    return Rejection(
        "risk_budget", {"risk": usd_text(case.risk_after), "limit": usd_text(limit), "volatility_6h": volatility}
    )


def rate_limited(case: Case) -> Rejection | None:
    """Too many opening orders in the last hour."""
    count, limit = case.opened_last_hour, case.account.policy.max_orders_per_hour
    if case.opening is None or count < limit:
        return None
    return Rejection("rate_limited", {"orders": count, "limit": limit})


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


def _wrong_side(case: Case, name: str, trigger: int, direction: int) -> Rejection | None:
    """Against the execution price and the mark; `direction` is 1 for a target, which lies ahead, -1 for a stop."""
    held = case.held_after
    for kind, price in (("execution price", case.legs[-1].price), ("mark", held.mark)):
        if trigger <= 0 or (price is not None and held.side * direction * (trigger - price) <= 0):
            return Rejection(
                "stop_invalid",
                {name: _price_text(case, trigger), kind: _price_text(case, price), "why": f"wrong side of the {kind}"},
            )
    return None


def _beyond_the_end(case: Case) -> Rejection | None:
    """A stop behind the liquidation price or the drawdown floor would never fire; at either it still may."""
    stop, side, symbol = case.armed.stop, case.held_after.side, case.proposal.symbol
    ends = {
        "liquidation price": case.after.liquidation_price(symbol, case.listing),
        "drawdown floor": case.after.price_at_equity(symbol, case.equity_floor),
    }
    for kind, price in ends.items():
        if stop is not None and price is not None and side * (stop - price) < 0:
            return Rejection(
                "stop_invalid",
                {"stop": _price_text(case, stop), kind: _price_text(case, price), "why": f"beyond the {kind}"},
            )
    return None


def _price_text(case: Case, price: int | None) -> str | None:
    return None if price is None else scaled_text(price, case.held_after.grid.px_decimals)


def _above(case: Case, code: str, notional: int, limit_pct: int) -> Rejection | None:
    limit = mul_div(case.book.equity, limit_pct, 100, Rounding.FLOOR)
    if notional <= limit:
        return None
    return Rejection(code, {"notional": usd_text(notional), "limit": usd_text(limit), "limit_pct": limit_pct})
