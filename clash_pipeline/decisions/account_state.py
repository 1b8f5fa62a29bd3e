"""The account as a packet shows it, from the same objects the gates read: the account, its marked book, its quotes."""

from collections.abc import Mapping
from typing import Any

import msgspec

from clash_pipeline.market import text
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.room import room_for
from clash_pipeline.prop.views import position_view
from clash_pipeline.units import RATE, Rounding, mul_div, usd_text

HALT_BYTES = 200
"""An operator's reason for a halt is shown this far."""


class Ledger(msgspec.Struct, frozen=True):
    """What the ledger adds up to so far, and its head; amounts in USD, costs positive."""

    seq: int
    hash: str
    realized: str
    fees: str
    funding: str


class AccountState(msgspec.Struct, frozen=True):
    """The account as the gates will see it, and the room left under each limit; amounts in USD."""

    state: str
    halted: str | None
    start_balance: str
    balance: str
    equity: str
    unrealized: str
    gross: str
    margin: str
    free: str
    high_water_mark: str
    drawdown_pct: str
    positions: tuple[dict[str, Any], ...]
    open_orders: tuple[dict[str, Any], ...]
    recent_fills: tuple[dict[str, Any], ...]
    ledger: Ledger
    policy_hash: str
    room: dict[str, str | int]


class Facts(msgspec.Struct, frozen=True):
    """What memory and the account say at one `as_of`, read once for all runs of one account."""

    account: Account
    book: Book
    ever_held: Mapping[str, Position]
    opened_last_hour: int
    recent_fills: tuple[dict[str, Any], ...]
    quotes: Mapping[str, Quote]
    as_of: int


def account_state(facts: Facts, symbol: str) -> AccountState:
    """The state before a decision about one asset."""
    account, book = facts.account, facts.book
    peak = max(account.high_water_mark, book.equity)
    listing = {symbol: quote.asset for symbol, quote in facts.quotes.items() if quote.asset}
    return AccountState(
        state=account.state,
        halted=text.clean(account.halted, max_bytes=HALT_BYTES) if account.halted else None,
        start_balance=usd_text(account.start_balance),
        balance=usd_text(book.balance),
        equity=usd_text(book.equity),
        unrealized=usd_text(book.unrealized),
        gross=usd_text(book.gross),
        margin=usd_text(book.margin),
        free=usd_text(book.free),
        high_water_mark=usd_text(peak),
        drawdown_pct=usd_text(mul_div((peak - book.equity) * 100, RATE, peak, Rounding.CEIL)),
        positions=tuple(
            position_view(position, book.liquidation_price(position.symbol, listing))
            for position in book.positions.values()
        ),
        open_orders=(),  # there are no resting orders (03 Engines)
        recent_fills=facts.recent_fills,
        ledger=_ledger(facts),
        policy_hash=account.policy_hash,
        room=room_for(account, book, facts.quotes, symbol, opened_last_hour=facts.opened_last_hour),
    )


def _ledger(facts: Facts) -> Ledger:
    ever = facts.ever_held.values()
    return Ledger(
        seq=facts.account.head.seq,
        hash=facts.account.head.hash,
        realized=usd_text(sum(position.realized for position in ever)),
        fees=usd_text(sum(position.fees for position in ever)),
        funding=usd_text(sum(position.funding for position in ever)),
    )
