"""The gates that bind only orders that raise exposure: limits, margin, liquidity, stops, the risk budget, the rate.

A reduction passes all of them; the opening leg of a flip raises exposure.
"""

from clash_pipeline.prop import margin, orders, risk
from clash_pipeline.prop.case import Case, Rejection
from clash_pipeline.units import RATE, Rounding, mul_div, scaled_text, usd_text


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
    for name, most in (("stop_loss_pct", orders.WHOLE), ("take_profit_pct", orders.FURTHEST_TARGET)):
        text = getattr(case.proposal, name)
        if text is not None and orders.percent(text, most) is None:
            limit = f"above 0, at most {100 * most // orders.WHOLE}"
            return Rejection("stop_invalid", {"field": name, "value": text[:40], "limit": limit})
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
