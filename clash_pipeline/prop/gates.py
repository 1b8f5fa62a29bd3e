"""The gates: one ordered list of small rules; the first that refuses decides, later ones may rely on earlier ones.

Each refusal carries its code and the figures that decided it. Limits and the hourly rate bind only orders that raise
exposure; a reduction is never refused by them (04 Intake).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from clash_pipeline.prop import margin, orders
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book, marked
from clash_pipeline.prop.orders import Leg
from clash_pipeline.prop.positions import Position, after_fill
from clash_pipeline.prop.pricing import Quote, Reference, is_fresh, max_age_ms
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import Rounding, mul_div, usd_text

Figures = dict[str, str | int | None]
SUPPORTED = frozenset({"open_long", "open_short", "increase", "reduce", "close"})
NEEDS_POSITION = frozenset({"increase", "reduce", "close"})


@dataclass(frozen=True)
class Rejection:
    """Why an action was refused."""

    code: str
    figures: Figures


@dataclass(frozen=True)
class Case:
    """One proposal before the gates: the account as it stands, what memory says, and what follows from both."""

    account: Account
    book: Book
    proposal: Proposal
    quote: Quote | None
    position: Position
    opened_last_hour: int
    now_ms: int

    @cached_property
    def reference(self) -> Reference | None:
        """The price that would be traded on."""
        return self.quote.reference(self.account.policy, self.now_ms) if self.quote else None

    @cached_property
    def amount(self) -> int | None:
        """The size or notional that is asked for."""
        return orders.requested(self.proposal, self.position, self.book.equity)

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The orders it means, priced."""
        if self.quote is None or self.quote.asset is None or self.reference is None or self.amount is None:
            return ()
        policy = self.account.policy
        return orders.legs(
            self.proposal, self.position, self.amount, self.quote.asset, self.reference, self.quote.liquidity,
            cap=policy.slippage_cap, now_ms=self.now_ms,
        )  # fmt: skip

    @cached_property
    def opening(self) -> Leg | None:
        """The leg that raises exposure, if there is one."""
        return next((leg for leg in self.legs if leg.is_opening), None)

    @cached_property
    def is_full_close(self) -> bool:
        """Whether nothing of the position would be left and nothing new opened."""
        return self.opening is None and all(leg.size == abs(self.position.size) for leg in self.legs)

    @cached_property
    def after(self) -> Book:
        """The book after all legs, every position at its mark."""
        position, book = self.position, self.book
        for leg in self.legs:
            effect = after_fill(
                position, is_buy=leg.is_buy, size=leg.size, price=leg.price, fee=leg.fee,
                leverage=self.proposal.leverage, now_ms=self.now_ms,
            )  # fmt: skip
            position = effect.position
            book = Book(book.balance + effect.realized - leg.fee, book.positions)
        return book.with_position(marked(position, self.quote, self.account.policy, self.now_ms))

    @cached_property
    def notional_after(self) -> int:
        """The position's notional after all legs, at the price it is traded at."""
        held = self.after.positions.get(self.proposal.symbol)
        return held.grid.notional(self.legs[-1].price, abs(held.size)) if held else 0


Gate = Callable[[Case], Rejection | None]


def trading_halted(case: Case) -> Rejection | None:
    """A global or per-account kill switch is thrown."""
    return Rejection("trading_halted", {"halt": case.account.halted}) if case.account.halted else None


def account_not_active(case: Case) -> Rejection | None:
    """The account is in any state but active."""
    state = case.account.state
    return Rejection("account_not_active", {"state": state}) if state != "active" else None


def window_closed(case: Case) -> Rejection | None:
    """The account's window is over, or has not begun."""
    starts, ends, now = case.account.starts_at, case.account.ends_at, case.now_ms
    is_over = ends is not None and now >= ends
    is_early = starts is not None and now < starts
    return (
        Rejection("window_closed", {"now": now, "starts_at": starts, "ends_at": ends}) if is_over or is_early else None
    )


def action_unsupported(case: Case) -> Rejection | None:
    """Hold and cancel are no orders."""
    action = case.proposal.action
    return Rejection("action_unsupported", {"action": action}) if action not in SUPPORTED else None


def symbol_not_allowed(case: Case) -> Rejection | None:
    """Outside the account's allowed symbols; what is already held may always be reduced."""
    allowed = case.account.policy.symbols
    if allowed is None or case.proposal.symbol in allowed or _only_reduces(case):
        return None
    return Rejection("symbol_not_allowed", {"symbol": case.proposal.symbol, "allowed": len(allowed)})


def symbol_not_tradable(case: Case) -> Rejection | None:
    """Unknown, delisted, or without candles of its own."""
    asset = case.quote.asset if case.quote else None
    why = "unknown" if asset is None else "delisted" if asset.is_delisted else "context only"
    if asset is not None and not asset.is_delisted and "ohlcv" in asset.channels:
        return None
    return Rejection("symbol_not_tradable", {"symbol": case.proposal.symbol, "why": why})


def price_unavailable(case: Case) -> Rejection | None:
    """Memory has no positive price at all."""
    if case.reference is not None and case.reference.price is not None:
        return None
    return Rejection("price_unavailable", {"symbol": case.proposal.symbol})


def price_stale(case: Case) -> Rejection | None:
    """The newest price is older than the policy allows; the limit itself is accepted."""
    reference, policy = case.reference, case.account.policy
    if reference is None or is_fresh(reference, policy, case.now_ms):
        return None
    return Rejection(
        "price_stale",
        {
            "source": reference.source,
            "age_ms": reference.age_ms(case.now_ms),
            "limit_ms": max_age_ms(reference.source, policy),
        },
    )


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
    is_spot_short = (
        side == -1 and case.quote is not None and case.quote.asset is not None and case.quote.asset.kind == "spot"
    )
    if side is None or (side != case.position.side and not is_spot_short):
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
    own = 1 if asset.kind == "spot" else margin.max_leverage(asset.tiers, case.notional_after)
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
    """Initial margin after the order, fees and slippage paid, would exceed equity."""
    if case.opening is None or case.after.free >= 0:
        return None
    return Rejection(
        "insufficient_margin", {"margin": usd_text(case.after.margin), "equity": usd_text(case.after.equity)}
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
    rate_limited,
)


def first_rejection(case: Case) -> Rejection | None:
    """The first gate that refuses decides."""
    return next((rejection for gate in GATES if (rejection := gate(case))), None)


def _only_reduces(case: Case) -> bool:
    return case.proposal.action in ("reduce", "close") and case.position.size != 0


def _above(case: Case, code: str, notional: int, limit_pct: int) -> Rejection | None:
    limit = mul_div(case.book.equity, limit_pct, 100, Rounding.FLOOR)
    if notional <= limit:
        return None
    return Rejection(code, {"notional": usd_text(notional), "limit": usd_text(limit), "limit_pct": limit_pct})
