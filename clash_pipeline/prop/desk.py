"""The desk: carries out orders inside one transaction, and carries the account and its positions along.

Decisions, stops, targets, liquidations and an operator's closings all trade here, so that every order leaves the same
rows in the same order: order, fill, position, ledger group. The caller stores the account at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from msgspec import structs

from clash_pipeline import canonical
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts, ledger
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book, marked
from clash_pipeline.prop.ledger import Entry, Line
from clash_pipeline.prop.orders import Leg
from clash_pipeline.prop.positions import Effect, Position, after_fill
from clash_pipeline.prop.pricing import Quote, Reference
from clash_pipeline.prop.stops import NOTHING, Armed
from clash_pipeline.storage.sqlite import Connection, one

Origin = Literal["decision", "stop", "target", "liquidation", "admin"]

AFTER_ORDER = point("prop.desk.after_order")
AFTER_FILL = point("prop.desk.after_fill")
AFTER_POSITION = point("prop.desk.after_position")
AFTER_LEDGER = point("prop.desk.after_ledger")
AFTER_ACCOUNT = point("prop.desk.after_account")
FAULT_POINTS = (AFTER_ORDER, AFTER_FILL, AFTER_POSITION, AFTER_LEDGER, AFTER_ACCOUNT)


@dataclass(frozen=True)
class Order:
    """Who asked for an order and on which terms; its size and price are those of a leg.

    A decision's order has its action, any other the minute that triggered it: (account, symbol, origin, minute) is its
    natural key (04).
    """

    origin: Origin
    symbol: str
    leverage: int
    actor: str
    reason: str
    action_id: int | None = None
    trigger_minute: int | None = None
    armed: Armed = NOTHING
    """The stop and target that a position has after an opening leg."""


@dataclass(frozen=True)
class Filled:
    """An order carried out: its rows and what it did."""

    order_id: int
    fill_id: int
    leg: Leg
    reference: Reference
    effect: Effect


class Desk:
    """Trades for one account at one moment; `account` and `positions` are as the orders so far have left them."""

    def __init__(
        self,
        connection: Connection,
        account: Account,
        positions: Mapping[str, Position],
        quotes: Mapping[str, Quote],
        now_ms: int,
    ) -> None:
        self.connection = connection
        self.opening = account
        self.account = account
        self.positions = dict(positions)
        self.quotes = {symbol: _as_held(quote, self.positions.get(symbol)) for symbol, quote in quotes.items()}
        self.now_ms = now_ms
        self.has_moved_positions = False

    @property
    def book(self) -> Book:
        """Balance and open positions at the newest marks."""
        held = accounts.book(self.account, self.positions.values())
        return held.marked(self.quotes, self.account.policy, self.now_ms)

    def position(self, symbol: str) -> Position:
        """The position in a symbol; a flat one where nothing was ever held."""
        asset = self.quotes[symbol].asset if symbol in self.quotes else None
        blank = Position(symbol, asset.kind if asset else "perp", asset.sz_decimals if asset else 0)
        return self.positions.get(symbol, blank)

    def execute(self, order: Order, leg: Leg, reference: Reference) -> Filled:
        """One order with its one fill, the position it makes, and its ledger group."""
        before = self.position(order.symbol)
        effect = after_fill(
            before, is_buy=leg.is_buy, size=leg.size, price=leg.price, fee=leg.fee,
            leverage=order.leverage if leg.is_opening else before.leverage, now_ms=self.now_ms,
        )  # fmt: skip
        if leg.is_opening:
            effect = Effect(structs.replace(effect.position, **order.armed._asdict()), effect.realized)
        order_id = self._write_order(order, leg, before)
        fault(AFTER_ORDER)
        fill_id = self._write_fill(order_id, order, leg, reference, effect)
        fault(AFTER_FILL)
        self._write_position(effect.position, leg)
        fault(AFTER_POSITION)
        self._write_ledger(fill_id, order, leg, effect)
        fault(AFTER_LEDGER)
        return Filled(order_id, fill_id, leg, reference, effect)

    def keep(self, position: Position) -> None:
        """Write a position as it stands now; by itself where no fill changed it, but a mark or funding."""
        self.positions[position.symbol] = position
        self.has_moved_positions = True
        accounts.store_position(self.connection, self.account.id, position, now_ms=self.now_ms)

    def book_group(self, entry: Entry, lines: list[Line]) -> None:
        """Append a ledger group, and its lines to the balance."""
        head = ledger.append(self.connection, self.account.id, self.account.head, entry, lines, now_ms=self.now_ms)
        balance = self.account.balance + sum(line.amount for line in lines)
        self.account = structs.replace(self.account, balance=balance, head=head)

    def close(self) -> Account:
        """Store the account if anything changed it or its positions, and return it as stored."""
        if self.account == self.opening and not self.has_moved_positions:
            return self.account
        self.account = accounts.store_account(self.connection, self.opening, self.account, now_ms=self.now_ms)
        self.opening, self.has_moved_positions = self.account, False
        fault(AFTER_ACCOUNT)
        return self.account

    def _write_order(self, order: Order, leg: Leg, before: Position) -> int:
        identifier: int = one(
            self.connection,
            """
            INSERT INTO prop_orders
              (account_id, origin, action_id, leg, trigger_minute, symbol, side, size, sz_decimals, leverage,
               is_opening, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (
                self.account.id, order.origin, order.action_id, leg.number, order.trigger_minute, order.symbol,
                leg.side, leg.size, before.sz_decimals, order.leverage if leg.is_opening else before.leverage,
                int(leg.is_opening), self.now_ms,
            ),
        )  # fmt: skip
        return identifier

    def _write_fill(self, order_id: int, order: Order, leg: Leg, reference: Reference, effect: Effect) -> int:
        grid = effect.position.grid
        identifier: int = one(
            self.connection,
            """
            INSERT INTO prop_fills
              (order_id, account_id, symbol, side, size, sz_decimals, price, px_decimals, notional, fee, fee_rate,
               fee_schedule, slippage, slippage_rate, reference_price, price_source, price_at, price_age_ms, inputs,
               realized, size_after, cost_after, ledger_seq, filled_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (
                order_id, self.account.id, order.symbol, leg.side, leg.size, grid.sz_decimals, leg.price,
                grid.px_decimals, leg.notional, leg.fee, leg.fee_rate, leg.fee_schedule, leg.slippage,
                leg.slippage_rate, reference.text, reference.source, reference.at, reference.age_ms(self.now_ms),
                self._inputs(order.symbol), effect.realized, effect.position.size, effect.position.cost,
                self.account.head.seq + 1, self.now_ms,
            ),
        )  # fmt: skip
        return identifier

    def _inputs(self, symbol: str) -> str:
        """What the price was computed from, so that it can be checked by hand."""
        quote = self.quotes.get(symbol)
        return canonical.text(
            {"liquidity": quote.liquidity if quote else None, "cap": self.account.policy.slippage_cap}
        )

    def _write_position(self, position: Position, leg: Leg) -> None:
        if position.size:
            position = marked(position, self.quotes.get(position.symbol), self.account.policy, self.now_ms)
        if position.size and position.mark is None:  # every open position has a mark, if only its own fill
            position = position.marked(leg.price, "fill", self.now_ms)
        self.keep(position)

    def _write_ledger(self, fill_id: int, order: Order, leg: Leg, effect: Effect) -> None:
        lines = [] if leg.is_opening else [Line("realized", order.symbol, effect.realized)]
        lines.append(Line("fee", order.symbol, -leg.fee))
        sealed = ledger.seal(self.connection, fill_id)
        self.book_group(Entry("fill", "fill", fill_id, order.actor, order.reason, sealed), lines)


def _as_held(quote: Quote, position: Position | None) -> Quote:
    """A quote in the decimals that the account trades the asset in: those of its first fill, whatever is listed now."""
    asset = quote.asset
    if asset is None or position is None or asset.sz_decimals == position.sz_decimals:
        return quote
    return replace(quote, asset=replace(asset, sz_decimals=position.sz_decimals))
