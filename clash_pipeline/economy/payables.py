"""What is owed: payouts, royalties and refunds, from claimable to taken (09 §4.8, I7). Signing is elsewhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from clash_pipeline.economy import ledger, purchases
from clash_pipeline.economy.ledger import Entry
from clash_pipeline.economy.refusals import EconomyConflict, EconomyUnknown
from clash_pipeline.economy.sealing import SEAL, resealed, sealed
from clash_pipeline.faults import fault, point
from clash_pipeline.storage.sqlite import Connection, Row, one

Kind = Literal["payout", "royalty", "refund"]
PAYABLE_WRITTEN = point("economy.payable_written")


@dataclass(frozen=True)
class Owed:
    """A payable to be written: of which of the natural keys, from which ledger account, to which wallet."""

    kind: Kind
    recipient: str
    account: str
    chain_id: int
    asset: str
    amount_wei: int
    reason: str
    user_id: int | None = None
    race_id: int | None = None
    ticket_id: int | None = None
    clone_id: int | None = None
    purchase_id: int | None = None
    deposit_id: int | None = None


@dataclass(frozen=True)
class Payable:
    """A payable as stored."""

    id: int
    kind: str
    race_id: int | None
    ticket_id: int | None
    clone_id: int | None
    purchase_id: int | None
    deposit_id: int | None
    user_id: int | None
    recipient: str
    account: str
    chain_id: int
    asset: str
    amount_wei: int
    reason: str
    state: str
    created_at: int
    authorised_at: int | None
    claimed_at: int | None


def write(connection: Connection, owed: Iterable[Owed], *, now_ms: int) -> list[int]:
    """Store payables, claimable from now on; returns their ids. The natural keys refuse a second one."""
    first: int = 1 + one(connection, "SELECT coalesce(max(id), 0) FROM payables")
    rows = [_row_of(first + step, item, now_ms) for step, item in enumerate(owed)]
    connection.executemany(
        """
        INSERT INTO payables
          (id, kind, race_id, ticket_id, clone_id, purchase_id, deposit_id, user_id, recipient, account, chain_id,
           asset, amount_wei, reason, state, created_at, authorised_at, claimed_at, row_hash)
        VALUES
          (:id, :kind, :race_id, :ticket_id, :clone_id, :purchase_id, :deposit_id, :user_id, :recipient, :account,
           :chain_id, :asset, :amount_wei, :reason, :state, :created_at, :authorised_at, :claimed_at, :row_hash)
        """,
        rows,
    )
    fault(PAYABLE_WRITTEN)
    return [row["id"] for row in rows]


def get(connection: Connection, payable_id: int) -> Payable:
    """A payable by its id.

    Raises:
        EconomyUnknown: there is none.
    """
    return _payable(_row(connection, payable_id))


def owned(connection: Connection, payable_id: int, user_id: int) -> Payable:
    """A payable of one user.

    Raises:
        EconomyUnknown: absent, or somebody else's: the same answer.
    """
    found = get(connection, payable_id)
    if found.user_id != user_id:
        raise EconomyUnknown(f"there is no payable {payable_id}")
    return found


def every(
    connection: Connection,
    *,
    user_id: int | None = None,
    race_id: int | None = None,
    state: str | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Payable]:
    """Payables, newest first; of one user, of one race, in one state, older than an id."""
    rows = connection.execute(
        """
        SELECT * FROM payables WHERE (:user IS NULL OR user_id = :user) AND (:race IS NULL OR race_id = :race)
          AND (:state IS NULL OR state = :state) AND (:before IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit
        """,
        {"user": user_id, "race": race_id, "state": state, "before": before_id, "limit": limit},
    )
    return [_payable(row) for row in rows]


def authorise(connection: Connection, payable_id: int, *, actor: str, now_ms: int) -> bool:
    """Note that an authorisation was signed, once; the refund of a purchase ends the purchase with it.

    Raises:
        EconomyUnknown: no such payable.
    """
    row = _row(connection, payable_id)
    if row["state"] != "claimable":
        return False
    _store(connection, row, {"state": "authorised", "authorised_at": now_ms})
    if row["kind"] == "refund" and row["purchase_id"] is not None and row["ticket_id"] is None:
        _end_purchase(connection, row["purchase_id"], row["reason"], actor=actor, now_ms=now_ms)
    return True


def claim(connection: Connection, payable_id: int, *, reason: str, now_ms: int) -> bool:
    """Note that the chain shows it taken, once, and book it; `reason` names the withdrawal.

    Raises:
        EconomyUnknown: no such payable.
        EconomyConflict: it was never authorised.
    """
    row = _row(connection, payable_id)
    if row["state"] == "claimed":
        return False
    if row["state"] != "authorised":
        raise EconomyConflict(f"payable {payable_id} is {row['state']}: nothing was authorised")
    _store(connection, row, {"state": "claimed", "claimed_at": now_ms})
    entry = Entry("claim", row["chain_id"], row["asset"], "payable", payable_id, purchases.WATCHER, reason)
    ledger.move(connection, entry, row["account"], ledger.VAULT, int(row["amount_wei"]), now_ms=now_ms)
    return True


def merged(owed: Sequence[Owed]) -> list[ledger.Line]:
    """One credit line for each account that some payables rest on, in the order of the accounts."""
    sums: dict[str, int] = {}
    for item in owed:
        sums[item.account] = sums.get(item.account, 0) + item.amount_wei
    return [ledger.Line(account, "C", amount) for account, amount in sorted(sums.items())]


def to_user(connection: Connection, user_id: int) -> str:
    """The primary wallet of a user, to which royalties go.

    Raises:
        EconomyUnknown: the user has no wallet.
    """
    found: str | None = one(connection, "SELECT address FROM wallets WHERE user_id = ? AND is_primary = 1", (user_id,))
    if found is None:
        raise EconomyUnknown(f"user {user_id} has no wallet")
    return found


def _end_purchase(connection: Connection, purchase_id: int, reason: str, *, actor: str, now_ms: int) -> None:
    """A refundable purchase is refunded; the refund of a granted one leaves it granted."""
    if purchases.get(connection, purchase_id).state == "refund_due":
        purchases.move(connection, purchase_id, "refunded", reason=reason, actor=actor, now_ms=now_ms)


def _row_of(payable_id: int, owed: Owed, now_ms: int) -> dict[str, Any]:
    times = {"created_at": now_ms, "authorised_at": None, "claimed_at": None}
    return sealed({"id": payable_id, **vars(owed), "amount_wei": str(owed.amount_wei), "state": "claimable", **times})


def _row(connection: Connection, payable_id: int) -> Row:
    row: Row | None = connection.execute("SELECT * FROM payables WHERE id = ?", (payable_id,)).fetchone()
    if row is None:
        raise EconomyUnknown(f"there is no payable {payable_id}")
    return row


def _store(connection: Connection, row: Row, changes: dict[str, Any]) -> None:
    changed = connection.execute(
        """
        UPDATE payables SET state = :state, authorised_at = :authorised_at, claimed_at = :claimed_at,
          row_hash = :row_hash
        WHERE id = :id AND state = :before
        """,
        {**resealed(dict(row), changes), "before": row["state"]},
    )
    if changed.rowcount != 1:
        raise EconomyConflict(f"payable {row['id']} is no longer {row['state']}")


def _payable(row: Row) -> Payable:
    values = {name: value for name, value in dict(row).items() if name != SEAL}
    return replace(Payable(**values), amount_wei=int(row["amount_wei"]))
