"""The audit of funding: one charge an hour, the right size, price and rate, and no hour passed over."""

from collections.abc import Iterator

from clash_pipeline.clock import HOUR_MS, hour_of
from clash_pipeline.prop import accounts, funding
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.differences import Check, Difference
from clash_pipeline.prop.ledger import Line
from clash_pipeline.prop.rates import Source
from clash_pipeline.storage.sqlite import Connection, Row


def charges_add_up(connection: Connection, account: Account) -> Iterator[Difference]:
    """I6: every charge counts what the fills say was held, at the rate and oracle price everybody paid."""
    for row in _charges(connection, account.id):
        where = f"prop_funding_charges({account.id}, {row['symbol']}, {row['hour_t']})"
        if row["agreed_rate"] is None or (row["rate_e10"], row["oracle_px"]) != (row["agreed_rate"], row["agreed_px"]):
            yield Difference("I6", where, "rate or oracle price is not that of its hour in prop_funding_hours")
            continue
        holding = funding.held_at(connection, account, row["symbol"], row["hour_t"])
        if holding is None or holding.size != row["held"]:
            yield Difference("I6", where, f"says {row['held']} was held, the fills say otherwise")
            continue
        charge = funding.charge_of(holding, _source(row))
        if (charge.size, charge.amount) != (row["size"], row["amount"]):
            yield Difference("I6", where, f"size {row['size']} or amount {row['amount']} is not what its figures make")


def groups_book_charges(connection: Connection, account: Account) -> Iterator[Difference]:
    """I6, I8: a funding group books exactly its charges and seals them, and every charge has its group."""
    booked: dict[int, list[Row]] = {}
    for row in _charges(connection, account.id):
        booked.setdefault(row["ledger_seq"], []).append(row)
    groups = connection.execute(
        "SELECT seq, ref_id, ref_hash FROM prop_ledger_groups WHERE account_id = ? AND kind = 'funding' ORDER BY seq",
        (account.id,),
    ).fetchall()
    for group in groups:
        where, rows = f"prop_ledger_groups({account.id}, {group['seq']})", booked.pop(group["seq"], [])
        if group["ref_hash"] != funding.seal(connection, account.id, group["seq"]):
            yield Difference("I8", where, "its charges, or the hours they were counted by, were changed after booking")
        if _lines(connection, account.id, group["seq"]) != [
            Line("funding", row["symbol"], row["amount"]) for row in rows
        ] or any(row["hour_t"] != group["ref_id"] for row in rows):
            yield Difference("I6", where, "does not book exactly the charges of its hour")
    for seq, rows in booked.items():
        for row in rows:
            where = f"prop_funding_charges({account.id}, {row['symbol']}, {row['hour_t']})"
            yield Difference("I6", where, f"group {seq} is not one of funding")


def no_hour_is_passed_over(connection: Connection, account: Account) -> Iterator[Difference]:
    """Every hour up to `funded_through` in which a perp was held is charged; what lies behind it is still due."""
    if not account.policy.has_funding:
        return
    first = hour_of(account.created_at) + HOUR_MS
    for holding in funding.holdings(connection, account, range(first, account.funded_through + 1, HOUR_MS)):
        where = f"prop_accounts({account.id})"
        message = f"{holding.symbol} was held at {holding.hour_t} and not charged, funded_through says it was"
        yield Difference("I6", where, message)


def positions_sum_charges(connection: Connection, account: Account) -> Iterator[Difference]:
    """A position's funding is the sum of its charges."""
    sums: dict[str, int] = {}
    for row in _charges(connection, account.id):
        sums[row["symbol"]] = sums.get(row["symbol"], 0) + row["amount"]
    for symbol, position in accounts.positions(connection, account.id).items():
        charged = sums.get(symbol, 0)
        if position.funding != charged:
            where = f"prop_positions({account.id}, {symbol})"
            yield Difference("I6", where, f"funding {position.funding} is not the sum of its charges, {charged}")


CHECKS: tuple[Check, ...] = (charges_add_up, groups_book_charges, no_hour_is_passed_over, positions_sum_charges)


def _charges(connection: Connection, account_id: int) -> list[Row]:
    return connection.execute(
        """
        SELECT c.*, h.rate_e10 AS agreed_rate, h.oracle_px AS agreed_px, h.rate_source, h.rate_at, h.oracle_at
        FROM prop_funding_charges c
        LEFT JOIN prop_funding_hours h ON h.symbol = c.symbol AND h.hour_t = c.hour_t
        WHERE c.account_id = ? ORDER BY c.hour_t, c.symbol
        """,
        (account_id,),
    ).fetchall()


def _source(row: Row) -> Source:
    return Source(row["rate_e10"], row["rate_source"], row["rate_at"], row["oracle_px"], row["oracle_at"])


def _lines(connection: Connection, account_id: int, seq: int) -> list[Line]:
    rows = connection.execute(
        "SELECT kind, symbol, amount FROM prop_ledger WHERE account_id = ? AND seq = ? ORDER BY line", (account_id, seq)
    )
    return [Line(*row) for row in rows]
