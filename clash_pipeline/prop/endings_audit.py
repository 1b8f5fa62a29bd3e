"""The audit of endings: a result for every account that has ended, true to its rows, sealed, and nothing after it."""

from collections.abc import Iterator

from msgspec import structs

from clash_pipeline.clock import HOUR_MS, hour_of, minute_of
from clash_pipeline.prop import funding, results, snapshots
from clash_pipeline.prop.accounts import Account, State
from clash_pipeline.prop.differences import Check, Difference
from clash_pipeline.prop.ledger import Head
from clash_pipeline.prop.results import Ending, Result
from clash_pipeline.storage.sqlite import Connection
from clash_pipeline.units import usd_text

LOST_BY_THINNING = ("gross_share",)
"""What the remaining snapshots of an old account do not say any more; its hash still does."""


def ended_accounts_have_results(connection: Connection, account: Account) -> Iterator[Difference]:
    """Every account that has ended has one result, of its state; no other has one."""
    result, where = results.get(connection, account.id), f"prop_results({account.id})"
    if account.is_final and result is None:
        yield Difference("I9", f"prop_accounts({account.id})", f"is {account.state} and has no result")
    if not account.is_final and result is not None:
        yield Difference("I9", where, f"is of an account that is {account.state}")
    if result is not None and account.is_final and result.state != account.state:
        yield Difference("I9", where, f"says {result.state}, the account is {account.state}")
    if result is not None and snapshots.at(connection, account.id, minute_of(result.ended_at)) is None:
        last = f"prop_snapshots({account.id}, {minute_of(result.ended_at)})"
        yield Difference("I9", last, "the snapshot of the minute it ended in is gone")


def results_hash(connection: Connection, account: Account) -> Iterator[Difference]:
    """I9: a result hashes to what is stored, and to what the ledger group that ended the account sealed."""
    result = results.get(connection, account.id)
    if result is None:
        return
    where, own = f"prop_results({account.id})", results.sealed(result)
    if own.hash != result.hash:
        yield Difference("I9", where, f"hashes to {own.hash[:12]}, not to {result.hash[:12]}")
    if own.statistics_hash != result.statistics_hash:
        yield Difference("I9", where, "its two ratios are not those that were frozen")
    row = connection.execute(
        "SELECT ref_hash, prev_hash FROM prop_ledger_groups WHERE account_id = ? AND seq = ? AND kind = 'state'",
        (account.id, result.ledger_seq + 1),
    ).fetchone()
    if row is None or (row["ref_hash"], row["prev_hash"]) != (result.hash, result.ledger_hash):
        yield Difference("I9", where, f"is not what group {result.ledger_seq + 1} of the ledger sealed")
    elif account.head.seq != result.ledger_seq + 1:
        yield Difference("I9", where, f"the ledger went on to group {account.head.seq} after it was frozen")


def results_are_their_rows(connection: Connection, account: Account) -> Iterator[Difference]:
    """Computed again from the rows, every figure of a result is what was frozen."""
    result = results.get(connection, account.id)
    if result is None:
        return
    ending = Ending(_state(result), result.reason, "", result.ended_at, result.funding_missing, result.carried)
    before = structs.replace(account, head=Head(result.ledger_seq, result.ledger_hash))
    again = vars(results.compute(connection, before, ending, frozen_at=result.frozen_at))
    thinned = connection.execute("SELECT 1 FROM prop_thinnings WHERE account_id = ?", (account.id,)).fetchone()
    unknown = {"hash", "statistics_hash", *(LOST_BY_THINNING if thinned else ())}
    for name, value in vars(result).items():
        if name not in unknown and again[name] != value:
            yield Difference("I9", f"prop_results({account.id})", f"{name} is {value}, its rows make {again[name]}")
    missing = _uncharged(connection, account, result)
    if missing != result.funding_missing:
        message = f"says {result.funding_missing} hours of funding are missing, {missing} are"
        yield Difference("I9", f"prop_results({account.id})", message)


def shortfalls_reach_zero(connection: Connection, account: Account) -> Iterator[Difference]:
    """I2: a shortfall brings the balance from below zero to zero, and no account ends below it."""
    balance = account.start_balance
    rows = connection.execute(
        "SELECT seq, line, kind, amount FROM prop_ledger WHERE account_id = ? ORDER BY seq, line", (account.id,)
    )
    for row in rows.fetchall():
        balance += row["amount"]
        if row["kind"] == "shortfall" and (balance != 0 or row["amount"] <= 0):
            where = f"prop_ledger({account.id}, {row['seq']}, {row['line']})"
            yield Difference("I2", where, f"a shortfall must end at zero, this one at {usd_text(balance)}")
    if account.is_final and account.balance < 0:
        yield Difference("I2", f"prop_accounts({account.id})", f"ended with {usd_text(account.balance)}")


CHECKS: tuple[Check, ...] = (
    ended_accounts_have_results,
    results_hash,
    results_are_their_rows,
    shortfalls_reach_zero,
)


def _state(result: Result) -> State:
    """The final state a result names."""
    return "liquidated" if result.state == "liquidated" else "completed"


def _uncharged(connection: Connection, account: Account, result: Result) -> int:
    """Held hours without a charge, up to the moment the result is of."""
    if not account.policy.has_funding:
        return 0
    hours = range(hour_of(account.created_at) + HOUR_MS, funding.last_due(account, result.ended_at) + 1, HOUR_MS)
    return len(funding.holdings(connection, account, hours))
