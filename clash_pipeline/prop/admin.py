"""What an operator may do to accounts: each act with actor and reason, written down, and the same act twice is one.

A refused act is written down as well. Ending an account closes its positions at the mark, with slippage and fee, and
freezes the result; it is final.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from clash_pipeline.clock import minute_of
from clash_pipeline.prop import accounts, closing, funding, results, snapshots
from clash_pipeline.prop.accounts import Account, AccountMoved, State, StateConflict
from clash_pipeline.prop.desk import Desk, Origin
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.rates import HourKey
from clash_pipeline.prop.results import Ending, Result
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.storage.sqlite import Connection, Database

Act = Literal["pause", "resume", "lock", "unlock", "complete", "liquidate", "halt", "release"]
LOOKS = 5
"""How often an account that keeps changing is looked at again before it is ended."""


@dataclass(frozen=True)
class Order:
    """An act: what, by whom, why and when, on one account or on all."""

    act: Act
    actor: str
    reason: str
    now_ms: int
    account_id: int | None = None

    def __post_init__(self) -> None:
        if not self.actor.strip() or not self.reason.strip():
            raise ValueError(f"{self.act} needs an actor and a reason")


def pause(clash: Database, account_id: int, *, actor: str, reason: str, now_ms: int) -> Account:
    """Stop new orders of an account; marks, funding, stops and liquidation go on.

    Raises:
        AccountUnknown: no such account.
        StateConflict: it is neither active nor paused; the refusal is written down.
    """
    return _moved(clash, Order("pause", actor, reason, now_ms, account_id), lambda *_: "paused")


def resume(clash: Database, account_id: int, *, actor: str, reason: str, now_ms: int) -> Account:
    """Let a paused or locked account trade again.

    Raises:
        AccountUnknown: no such account.
        StateConflict: it has ended; the refusal is written down.
    """
    return _moved(clash, Order("resume", actor, reason, now_ms, account_id), lambda *_: "active")


def lock(clash: Database, account_id: int, *, actor: str, reason: str, now_ms: int) -> Account:
    """Lock an account for review: no new orders until it is unlocked.

    Raises:
        AccountUnknown: no such account.
        StateConflict: it has ended; the refusal is written down.
    """
    return _moved(clash, Order("lock", actor, reason, now_ms, account_id), lambda *_: "locked")


def unlock(clash: Database, account_id: int, *, actor: str, reason: str, now_ms: int) -> Account:
    """Bring a locked account back to where it stood before; one that is not locked stays as it is.

    Raises:
        AccountUnknown: no such account.
        StateConflict: it has ended; the refusal is written down.
    """
    return _moved(clash, Order("unlock", actor, reason, now_ms, account_id), _before_lock)


def halt(clash: Database, *, actor: str, reason: str, now_ms: int, account_id: int | None = None) -> bool:
    """Throw the kill switch of one account, or of all: no orders, stops or targets; False when it was thrown already.

    Raises:
        AccountUnknown: no such account.
    """
    order = Order("halt", actor, reason, now_ms, account_id)
    with clash.write() as connection:
        is_new = accounts.throw(connection, actor=actor, reason=reason, now_ms=now_ms, account_id=account_id)
        _record(connection, order, "done" if is_new else "unchanged")
    return is_new


def release(clash: Database, *, actor: str, reason: str, now_ms: int, account_id: int | None = None) -> bool:
    """Take a kill switch back; False when it was not thrown."""
    order = Order("release", actor, reason, now_ms, account_id)
    with clash.write() as connection:
        if account_id is not None:
            accounts.get(connection, account_id)
        is_new = accounts.take_back(connection, actor=actor, now_ms=now_ms, account_id=account_id)
        _record(connection, order, "done" if is_new else "unchanged")
    return is_new


def complete(
    clash: Database, execution: ExecutionVenue, account_id: int, *, actor: str, reason: str, now_ms: int
) -> Result:
    """Close everything at the mark, end the account as completed and freeze its result.

    Raises:
        AccountUnknown: no such account.
        StateConflict: it ended otherwise, or its window is over and the fixing ends it; the refusal is written down.
    """
    return _end(clash, execution, Order("complete", actor, reason, now_ms, account_id), "completed", "admin")


def liquidate(
    clash: Database, execution: ExecutionVenue, account_id: int, *, actor: str, reason: str, now_ms: int
) -> Result:
    """Close everything at the mark, end the account as liquidated and freeze its result.

    Raises:
        AccountUnknown: no such account.
        StateConflict: it ended otherwise, or its window is over and the fixing ends it; the refusal is written down.
    """
    return _end(clash, execution, Order("liquidate", actor, reason, now_ms, account_id), "liquidated", "liquidation")


def acts(connection: Connection, *, limit: int = 100) -> list[dict[str, Any]]:
    """The newest acts, newest first."""
    rows = connection.execute(
        """
        SELECT id, account_id, act, actor, reason, outcome, detail, acted_at FROM prop_admin_acts
        ORDER BY id DESC LIMIT ?
        """,
        (limit,),
    )
    return [dict(row) for row in rows]


def _moved(clash: Database, order: Order, target: Callable[[Connection, Account], State]) -> Account:
    with _refusals(clash, order), clash.write() as connection:
        before = accounts.get(connection, _one(order))
        after = accounts.move_within(
            connection, before.id, target(connection, before), now_ms=order.now_ms, actor=order.actor,
            reason=order.reason,
        )  # fmt: skip
        outcome = "unchanged" if after.state == before.state else "done"
        _record(connection, order, outcome, f"{before.state}>{after.state}")
        return after


def _before_lock(connection: Connection, account: Account) -> State:
    """Where a locked account stood before its last lock; where it stands, when it is not locked."""
    if account.state != "locked":
        return "paused" if account.state == "paused" else "active"
    row = connection.execute(
        """
        SELECT ref_type FROM prop_ledger_groups
        WHERE account_id = ? AND kind = 'state' AND ref_type LIKE '%>locked' ORDER BY seq DESC LIMIT 1
        """,
        (account.id,),
    ).fetchone()
    return "paused" if row["ref_type"] == "paused>locked" else "active"


def _end(clash: Database, execution: ExecutionVenue, order: Order, state: State, origin: Origin) -> Result:
    with _refusals(clash, order):
        for _ in range(LOOKS - 1):
            try:
                return _try_to_end(clash, execution, order, state, origin)
            except AccountMoved:
                continue
        return _try_to_end(clash, execution, order, state, origin)


def _try_to_end(clash: Database, execution: ExecutionVenue, order: Order, state: State, origin: Origin) -> Result:
    now_ms, account_id = order.now_ms, _one(order)
    with clash.read() as connection:
        seen = accounts.get(connection, account_id)
        held = accounts.book(seen, accounts.positions(connection, account_id).values()).positions
        owed: list[HourKey] = [holding.key for holding in funding.due(connection, seen, now_ms)]
    quotes = execution.quotes(held, now_ms) if held else {}
    sources = execution.funding(owed, now_ms) if owed else {}
    with clash.write() as connection:
        account = accounts.get(connection, account_id)
        if account.state == state:
            _record(connection, order, "unchanged", f"{state}>{state}")
            return _frozen(connection, account_id)
        _require_ending(account, state, now_ms)
        if account.revision != seen.revision:
            raise AccountMoved(f"account {account_id} is at revision {account.revision}, not {seen.revision}")
        desk = Desk(connection, account, accounts.positions(connection, account_id), quotes, now_ms)
        missing = funding.charge_due(desk, sources)
        _close_and_mark(desk, order, quotes, origin)
        _record(connection, order, "done", f"{account.state}>{state}")
        return results.freeze(
            desk, Ending(state, f"admin: {order.reason}", order.actor, now_ms, funding_missing=len(missing))
        )


def _close_and_mark(desk: Desk, order: Order, quotes: Mapping[str, Quote], origin: Origin) -> None:
    minute = minute_of(desk.now_ms)
    closing.close_everything(desk, origin, actor=order.actor, reason=order.reason, trigger_minute=minute)
    if snapshots.at(desk.connection, desk.account.id, minute) is None:
        snapshots.write(desk, {symbol: quote.asset for symbol, quote in quotes.items() if quote.asset}, minute)


def _require_ending(account: Account, state: State, now_ms: int) -> None:
    if not accounts.may_become(account, state):
        raise StateConflict(f"account {account.id} is {account.state} and cannot become {state}")
    if account.ends_at is not None and now_ms >= account.ends_at:
        raise StateConflict(f"the window of account {account.id} ended at {account.ends_at}; its fixing ends it")


def _frozen(connection: Connection, account_id: int) -> Result:
    result = results.get(connection, account_id)
    if result is None:
        raise RuntimeError(f"account {account_id} has ended without a result")
    return result


def _one(order: Order) -> int:
    if order.account_id is None:
        raise ValueError(f"{order.act} needs an account")
    return order.account_id


@contextmanager
def _refusals(clash: Database, order: Order) -> Iterator[None]:
    """Write a refusal down, after the transaction that refused was rolled back.

    An act that is part of a larger one, as the end of a voided audition's account is, is undone with it; the refusal is
    then for the larger act to keep.
    """
    try:
        yield
    except StateConflict as conflict:
        with clash.write() as connection:
            _record(connection, order, "refused", str(conflict))
        raise


def _record(connection: Connection, order: Order, outcome: str, detail: str = "") -> None:
    connection.execute(
        """
        INSERT INTO prop_admin_acts (account_id, act, actor, reason, outcome, detail, acted_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (order.account_id, order.act, order.actor, order.reason, outcome, detail, order.now_ms),
    )
