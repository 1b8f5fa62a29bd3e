"""Legs that close a position without a proposal: at a trigger, at the mark, or at the fixing. Pure but for the desk."""

from dataclasses import replace

from clash_pipeline.market.listing import Listed, Tier
from clash_pipeline.prop import fees, orders, pricing
from clash_pipeline.prop.desk import Desk, Filled, Order, Origin
from clash_pipeline.prop.ledger import Entry, Line
from clash_pipeline.prop.orders import Leg
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Liquidity, Quote, Reference
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import Rounding

NOTHING_KNOWN = Liquidity(None, None, None, 0, None)
FREE = "fixing"
"""The fee schedule of fills at the fixing: they cost nothing, so that the balance becomes the fixed equity."""
CARRIED = "carried"
"""The price source of a position that has no mark: its last one."""


def at_market(desk: Desk, position: Position, reference: Reference) -> Leg:
    """All of a position at a reference, worsened by slippage, with the taker fee."""
    quote = desk.quotes.get(position.symbol)
    liquidity = quote.liquidity if quote else NOTHING_KNOWN
    (leg,) = orders.legs(
        Proposal(position.symbol, "close"), position, abs(position.size), asset_of(quote, position), reference,
        liquidity, cap=desk.account.policy.slippage_cap, now_ms=desk.now_ms,
    )  # fmt: skip
    return leg if leg.price > 0 else repriced(leg, position, 1, reference)  # a price has no smaller step


def not_better_than(leg: Leg, position: Position, trigger: int, reference: Reference) -> Leg:
    """The same leg at the worse of its price and a trigger, on the venue's tick."""
    limit = position.grid.round_price(trigger, Rounding.CEIL if leg.is_buy else Rounding.FLOOR)
    price = max(leg.price, limit) if leg.is_buy else min(leg.price, limit)
    return leg if price == leg.price else repriced(leg, position, price, reference)


def at_fixing(position: Position, price: int) -> Leg:
    """All of a position at a price that was fixed for everybody: no slippage, no fee."""
    size = abs(position.size)
    return Leg(
        number=0,
        is_buy=position.size < 0,
        is_opening=False,
        size=size,
        price=price,
        notional=position.grid.notional(price, size),
        fee=0,
        fee_rate=0,
        fee_schedule=FREE,
        slippage_rate=0,
        slippage=0,
    )


def mark_of(desk: Desk, position: Position) -> Reference:
    """The mark a position is closed at; the last one it had where memory has none."""
    quote = desk.quotes.get(position.symbol)
    found = quote.mark(desk.account.policy, desk.now_ms) if quote else None
    return found or last_mark(desk, position)


def last_mark(desk: Desk, position: Position) -> Reference:
    """The mark a position has had since memory had none."""
    if position.mark is None or position.mark_at is None:
        raise RuntimeError(f"the position in {position.symbol} of account {desk.account.id} was never marked")
    return Reference(position.grid.price_text(position.mark), CARRIED, position.mark_at, position.mark_at)


def close_everything(desk: Desk, origin: Origin, *, actor: str, reason: str, trigger_minute: int) -> list[Filled]:
    """Close every position at its mark, with slippage and fee; what is lost beyond the balance is a line of its own."""
    filled = []
    for position in desk.book.positions.values():
        reference = mark_of(desk, position)
        order = Order(origin, position.symbol, position.leverage, actor, reason, trigger_minute=trigger_minute)
        filled.append(desk.execute(order, at_market(desk, position, reference), reference))
    cover_shortfall(desk, actor=actor, reason=reason)
    return filled


def cover_shortfall(desk: Desk, *, actor: str, reason: str) -> int:
    """Bring a balance below zero back to zero, in a group of its own; returns the shortfall."""
    shortfall = max(-desk.account.balance, 0)
    if shortfall:
        entry = Entry("liquidation", "account", desk.account.id, actor, f"shortfall: {reason}")
        desk.book_group(entry, [Line("shortfall", "", shortfall)])
    return shortfall


def asset_of(quote: Quote | None, position: Position) -> Listed:
    """The asset as listed; one that left the registry keeps the grid it was traded on."""
    if quote is not None and quote.asset is not None:
        return quote.asset
    return Listed(position.symbol, position.kind, position.sz_decimals, 1, (Tier(0, 1),), True, frozenset(), "", "")


def repriced(leg: Leg, position: Position, price: int, reference: Reference) -> Leg:
    """The same leg at another scaled price, with the notional, fee and slippage that follow from it."""
    notional = position.grid.notional(price, leg.size)
    exact = reference.price
    asset = asset_of(None, position)
    lost = leg.slippage if exact is None else pricing.slippage_cost(exact, price, leg.size, asset)
    return replace(leg, price=price, notional=notional, fee=fees.fee(notional, leg.fee_rate), slippage=lost)
