"""Intake: from proposals to the ledger, idempotent by (account, run, action index), in one transaction.

Per action, in order: gates, action row, order, fill, position, ledger group; then the account. All of it or nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from clash_pipeline import canonical
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts, answers, funding
from clash_pipeline.prop.accounts import Account, AccountMoved
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.case import Case, Instant, Rejection
from clash_pipeline.prop.desk import Desk, Order
from clash_pipeline.prop.gates import first_rejection
from clash_pipeline.prop.orders import Leg
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.proposal import ActionResult, FillResult, PayloadConflict, Proposal
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.storage.sqlite import Connection, Database, one

AFTER_ACTION = point("prop.submit.after_action")
ACTOR = "decision"
ANY_TIME = Instant()
"""Of a run without a tick: it is filled at the newest price, and never on an account with a common instant."""


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

    def fill_minute(self, instant: Instant) -> int | None:
        """The minute whose close must be quoted for a run; None fills at the newest price."""
        return None if instant.tick is None else self.account.policy.fill_minute(instant.tick)

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
    instant: Instant = ANY_TIME,
) -> list[ActionResult]:
    """Pass proposals through the gates and fill what they let through; a repeat answers the first result.

    Funding that is due is charged first, so that the gates see the balance after it.
    An account with a common fill instant fills only runs whose `instant` has a tick.

    Raises:
        AccountUnknown: no such account.
        PayloadConflict: a key of (account, run, index) was used for another payload; nothing was changed.
    """
    for trouble in funding.settle(clash, execution, [account_id], now_ms).values():
        raise trouble
    with clash.read() as connection:
        view = look(connection, account_id, now_ms=now_ms)
    quotes = execution.quotes(view.symbols(proposals), now_ms, fill_minute=view.fill_minute(instant))
    with clash.write() as connection:
        return submit_within(connection, account_id, run_id, proposals, quotes, now_ms=now_ms, instant=instant)


def look(connection: Connection, account_id: int, *, now_ms: int) -> View:
    """The account, its positions and its opening orders of the last hour.

    Raises:
        AccountUnknown, AccountUnreadable: no such account, or none that may act.
    """
    account = accounts.acting(connection, account_id)
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
    expected: Account | None = None,
    instant: Instant = ANY_TIME,
) -> list[ActionResult]:
    """The same inside a transaction that the caller opened, so that closing the run can be part of it.

    The quotes are those of `View.symbols` and, for an account with a common instant, of `View.fill_minute`.

    Raises:
        AccountMoved: `expected` is given and the account, its kill switch included, is another by now.
        PayloadConflict: a key was used for another payload.
    """
    view = look(connection, account_id, now_ms=now_ms)
    if first := _repeats(connection, account_id, run_id, proposals):
        return first
    if expected is not None and view.account != expected:
        raise AccountMoved(f"account {account_id} at revision {view.account.revision} is not the one looked at")
    desk = Desk(connection, view.account, view.positions, quotes, now_ms)
    submission = _Submission(desk, run_id, view.opened_last_hour, instant)
    results = [submission.take(index, proposal) for index, proposal in enumerate(proposals)]
    desk.close()
    return results


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
    return [
        msgspec.structs.replace(first, is_repeat=True) for first in answers.results_of(connection, account_id, run_id)
    ]


class _Submission:
    """Takes the actions of one submission one after the other, at one desk."""

    def __init__(self, desk: Desk, run_id: int, opened_last_hour: int, instant: Instant) -> None:
        self.desk = desk
        self.instant = instant
        self.run_id = run_id
        self.opened_last_hour = opened_last_hour

    def take(self, index: int, proposal: Proposal) -> ActionResult:
        """Gates, then the rows of one action."""
        case = self._case(proposal)
        rejection = first_rejection(case)
        figures = rejection.figures if rejection else answers.figures_of(case)
        action_id = self._write_action(index, proposal, rejection, figures)
        fault(AFTER_ACTION)
        fills = () if rejection else tuple(self._fill(action_id, case, leg) for leg in case.legs)
        status, code = ("rejected", rejection.code) if rejection else ("filled", None)
        return ActionResult(action_id, index, proposal.symbol, proposal.action, status, code, figures, fills)

    def _case(self, proposal: Proposal) -> Case:
        desk, book = self.desk, self.desk.book
        position = book.positions.get(proposal.symbol) or desk.position(proposal.symbol)
        return Case(
            desk.account, book, proposal, desk.quotes, position, self.opened_last_hour, desk.now_ms, self.instant
        )

    def _write_action(
        self, index: int, proposal: Proposal, rejection: Rejection | None, figures: dict[str, str | int | None]
    ) -> int:
        identifier: int = one(
            self.desk.connection,
            """
            INSERT INTO prop_decision_actions
              (account_id, run_id, action_index, symbol, action, payload, payload_hash, status, reject_code, figures,
               created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (
                self.desk.account.id, self.run_id, index, proposal.symbol, proposal.action, canonical.text(proposal),
                proposal.digest, "rejected" if rejection else "filled", rejection.code if rejection else None,
                canonical.text(figures), self.desk.now_ms,
            ),
        )  # fmt: skip
        return identifier

    def _fill(self, action_id: int, case: Case, leg: Leg) -> FillResult:
        proposal = case.proposal
        order = Order(
            "decision",
            proposal.symbol,
            proposal.leverage,
            ACTOR,
            proposal.action,
            action_id=action_id,
            armed=case.armed,
        )
        filled = self.desk.execute(order, leg, answers.reference_of(case))
        self.opened_last_hour += leg.is_opening
        return answers.fill_result(filled, case)
