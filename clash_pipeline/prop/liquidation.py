"""Liquidation: the account is closed whole when equity falls under maintenance margin or the drawdown limit (04, 11.8).

Both are measured at the mark, never at a trade, so that one wick decides nothing. By product rule a breach ends the
account; the venue's partial step does not apply.
"""

from clash_pipeline.clock import minute_of
from clash_pipeline.faults import fault, point
from clash_pipeline.market.listing import Listing
from clash_pipeline.prop import closing
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.desk import Desk
from clash_pipeline.units import usd_text

AFTER_CLOSING = point("prop.liquidation.after_closing")
ACTOR = "liquidation"


def breach(account: Account, book: Book, listing: Listing) -> str | None:
    """Why the account must be liquidated, with the figures, or None; the limits themselves are still kept.

    The drawdown limit counts from the highest equity so far, this one included, or from the start balance. A move that
    crosses both floors is said to have broken the higher one (10 §2).
    """
    peak = max(account.high_water_mark, book.equity)
    floors = [(account.policy.equity_floor(account.start_balance, peak), "drawdown")]
    if book.positions:
        floors.append((book.maintenance(listing), "maintenance"))
    floor, name = max(floors)
    return f"{name}: equity {usd_text(book.equity)} under {usd_text(floor)}" if book.equity < floor else None


def carry_out(desk: Desk, reason: str) -> None:
    """Close every position at its mark, with slippage, fee and shortfall; the caller freezes the result."""
    closing.close_everything(desk, "liquidation", actor=ACTOR, reason=reason, trigger_minute=minute_of(desk.now_ms))
    fault(AFTER_CLOSING)
