"""The audit: every invariant of 04 and 09 §4.3 that exists so far, on any database; each difference names its row.

Reads one snapshot and changes nothing. Everything is computed again from the append-only rows, in integers.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from clash_pipeline import canonical
from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.prop import accounts, endings_audit, fees, funding_audit, ledger, pricing, snapshots_audit
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.closing import CARRIED, FREE, asset_of
from clash_pipeline.prop.defects import is_own
from clash_pipeline.prop.differences import Check, Difference
from clash_pipeline.prop.fixing import FIXING, ORACLE
from clash_pipeline.prop.ledger import EMPTY, Entry, Head, Line
from clash_pipeline.prop.positions import Position, after_fill
from clash_pipeline.prop.pricing import Price
from clash_pipeline.storage.sqlite import Connection, Database, Row
from clash_pipeline.units import UnitError, usd_text

KINDS = frozenset({"sandbox", "audition", "race"})
ORIGINS = frozenset({"decision", "stop", "target", "liquidation", "admin"})
AT_THE_FIXING = frozenset({FIXING, ORACLE, CARRIED, "venue", "closes"})
"""Where the price of a fill that costs nothing may come from."""


@dataclass(frozen=True)
class Report:
    """What an audit looked at, and what is wrong."""

    accounts: int
    groups: int
    fills: int
    differences: tuple[Difference, ...]

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not self.differences


def audit(clash: Database) -> Report:
    """Check every account, on one snapshot of the file."""
    with clash.read() as connection:
        ids = [row["id"] for row in connection.execute("SELECT id FROM prop_accounts ORDER BY id")]
        found: list[Difference] = list(unowned_rows(connection))
        for account_id in ids:
            found += of_account(connection, account_id)
        groups = connection.execute("SELECT count(*) FROM prop_ledger_groups").fetchone()[0]
        fills = connection.execute("SELECT count(*) FROM prop_fills").fetchone()[0]
    return Report(len(ids), groups, fills, tuple(found))


def of_account(connection: Connection, account_id: int) -> Iterator[Difference]:
    """Every check on one account; rows that a check cannot even read are a difference too."""
    where = f"prop_accounts({account_id})"
    try:
        account = accounts.get(connection, account_id)
    except Exception as error:
        yield _unreadable(where, "cannot be read", error)
        return
    for check in CHECKS:
        try:
            yield from check(connection, account)
        except Exception as error:
            yield _unreadable(where, f"{check.__name__} cannot read its rows", error)


def _unreadable(where: str, what: str, error: Exception) -> Difference:
    """Rows that cannot be read, as a difference; trouble of the machine goes on as it is.

    Raises:
        Exception: the error itself, where no row of the account can have caused it.
    """
    if not is_own(error):
        raise error
    return Difference("I6", where, f"{what}: {type(error).__name__} {error}")


def hash_chain(connection: Connection, account: Account) -> Iterator[Difference]:
    """I8: the chain of groups has no hole, every hash is that of its content, and the account holds its head."""
    head = EMPTY
    lines = _lines(connection, account.id)
    for row in _groups(connection, account.id):
        where = f"prop_ledger_groups({account.id}, {row['seq']})"
        if row["seq"] != head.seq + 1:
            yield Difference("I8", where, f"sequence jumps from {head.seq} to {row['seq']}")
        if row["prev_hash"] != head.hash:
            yield Difference("I8", where, f"does not point back to the hash of group {head.seq}")
        entry = Entry(row["kind"], row["ref_type"], row["ref_id"], row["actor"], row["reason"], row["ref_hash"])
        if row["kind"] == "fill" and row["ref_hash"] != ledger.seal(connection, row["ref_id"]):
            yield Difference("I8", where, f"fill {row['ref_id']}, its order or its action were changed after booking")
        content = lines.get(row["seq"], [])
        expected = ledger.next_hash(row["prev_hash"], account.id, row["seq"], entry, row["known_at"], content)
        if row["hash"] != expected:
            yield Difference("I8", where, f"hash {row['hash'][:12]} is not that of its content, {expected[:12]}")
        head = Head(row["seq"], row["hash"])
    if account.head != head:
        where = f"prop_accounts({account.id})"
        yield Difference("I8", where, f"ledger head is {account.head.seq}, the newest group {head.seq}")


def balance_is_sum(connection: Connection, account: Account) -> Iterator[Difference]:
    """I6: balance = start balance + sum of the ledger."""
    total = sum(line.amount for lines in _lines(connection, account.id).values() for line in lines)
    if account.balance != account.start_balance + total:
        expected = usd_text(account.start_balance + total)
        message = f"balance is {usd_text(account.balance)}, start and ledger make {expected}"
        yield Difference("I6", f"prop_accounts({account.id})", message)


def positions_are_fills(connection: Connection, account: Account) -> Iterator[Difference]:
    """I6: every position is what its fills make; size, cost and realized after each fill included."""
    replayed: dict[str, Position] = {}
    held = accounts.positions(connection, account.id)
    for row in _fills(connection, account.id):
        where = f"prop_fills({row['id']})"
        stored = held.get(row["symbol"])
        if stored is None:
            yield Difference("I6", where, f"account {account.id} has no position row for {row['symbol']}")
            continue
        before = replayed.get(row["symbol"]) or Position(row["symbol"], stored.kind, stored.sz_decimals)
        try:
            effect = after_fill(
                before, is_buy=row["side"] == "buy", size=row["size"], price=row["price"], fee=row["fee"],
                leverage=row["leverage"], now_ms=row["filled_at"],
            )  # fmt: skip
        except ValueError as error:
            yield Difference("I6", where, str(error))
            continue
        replayed[row["symbol"]] = effect.position
        computed = (effect.position.size, effect.position.cost, effect.realized)
        if computed != (row["size_after"], row["cost_after"], row["realized"]):
            yield Difference("I6", where, "size, cost or realized after it are not what the fills before it make")
    for symbol, position in held.items():
        made = replayed.get(symbol)
        if made is None or _truth(made) != _truth(position):
            where = f"prop_positions({account.id}, {symbol})"
            yield Difference("I6", where, f"size {position.size}, cost {position.cost} is not what its fills make")


def fills_add_up(connection: Connection, account: Account) -> Iterator[Difference]:
    """Each fill is its own arithmetic: notional = price × size, fee = rate of its dated schedule, price on the tick."""
    held = accounts.positions(connection, account.id)
    for row in _fills(connection, account.id):
        where, position = f"prop_fills({row['id']})", held.get(row["symbol"])
        if position is None:
            continue
        grid = position.grid
        if row["sz_decimals"] != grid.sz_decimals or row["px_decimals"] != grid.px_decimals:
            yield Difference("I6", where, "decimals differ from those of its position")
        if row["notional"] != grid.notional(row["price"], row["size"]):
            yield Difference("I6", where, f"notional {usd_text(row['notional'])} is not price times size")
        if not grid.on_tick(row["price"]) and row["fee_schedule"] != FREE:
            yield Difference("I6", where, f"price {grid.price_text(row['price'])} is off the tick")
        name, rate = _terms(row, position.kind)
        if (row["fee_schedule"], row["fee_rate"]) != (name, rate):
            yield Difference("I6", where, f"rate {row['fee_rate']} of {row['fee_schedule']} is not that of {name}")
        if row["fee"] != fees.fee(row["notional"], row["fee_rate"]):
            yield Difference("I6", where, f"fee {usd_text(row['fee'])} is not its rate of the notional")
        if row["slippage"] != _slippage(row, position):
            yield Difference("I6", where, "slippage is not what the price lost against its reference")
        if row["price_age_ms"] != row["filled_at"] - row["price_at"]:
            yield Difference("I6", where, "the stored price age is not filled_at less price_at")


def _slippage(row: Row, position: Position) -> int | None:
    """What a fill lost against its reference price; None where that is no price."""
    if row["fee_schedule"] == FREE:
        return 0
    try:
        exact = Price.parse(row["reference_price"])
    except UnitError:
        return None
    return exact and pricing.slippage_cost(exact, row["price"], row["size"], asset_of(None, position))


def _terms(row: Row, kind: str) -> tuple[str, int]:
    """The fee terms of a fill: those of its day; none at the fixing of an account's window."""
    if row["origin"] == "admin" and row["price_source"] in AT_THE_FIXING and row["fee_schedule"] == FREE:
        return FREE, 0
    schedule = fees.at(row["filled_at"])
    return schedule.name, fees.rate(schedule, kind)


def one_of_each(connection: Connection, account: Account) -> Iterator[Difference]:
    """I6: one fill has one order, one action and one ledger group, and they agree."""
    rows = connection.execute(
        """
        SELECT o.id AS order_id, o.symbol, o.side, o.size, o.sz_decimals, o.origin, o.account_id, o.created_at,
               o.is_opening, f.id AS fill_id, f.symbol AS f_symbol, f.side AS f_side, f.size AS f_size,
               f.sz_decimals AS f_decimals, f.account_id AS f_account, f.filled_at, f.ledger_seq, f.fee, f.realized,
               a.status, a.account_id AS a_account, a.symbol AS a_symbol, a.created_at AS a_created,
               g.kind, g.ref_type, g.ref_id
        FROM prop_orders o
        LEFT JOIN prop_fills f ON f.order_id = o.id
        LEFT JOIN prop_decision_actions a ON a.id = o.action_id
        LEFT JOIN prop_ledger_groups g ON g.account_id = f.account_id AND g.seq = f.ledger_seq
        WHERE o.account_id = ? ORDER BY o.id
        """,
        (account.id,),
    )
    for row in rows.fetchall():
        where = f"prop_orders({row['order_id']})"
        if row["fill_id"] is None:
            yield Difference("I6", where, "has no fill")
            continue
        order = (row["account_id"], row["symbol"], row["side"], row["size"], row["sz_decimals"], row["created_at"])
        fill = (row["f_account"], row["f_symbol"], row["f_side"], row["f_size"], row["f_decimals"], row["filled_at"])
        if order != fill:
            yield Difference("I6", where, f"differs from its fill {row['fill_id']}")
        action = ("filled", row["account_id"], row["symbol"], row["created_at"])
        if (
            row["origin"] == "decision"
            and (row["status"], row["a_account"], row["a_symbol"], row["a_created"]) != action
        ):
            yield Difference("I6", where, "its action is missing, rejected, or of another account or symbol")
        if (row["kind"], row["ref_type"], row["ref_id"]) != ("fill", "fill", row["fill_id"]):
            yield Difference("I6", where, f"ledger group {row['ledger_seq']} does not belong to its fill")
    yield from _lines_of_fills(connection, account)
    yield from _actions(connection, account)


def sums_agree(connection: Connection, account: Account) -> Iterator[Difference]:
    """The ledger's realized PnL, fees and funding are what the positions say."""
    held = accounts.positions(connection, account.id).values()
    said = {
        "realized": sum(position.realized for position in held),
        "fee": -sum(position.fees for position in held),
        "funding": sum(position.funding for position in held),
    }
    booked = dict.fromkeys(said, 0)
    for lines in _lines(connection, account.id).values():
        for line in lines:
            booked[line.kind] = booked.get(line.kind, 0) + line.amount
    for kind, amount in said.items():
        if booked[kind] != amount:
            message = f"ledger has {usd_text(booked[kind])} {kind}, the positions {usd_text(amount)}"
            yield Difference("I6", f"prop_accounts({account.id})", message)


def terminal_is_flat(connection: Connection, account: Account) -> Iterator[Difference]:
    """I6: no account that has ended has an open position."""
    if account.is_final:
        for position in accounts.positions(connection, account.id).values():
            if position.size:
                where = f"prop_positions({account.id}, {position.symbol})"
                yield Difference("I6", where, f"is open in an account that is {account.state}")


def stored_hashes(connection: Connection, account: Account) -> Iterator[Difference]:
    """I9 so far: the policy and every action payload hash to what is stored beside them."""
    row = connection.execute("SELECT policy FROM prop_accounts WHERE id = ?", (account.id,)).fetchone()
    if canonical.sha256(row["policy"].encode()) != account.policy_hash:
        yield Difference("I9", f"prop_accounts({account.id})", "the policy does not hash to policy_hash")
    for action in connection.execute(
        "SELECT id, payload, payload_hash, symbol, action FROM prop_decision_actions WHERE account_id = ? ORDER BY id",
        (account.id,),
    ).fetchall():
        where = f"prop_decision_actions({action['id']})"
        if canonical.sha256(action["payload"].encode()) != action["payload_hash"]:
            yield Difference("I9", where, "the payload does not hash to payload_hash")
        said = json.loads(action["payload"])
        if (said.get("symbol"), said.get("action")) != (action["symbol"], action["action"]):
            yield Difference("I9", where, "symbol or action differ from the payload")


def states_are_moves(connection: Connection, account: Account) -> Iterator[Difference]:
    """The ledger's state groups lead from pending to the state the account is in."""
    state = "pending"
    for row in _groups(connection, account.id):
        if row["kind"] == "state":
            before, _, after = row["ref_type"].partition(">")
            if before != state or after not in accounts.MOVES.get(before, ()):
                where = f"prop_ledger_groups({account.id}, {row['seq']})"
                yield Difference("I6", where, f"the move {row['ref_type']} does not follow from {state}")
            state = after
    if state != account.state:
        yield Difference("I6", f"prop_accounts({account.id})", f"is {account.state}, its moves lead to {state}")


def terms_are_whole(connection: Connection, account: Account) -> Iterator[Difference]:
    """A sandbox stands alone, any other has a parent; its window opens before it ends; its first group opened it."""
    where = f"prop_accounts({account.id})"
    if account.kind not in KINDS or (account.parent_id is None) != (account.kind == "sandbox"):
        yield Difference("I6", where, f"is a {account.kind} account with parent {account.parent_id}")
    if account.starts_at is not None and account.ends_at is not None and account.starts_at >= account.ends_at:
        yield Difference("I6", where, f"its window ends at {account.ends_at}, before it opens")
    if account.funded_through % HOUR_MS:
        yield Difference("I6", where, f"funded_through {account.funded_through} is no full hour")
    first = connection.execute(
        "SELECT known_at FROM prop_ledger_groups WHERE account_id = ? AND seq = 1", (account.id,)
    ).fetchone()
    if first is not None and first["known_at"] != account.created_at:
        yield Difference("I6", where, f"was created at {account.created_at}, its first group says {first['known_at']}")


def kinds_are_known(connection: Connection, account: Account) -> Iterator[Difference]:
    """Positions are perps or spot; an order has a known origin, and its action or the minute that triggered it."""
    for symbol, position in accounts.positions(connection, account.id).items():
        if position.kind not in ("perp", "spot"):
            yield Difference("I6", f"prop_positions({account.id}, {symbol})", f"is of {position.kind[:20]!r}")
    rows = connection.execute(
        "SELECT id, origin, action_id, trigger_minute FROM prop_orders WHERE account_id = ? ORDER BY id", (account.id,)
    )
    for row in rows:
        is_decided, is_timed = row["action_id"] is not None, row["trigger_minute"] is not None
        if row["origin"] not in ORIGINS or (row["origin"] == "decision") != is_decided or is_decided == is_timed:
            yield Difference("I6", f"prop_orders({row['id']})", f"of origin {row['origin'][:20]!r} is not whole")


def positions_are_sealed(connection: Connection, account: Account) -> Iterator[Difference]:
    """I6: every column of the position rows is as the account last left it, marks, stops and leverage included."""
    row = connection.execute("SELECT positions_hash FROM prop_accounts WHERE id = ?", (account.id,)).fetchone()
    found = accounts.positions_digest(connection, account.id)
    if row["positions_hash"] is not None and row["positions_hash"] != found:
        where = f"prop_positions({account.id})"
        yield Difference("I6", where, "a row was changed after the account was stored with positions_hash")


def keys_are_natural(connection: Connection, account: Account) -> Iterator[Difference]:
    """09 §4.4: one order for each (action, leg), else for each (symbol, origin, minute); the engine's only close."""
    rows = connection.execute(
        """
        SELECT id, origin, leg, is_opening, trigger_minute, count(*) OVER (
                 PARTITION BY origin, coalesce(action_id, 0), leg, iif(origin = 'decision', '', symbol), trigger_minute
               ) AS many
        FROM prop_orders WHERE account_id = ? ORDER BY id
        """,
        (account.id,),
    )
    for row in rows.fetchall():
        where = f"prop_orders({row['id']})"
        if row["many"] > 1:
            yield Difference("I6", where, "shares its natural key with another order")
        if row["origin"] != "decision" and (row["leg"], row["is_opening"], row["trigger_minute"] % MINUTE_MS) != (
            0,
            0,
            0,
        ):
            yield Difference("I6", where, "an order of the engine closes, is one leg, and is of a full minute")


CHECKS: tuple[Check, ...] = (
    kinds_are_known,
    hash_chain,
    balance_is_sum,
    positions_are_fills,
    fills_add_up,
    one_of_each,
    sums_agree,
    terminal_is_flat,
    stored_hashes,
    states_are_moves,
    terms_are_whole,
    positions_are_sealed,
    keys_are_natural,
    *funding_audit.CHECKS,
    *endings_audit.CHECKS,
    *snapshots_audit.CHECKS,
)


def unowned_rows(connection: Connection) -> Iterator[Difference]:
    """Rows whose owner is gone or another: lines without a group or out of number, fills without an order."""
    yield from _gapless_lines(connection)
    for row in connection.execute(
        """
        SELECT l.account_id, l.seq, l.line FROM prop_ledger l
        LEFT JOIN prop_ledger_groups g ON g.account_id = l.account_id AND g.seq = l.seq WHERE g.seq IS NULL
        """
    ):
        yield Difference("I8", f"prop_ledger({row['account_id']}, {row['seq']}, {row['line']})", "has no group")
    for row in connection.execute(
        """
        SELECT f.id FROM prop_fills f LEFT JOIN prop_orders o ON o.id = f.order_id AND o.account_id = f.account_id
        WHERE o.id IS NULL
        """
    ):
        yield Difference("I6", f"prop_fills({row['id']})", "has no order of its account")


def _gapless_lines(connection: Connection) -> Iterator[Difference]:
    """The lines of a group are numbered from 0 without a hole."""
    rows = connection.execute(
        """
        SELECT account_id, seq, line, row_number() OVER (PARTITION BY account_id, seq ORDER BY line) - 1 AS expected
        FROM prop_ledger
        """
    )
    for row in rows:
        if row["line"] != row["expected"]:
            where = f"prop_ledger({row['account_id']}, {row['seq']}, {row['line']})"
            yield Difference("I8", where, f"should be line {row['expected']} of its group")


def _lines_of_fills(connection: Connection, account: Account) -> Iterator[Difference]:
    """Each fill's group books exactly its realized profit and its fee."""
    lines = _lines(connection, account.id)
    for row in _fills(connection, account.id):
        expected = [Line("fee", row["symbol"], -row["fee"])]
        if not row["is_opening"]:
            expected.insert(0, Line("realized", row["symbol"], row["realized"]))
        if lines.get(row["ledger_seq"], []) != expected:
            where = f"prop_fills({row['id']})"
            yield Difference("I6", where, f"ledger group {row['ledger_seq']} does not book its fee and profit")
    owners = {row["ledger_seq"] for row in _fills(connection, account.id)}
    for group in _groups(connection, account.id):
        if group["kind"] == "fill" and group["seq"] not in owners:
            yield Difference("I6", f"prop_ledger_groups({account.id}, {group['seq']})", "has no fill")


def _actions(connection: Connection, account: Account) -> Iterator[Difference]:
    """A filled action has its orders, a rejected one none."""
    for row in connection.execute(
        """
        SELECT a.id, a.status, count(o.id) AS orders FROM prop_decision_actions a
        LEFT JOIN prop_orders o ON o.action_id = a.id WHERE a.account_id = ? GROUP BY a.id ORDER BY a.id
        """,
        (account.id,),
    ).fetchall():
        if (row["status"] == "filled") != (row["orders"] > 0):
            where = f"prop_decision_actions({row['id']})"
            yield Difference("I6", where, f"is {row['status']} and has {row['orders']} orders")


def _truth(position: Position) -> tuple[object, ...]:
    return (position.size, position.cost, position.realized, position.fees, position.fills, position.opened_at)


def _groups(connection: Connection, account_id: int) -> list[Row]:
    return connection.execute(
        "SELECT * FROM prop_ledger_groups WHERE account_id = ? ORDER BY seq", (account_id,)
    ).fetchall()


def _lines(connection: Connection, account_id: int) -> dict[int, list[Line]]:
    found: dict[int, list[Line]] = {}
    for row in connection.execute(
        "SELECT seq, kind, symbol, amount FROM prop_ledger WHERE account_id = ? ORDER BY seq, line", (account_id,)
    ):
        found.setdefault(row["seq"], []).append(Line(row["kind"], row["symbol"], row["amount"]))
    return found


def _fills(connection: Connection, account_id: int) -> list[Row]:
    return connection.execute(
        """
        SELECT f.*, o.leverage, o.is_opening, o.origin FROM prop_fills f JOIN prop_orders o ON o.id = f.order_id
        WHERE f.account_id = ? ORDER BY f.id
        """,
        (account_id,),
    ).fetchall()
