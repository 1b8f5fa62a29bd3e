"""Prop accounts: opening, the moves between states, kill switches, and reading them back as values."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from clash_pipeline import canonical
from clash_pipeline.clock import hour_of
from clash_pipeline.prop import ledger
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.ledger import Entry, Head
from clash_pipeline.prop.policy import Policy, decode
from clash_pipeline.prop.positions import Position
from clash_pipeline.storage.sqlite import Connection, Database, Row, one
from clash_pipeline.units import USD

State = Literal["pending", "active", "paused", "locked", "completed", "liquidated"]
FINAL = frozenset({"completed", "liquidated"})
MOVES: dict[str, frozenset[str]] = {
    "pending": frozenset({"active"}),
    "active": frozenset({"paused", "locked", "completed", "liquidated"}),
    "paused": frozenset({"active", "locked", "completed", "liquidated"}),
    "locked": frozenset({"active", "paused", "completed", "liquidated"}),
}
AUDITOR = "audit"
"""The actor of a kill switch that books threw which do not close; nothing is settled while it stands (09 G5)."""
BY_HAND = frozenset({"active", "paused", "locked"})
"""Where an operator may move a running account; ending one freezes a result and is not a plain move."""


class AccountUnknown(LookupError):
    """There is no such account."""


class AccountUnreadable(ValueError):
    """The account's row is none that was ever written; nothing acts for it until a person has looked."""


class StateConflict(ValueError):
    """The account cannot make that move from where it stands; nothing was changed."""


class AccountMoved(RuntimeError):
    """The account changed between looking and writing; look again."""


class Pinned(NamedTuple):
    """What was frozen for an account of a race or an audition: it runs this, whatever its clone becomes (11, 11)."""

    version_id: int
    engine: str
    model_tier: int


class Account(msgspec.Struct, frozen=True):
    """An account as stored; amounts in 1e-8 USD."""

    id: int
    clone_id: int
    kind: str
    parent_id: int | None
    state: str
    start_balance: int
    balance: int
    high_water_mark: int
    policy: Policy
    policy_hash: str
    starts_at: int | None
    ends_at: int | None
    revision: int
    head: Head
    created_at: int
    halted: str | None
    funded_through: int = 0
    pinned: Pinned | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more."""
        return self.state in FINAL


def open_sandbox(clash: Database, clone_id: int, policy: Policy, *, start_balance_usd: int, now_ms: int) -> int:
    """The clone's running sandbox account, opened and activated when there is none; returns its id."""
    with clash.write() as connection:
        found = _running_sandbox(connection, clone_id)
        if found is not None:
            return found
        return open_account(
            connection,
            clone_id,
            "sandbox",
            policy,
            start_balance=start_balance_usd * USD,
            now_ms=now_ms,
            actor="operator",
        )


def open_account(
    connection: Connection,
    clone_id: int,
    kind: Literal["sandbox", "audition", "race"],
    policy: Policy,
    *,
    start_balance: int,
    now_ms: int,
    actor: str,
    parent_id: int | None = None,
    starts_at: int | None = None,
    ends_at: int | None = None,
    pinned: Pinned | None = None,
) -> int:
    """Insert an account and make it active, inside the caller's transaction; returns its id.

    With `pinned` it runs that version by that engine and model, and no toggle of its clone reaches it.
    """
    account_id: int = one(
        connection,
        """
        INSERT INTO prop_accounts
          (clone_id, kind, parent_id, state, start_balance, balance, high_water_mark, policy, policy_hash, starts_at,
           ends_at, revision, ledger_seq, ledger_hash, funded_through, created_at, updated_at, version_id, engine,
           model_tier)
        VALUES (?, ?, ?, 'pending', ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?)
        RETURNING id
        """,
        (
            clone_id, kind, parent_id, start_balance, start_balance, start_balance, canonical.text(policy),
            policy.digest, starts_at, ends_at, canonical.ZERO_HASH, hour_of(now_ms), now_ms, now_ms,
            *(pinned or (None, None, None)),
        ),
    )  # fmt: skip
    _move(connection, get(connection, account_id), "active", now_ms=now_ms, actor=actor, reason="opened")
    return account_id


def move(clash: Database, account_id: int, state: State, *, now_ms: int, actor: str, reason: str) -> Account:
    """Pause, resume, lock or unlock an account; asking for the state it is in changes nothing.

    Raises:
        StateConflict: not a move that exists from the present state, or not one that is made by hand.
        AccountUnknown: no such account.
    """
    with clash.write() as connection:
        return move_within(connection, account_id, state, now_ms=now_ms, actor=actor, reason=reason)


def move_within(
    connection: Connection, account_id: int, state: State, *, now_ms: int, actor: str, reason: str
) -> Account:
    """The same inside a transaction that the caller opened.

    Raises:
        StateConflict: not a move that exists from the present state, or not one that is made by hand.
        AccountUnknown: no such account.
    """
    account = get(connection, account_id)
    if account.state == state:
        return account
    if state not in BY_HAND or not may_become(account, state):
        raise StateConflict(f"account {account_id} is {account.state} and cannot become {state}")
    _move(connection, account, state, now_ms=now_ms, actor=actor, reason=reason)
    return get(connection, account_id)


def may_become(account: Account, state: State) -> bool:
    """Whether the move exists from where the account stands."""
    return state in MOVES.get(account.state, frozenset())


def halt(clash: Database, *, actor: str, reason: str, now_ms: int, account_id: int | None = None) -> bool:
    """Throw the kill switch of one account, or of all; False when it was already thrown."""
    with clash.write() as connection:
        return throw(connection, actor=actor, reason=reason, now_ms=now_ms, account_id=account_id)


def throw(connection: Connection, *, actor: str, reason: str, now_ms: int, account_id: int | None) -> bool:
    """The same inside a transaction that the caller opened.

    Raises:
        AccountUnknown: no such account.
    """
    if account_id is not None:
        get(connection, account_id)
    thrown = connection.execute(
        """
        INSERT INTO prop_halts (account_id, actor, reason, halted_at) SELECT :account, :actor, :reason, :now
        WHERE NOT EXISTS (SELECT 1 FROM prop_halts
                          WHERE coalesce(account_id, 0) = coalesce(:account, 0) AND released_at IS NULL)
        """,
        {"account": account_id, "actor": actor, "reason": reason, "now": now_ms},
    )
    return thrown.rowcount == 1


def release(clash: Database, *, actor: str, now_ms: int, account_id: int | None = None) -> bool:
    """Take a kill switch back; False when it was not thrown."""
    with clash.write() as connection:
        return take_back(connection, actor=actor, now_ms=now_ms, account_id=account_id)


def take_back(connection: Connection, *, actor: str, now_ms: int, account_id: int | None) -> bool:
    """The same inside a transaction that the caller opened."""
    changed = connection.execute(
        """
        UPDATE prop_halts SET released_at = ?, released_by = ?
        WHERE coalesce(account_id, 0) = coalesce(?, 0) AND released_at IS NULL
        """,
        (now_ms, actor, account_id),
    )
    return changed.rowcount == 1


def get(connection: Connection, account_id: int) -> Account:
    """One account with its kill switch, to be shown.

    Raises:
        AccountUnknown: no such account.
        AccountUnreadable: its policy is none.
    """
    return _account(_row(connection, account_id))


def acting(connection: Connection, account_id: int) -> Account:
    """The same account, to trade, charge or mark it: on the terms it was opened with, or not at all.

    Raises:
        AccountUnknown: no such account.
        AccountUnreadable: its policy is none, or is not what `policy_hash` was taken of; or it would owe funding for
            hours in which it did not exist.
    """
    row = _row(connection, account_id)
    if canonical.sha256(row["policy"].encode()) != row["policy_hash"]:
        raise AccountUnreadable(f"account {account_id}: the policy does not hash to {row['policy_hash'][:12]}…")
    if row["funded_through"] < (opened := hour_of(row["created_at"])):
        raise AccountUnreadable(f"account {account_id} is funded through {row['funded_through']}, it began at {opened}")
    return _account(row)


def _row(connection: Connection, account_id: int) -> Row:
    row: Row | None = connection.execute(
        """
        SELECT a.*, (SELECT iif(h.account_id IS NULL, 'all accounts: ', 'this account: ') || h.reason FROM prop_halts h
                     WHERE h.released_at IS NULL AND (h.account_id IS NULL OR h.account_id = a.id)
                     ORDER BY h.account_id IS NOT NULL LIMIT 1) AS halted
        FROM prop_accounts a WHERE a.id = ?
        """,
        (account_id,),
    ).fetchone()
    if row is None:
        raise AccountUnknown(f"there is no prop account {account_id}")
    return row


def of_clone(connection: Connection, clone_id: int) -> list[Account]:
    """The accounts of a clone that have not ended, by id."""
    ids = connection.execute(
        "SELECT id FROM prop_accounts WHERE clone_id = ? AND state NOT IN ('completed', 'liquidated') ORDER BY id",
        (clone_id,),
    ).fetchall()
    return [get(connection, row["id"]) for row in ids]


def open_ids(connection: Connection) -> list[int]:
    """Every account that has not ended, by id; paused and locked ones are marked too."""
    rows = connection.execute("SELECT id FROM prop_accounts WHERE state NOT IN ('completed', 'liquidated') ORDER BY id")
    return [row["id"] for row in rows]


def positions(connection: Connection, account_id: int) -> dict[str, Position]:
    """Every symbol the account ever held, flat ones included."""
    rows = connection.execute(
        """
        SELECT symbol, kind, sz_decimals, size, cost, leverage, realized, fees, funding, fills, opened_at,
               mark, mark_source, mark_at, stop, target
        FROM prop_positions WHERE account_id = ? ORDER BY symbol
        """,
        (account_id,),
    )
    return {row["symbol"]: Position(**dict(row)) for row in rows}


def book(account: Account, held: Iterable[Position]) -> Book:
    """The account's balance and its open positions."""
    return Book(account.balance, {position.symbol: position for position in held if position.size})


def store_position(connection: Connection, account_id: int, position: Position, *, now_ms: int) -> None:
    """Write a position as it stands now."""
    connection.execute(
        """
        INSERT INTO prop_positions
          (account_id, symbol, kind, size, sz_decimals, px_decimals, cost, leverage, realized, fees, funding, fills,
           opened_at, mark, mark_source, mark_at, stop, target, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (account_id, symbol) DO UPDATE SET
          size = excluded.size, cost = excluded.cost, leverage = excluded.leverage, realized = excluded.realized,
          fees = excluded.fees, funding = excluded.funding, fills = excluded.fills, opened_at = excluded.opened_at,
          mark = excluded.mark, mark_source = excluded.mark_source, mark_at = excluded.mark_at,
          stop = excluded.stop, target = excluded.target, updated_at = excluded.updated_at
        """,
        (
            account_id, position.symbol, position.kind, position.size, position.sz_decimals, position.grid.px_decimals,
            position.cost, position.leverage, position.realized, position.fees, position.funding, position.fills,
            position.opened_at, position.mark, position.mark_source, position.mark_at, position.stop, position.target,
            now_ms,
        ),
    )  # fmt: skip


def store_account(connection: Connection, before: Account, after: Account, *, now_ms: int) -> Account:
    """Write balance, state, high-water mark, ledger head and the seal of the positions; guarded by the revision read.

    Raises:
        AccountMoved: somebody else changed the account since.
    """
    changed = connection.execute(
        """
        UPDATE prop_accounts
        SET state = ?, balance = ?, high_water_mark = ?, ledger_seq = ?, ledger_hash = ?, funded_through = ?,
            positions_hash = ?, revision = revision + 1, updated_at = ?
        WHERE id = ? AND revision = ? AND state = ?
        """,
        (
            after.state, after.balance, after.high_water_mark, after.head.seq, after.head.hash, after.funded_through,
            positions_digest(connection, before.id), now_ms, before.id, before.revision, before.state,
        ),
    )  # fmt: skip
    if changed.rowcount != 1:
        raise AccountMoved(f"account {before.id} changed after revision {before.revision}")
    return replace(after, revision=before.revision + 1)


def positions_digest(connection: Connection, account_id: int) -> str | None:
    """The seal of an account's position rows, every column of them; None where there are none."""
    rows = connection.execute("SELECT * FROM prop_positions WHERE account_id = ? ORDER BY symbol", (account_id,))
    found = [dict(row) for row in rows]
    return canonical.digest(found) if found else None


def _move(connection: Connection, account: Account, state: State, *, now_ms: int, actor: str, reason: str) -> None:
    entry = Entry("state", f"{account.state}>{state}", account.id, actor, reason)
    head = ledger.append(connection, account.id, account.head, entry, (), now_ms=now_ms)
    store_account(connection, account, replace(account, state=state, head=head), now_ms=now_ms)


def _running_sandbox(connection: Connection, clone_id: int) -> int | None:
    found: int | None = one(
        connection,
        """
        SELECT id FROM prop_accounts
        WHERE clone_id = ? AND kind = 'sandbox' AND state NOT IN ('completed', 'liquidated')
        """,
        (clone_id,),
    )
    return found


def _account(row: Row) -> Account:
    try:
        terms = decode(row["policy"])
    except msgspec.MsgspecError as error:
        raise AccountUnreadable(f"account {row['id']}: its policy is none: {error}") from error
    return Account(
        id=row["id"],
        clone_id=row["clone_id"],
        kind=row["kind"],
        parent_id=row["parent_id"],
        state=row["state"],
        start_balance=row["start_balance"],
        balance=row["balance"],
        high_water_mark=row["high_water_mark"],
        policy=terms,
        policy_hash=row["policy_hash"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        revision=row["revision"],
        head=Head(row["ledger_seq"], row["ledger_hash"]),
        created_at=row["created_at"],
        halted=row["halted"],
        funded_through=row["funded_through"],
        pinned=None if row["version_id"] is None else Pinned(row["version_id"], row["engine"], row["model_tier"]),
    )
