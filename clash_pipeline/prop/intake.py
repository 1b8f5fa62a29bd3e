"""Intake: from proposals to the ledger, idempotent by (account, run, action index), in one transaction.

Per action, in order: gates, action row, order, fill, position, ledger group; then the account. All of it or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts, ledger
from clash_pipeline.prop.accounts import Account, AccountMoved
from clash_pipeline.prop.book import Book, marked
from clash_pipeline.prop.gates import Case, Rejection, first_rejection
from clash_pipeline.prop.ledger import Entry, Line
from clash_pipeline.prop.orders import Leg
from clash_pipeline.prop.positions import Effect, Position, after_fill
from clash_pipeline.prop.pricing import Quote, Reference
from clash_pipeline.prop.proposal import ActionResult, FillResult, PayloadConflict, Proposal
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.storage.sqlite import Connection, Database, Row, one
from clash_pipeline.units import Grid, usd_text

AFTER_ACTION = point("prop.submit.after_action")
AFTER_ORDER = point("prop.submit.after_order")
AFTER_FILL = point("prop.submit.after_fill")
AFTER_POSITION = point("prop.submit.after_position")
AFTER_LEDGER = point("prop.submit.after_ledger")
AFTER_ACCOUNT = point("prop.submit.after_account")
FAULT_POINTS = (AFTER_ACTION, AFTER_ORDER, AFTER_FILL, AFTER_POSITION, AFTER_LEDGER, AFTER_ACCOUNT)
ACTOR = "decision"


@dataclass(frozen=True)
class View:
    """An account as it was looked at before a submission: what the gates will read, and the symbols to quote."""

    account: Account
    positions: Mapping[str, Position]
    opened_last_hour: int

    @property
    def book(self) -> Book:
        """Balance and open positions, at their last marks."""
        return accounts.book(self.account, self.positions.values())

    def symbols(self, proposals: Sequence[Proposal]) -> set[str]:
        """Everything a submission needs a quote of: what is asked for, and what is held."""
        return {proposal.symbol for proposal in proposals} | set(self.book.positions)


def submit(
    clash: Database,
    account_id: int,
    run_id: int,
    proposals: Sequence[Proposal],
    execution: ExecutionVenue,
    *,
    now_ms: int,
) -> list[ActionResult]:
    """Pass proposals through the gates and fill what they let through; a repeat answers the first result.

    Raises:
        AccountUnknown: no such account.
        PayloadConflict: a key of (account, run, index) was used for another payload; nothing was changed.
    """
    with clash.read() as connection:
        view = look(connection, account_id, now_ms=now_ms)
    quotes = execution.quotes(view.symbols(proposals), now_ms)
    with clash.write() as connection:
        return submit_within(connection, account_id, run_id, proposals, quotes, now_ms=now_ms)


def look(connection: Connection, account_id: int, *, now_ms: int) -> View:
    """The account, its positions and its opening orders of the last hour.

    Raises:
        AccountUnknown: no such account.
    """
    account = accounts.get(connection, account_id)
    held = accounts.positions(connection, account_id)
    return View(account, held, _opened_since(connection, account_id, now_ms - HOUR_MS))


def submit_within(
    connection: Connection,
    account_id: int,
    run_id: int,
    proposals: Sequence[Proposal],
    quotes: Mapping[str, Quote],
    *,
    now_ms: int,
    expected_revision: int | None = None,
) -> list[ActionResult]:
    """The same inside a transaction that the caller opened, so that closing the run can be part of it.

    Raises:
        AccountMoved: `expected_revision` is given and the account is at another one.
        PayloadConflict: a key was used for another payload.
    """
    view = look(connection, account_id, now_ms=now_ms)
    if first := _repeats(connection, account_id, run_id, proposals):
        return first
    if expected_revision is not None and view.account.revision != expected_revision:
        raise AccountMoved(f"account {account_id} is at revision {view.account.revision}, not {expected_revision}")
    desk = _Desk(connection, view, quotes, run_id, now_ms)
    results = [desk.take(index, proposal) for index, proposal in enumerate(proposals)]
    if desk.account != view.account:
        accounts.store_account(connection, view.account, desk.account, now_ms=now_ms)
        fault(AFTER_ACCOUNT)
    return results


def results_of(connection: Connection, account_id: int, run_id: int) -> list[ActionResult]:
    """What became of the actions of a run, as first answered."""
    rows = connection.execute(
        """
        SELECT id, account_id, run_id, action_index, symbol, action, payload_hash, status, reject_code, figures
        FROM prop_decision_actions WHERE account_id = ? AND run_id = ? ORDER BY action_index
        """,
        (account_id, run_id),
    )
    return [_result(connection, row) for row in rows.fetchall()]


def _opened_since(connection: Connection, account_id: int, since_ms: int) -> int:
    return int(
        one(
            connection,
            "SELECT count(*) FROM prop_orders WHERE account_id = ? AND is_opening = 1 AND created_at > ?",
            (account_id, since_ms),
        )
    )


def _repeats(
    connection: Connection, account_id: int, run_id: int, proposals: Sequence[Proposal]
) -> list[ActionResult] | None:
    """The first answers where this submission was already made; None where it is new."""
    known = {
        row["action_index"]: row["payload_hash"]
        for row in connection.execute(
            "SELECT action_index, payload_hash FROM prop_decision_actions WHERE account_id = ? AND run_id = ?",
            (account_id, run_id),
        )
    }
    if not known:
        return None
    if known != {index: proposal.digest for index, proposal in enumerate(proposals)}:
        raise PayloadConflict(f"run {run_id} already submitted other actions to account {account_id}")
    return [msgspec.structs.replace(first, is_repeat=True) for first in results_of(connection, account_id, run_id)]


class _Desk:
    """Takes the actions of one submission one after the other, carrying the account and its book along."""

    def __init__(
        self, connection: Connection, view: View, quotes: Mapping[str, Quote], run_id: int, now_ms: int
    ) -> None:
        self.connection = connection
        self.account = view.account
        self.quotes = quotes
        self.run_id = run_id
        self.now_ms = now_ms
        self.positions = dict(view.positions)
        self.opened_last_hour = view.opened_last_hour

    def take(self, index: int, proposal: Proposal) -> ActionResult:
        """Gates, then the rows of one action."""
        case = self._case(proposal)
        rejection = first_rejection(case)
        figures = rejection.figures if rejection else _figures(case)
        action_id = self._write_action(index, proposal, rejection, figures)
        fault(AFTER_ACTION)
        fills = () if rejection else tuple(self._fill(action_id, case, leg) for leg in case.legs)
        status, code = ("rejected", rejection.code) if rejection else ("filled", None)
        return ActionResult(action_id, index, proposal.symbol, proposal.action, status, code, figures, fills)

    def _case(self, proposal: Proposal) -> Case:
        quote = self.quotes.get(proposal.symbol)
        book = accounts.book(self.account, self.positions.values()).marked(
            self.quotes, self.account.policy, self.now_ms
        )
        position = book.positions.get(proposal.symbol) or self.positions.get(proposal.symbol) or _blank(proposal, quote)
        return Case(self.account, book, proposal, quote, position, self.opened_last_hour, self.now_ms)

    def _write_action(
        self, index: int, proposal: Proposal, rejection: Rejection | None, figures: dict[str, str | int | None]
    ) -> int:
        identifier: int = one(
            self.connection,
            """
            INSERT INTO prop_decision_actions
              (account_id, run_id, action_index, symbol, action, payload, payload_hash, status, reject_code, figures,
               created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (
                self.account.id, self.run_id, index, proposal.symbol, proposal.action, canonical.text(proposal),
                proposal.digest, "rejected" if rejection else "filled", rejection.code if rejection else None,
                canonical.text(figures), self.now_ms,
            ),
        )  # fmt: skip
        return identifier

    def _fill(self, action_id: int, case: Case, leg: Leg) -> FillResult:
        """One order with its one fill, the position it makes, and its ledger group."""
        before = self.positions.get(case.proposal.symbol) or _blank(case.proposal, case.quote)
        effect = after_fill(
            before, is_buy=leg.is_buy, size=leg.size, price=leg.price, fee=leg.fee,
            leverage=case.proposal.leverage if leg.is_opening else before.leverage, now_ms=self.now_ms,
        )  # fmt: skip
        order_id = self._write_order(action_id, case, leg, before)
        fault(AFTER_ORDER)
        fill_id = self._write_fill(order_id, case, leg, effect)
        fault(AFTER_FILL)
        self._write_position(effect.position, case, leg)
        fault(AFTER_POSITION)
        self._write_ledger(fill_id, case, leg, before, effect)
        fault(AFTER_LEDGER)
        self.opened_last_hour += leg.is_opening
        return _fill_result(order_id, fill_id, case, leg, effect)

    def _write_order(self, action_id: int, case: Case, leg: Leg, before: Position) -> int:
        identifier: int = one(
            self.connection,
            """
            INSERT INTO prop_orders
              (account_id, origin, action_id, leg, symbol, side, size, sz_decimals, leverage, is_opening, created_at)
            VALUES (?, 'decision', ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (
                self.account.id, action_id, leg.number, case.proposal.symbol, _side(leg), leg.size, before.sz_decimals,
                case.proposal.leverage if leg.is_opening else before.leverage, int(leg.is_opening), self.now_ms,
            ),
        )  # fmt: skip
        return identifier

    def _write_fill(self, order_id: int, case: Case, leg: Leg, effect: Effect) -> int:
        reference, grid = _reference(case), effect.position.grid
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
                order_id, self.account.id, case.proposal.symbol, _side(leg), leg.size, grid.sz_decimals, leg.price,
                grid.px_decimals, leg.notional, leg.fee, leg.fee_rate, leg.fee_schedule, leg.slippage,
                leg.slippage_rate, reference.text, reference.source, reference.at, reference.age_ms(self.now_ms),
                _inputs(case), effect.realized, effect.position.size, effect.position.cost, self.account.head.seq + 1,
                self.now_ms,
            ),
        )  # fmt: skip
        return identifier

    def _write_position(self, position: Position, case: Case, leg: Leg) -> None:
        if position.size:
            position = marked(position, case.quote, self.account.policy, self.now_ms)
        if position.size and position.mark is None:  # every open position has a mark, if only its own fill
            position = position.marked(leg.price, "fill", self.now_ms)
        self.positions[position.symbol] = position
        accounts.store_position(self.connection, self.account.id, position, now_ms=self.now_ms)

    def _write_ledger(self, fill_id: int, case: Case, leg: Leg, before: Position, effect: Effect) -> None:
        symbol = case.proposal.symbol
        lines = [] if leg.is_opening else [Line("realized", symbol, effect.realized)]
        lines.append(Line("fee", symbol, -leg.fee))
        entry = Entry("fill", "fill", fill_id, ACTOR, case.proposal.action, ledger.seal(self.connection, fill_id))
        head = ledger.append(self.connection, self.account.id, self.account.head, entry, lines, now_ms=self.now_ms)
        balance = self.account.balance + sum(line.amount for line in lines)
        self.account = replace(self.account, balance=balance, head=head)


def _blank(proposal: Proposal, quote: Quote | None) -> Position:
    asset = quote.asset if quote else None
    return Position(proposal.symbol, asset.kind if asset else "perp", asset.sz_decimals if asset else 0)


def _side(leg: Leg) -> str:
    return "buy" if leg.is_buy else "sell"


def _reference(case: Case) -> Reference:
    if case.reference is None:
        raise RuntimeError(f"{case.proposal.symbol} passed the gates without a price")
    return case.reference


def _inputs(case: Case) -> str:
    """What the price was computed from, so that it can be checked by hand."""
    liquidity = case.quote.liquidity if case.quote else None
    return canonical.text({"liquidity": liquidity, "cap": case.account.policy.slippage_cap})


def _figures(case: Case) -> dict[str, str | int | None]:
    reference = _reference(case)
    return {
        "equity": usd_text(case.book.equity),
        "price": reference.text,
        "price_source": reference.source,
        "price_age_ms": reference.age_ms(case.now_ms),
    }


def _fill_result(order_id: int, fill_id: int, case: Case, leg: Leg, effect: Effect) -> FillResult:
    reference = _reference(case)
    return FillResult(
        order_id=order_id,
        fill_id=fill_id,
        leg=leg.number,
        side=_side(leg),
        size=effect.position.grid.size_text(leg.size),
        price=effect.position.grid.price_text(leg.price),
        notional=usd_text(leg.notional),
        fee=usd_text(leg.fee),
        realized=usd_text(effect.realized),
        price_source=reference.source,
        price_age_ms=reference.age_ms(case.now_ms),
    )


def _result(connection: Connection, row: Row) -> ActionResult:
    fills = connection.execute(
        """
        SELECT f.*, o.leg, p.kind FROM prop_orders o JOIN prop_fills f ON f.order_id = o.id
        JOIN prop_positions p ON p.account_id = f.account_id AND p.symbol = f.symbol
        WHERE o.action_id = ? ORDER BY o.leg
        """,
        (row["id"],),
    ).fetchall()
    return ActionResult(
        action_id=row["id"],
        action_index=row["action_index"],
        symbol=row["symbol"],
        action=row["action"],
        status=row["status"],
        reject_code=row["reject_code"],
        figures=msgspec.json.decode(row["figures"]),
        fills=tuple(_stored_fill(fill) for fill in fills),
    )


def _stored_fill(row: Row) -> FillResult:
    grid = Grid(row["kind"], row["sz_decimals"])
    return FillResult(
        order_id=row["order_id"],
        fill_id=row["id"],
        leg=row["leg"],
        side=row["side"],
        size=grid.size_text(row["size"]),
        price=grid.price_text(row["price"]),
        notional=usd_text(row["notional"]),
        fee=usd_text(row["fee"]),
        realized=usd_text(row["realized"]),
        price_source=row["price_source"],
        price_age_ms=row["price_age_ms"],
    )
