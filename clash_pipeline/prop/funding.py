"""Hourly funding: charged once per account, symbol and hour, on what was held before that hour's fills (04, 10 §1).

What was held is read from the fills, so that an hour can be charged late and still be right. An hour whose rate or
oracle price is not known stays due: it is neither skipped nor charged as zero. Every account pays an hour at one rate
and one oracle price, those of the first that was charged.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from msgspec.structs import replace

from clash_pipeline import canonical
from clash_pipeline.clock import HOUR_MS, hour_of, iso
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.defects import kept_apart
from clash_pipeline.prop.desk import Desk
from clash_pipeline.prop.ledger import Entry, Line
from clash_pipeline.prop.pricing import Price
from clash_pipeline.prop.rates import HourKey, Source, Sources
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.storage.sqlite import Connection, Database, Row
from clash_pipeline.units import FUNDING_RATE, USD, Rounding, mul_div

AFTER_HOUR = point("prop.funding.after_hour")
ACTOR = "funding"


@dataclass(frozen=True)
class Holding:
    """A perp position at a funding hour, before that hour's fills; signed scaled sizes.

    `credited` is the size that a credit counts on: the smallest held in the credit window (11.7).
    """

    symbol: str
    hour_t: int
    sz_decimals: int
    size: int
    credited: int

    @property
    def key(self) -> HourKey:
        """What its rate and oracle price are looked up by."""
        return HourKey(self.symbol, self.hour_t)


@dataclass(frozen=True)
class Charge:
    """What one holding pays (negative) or receives, in 1e-8 USD, and the size it was counted on."""

    holding: Holding
    source: Source
    size: int
    amount: int


def payment(size: int, sz_decimals: int, oracle: Price, rate_e10: int) -> int:
    """The signed effect of an hour on the balance: owed is rounded up, received down; longs pay positive rates."""
    exact = -size * oracle.digits * rate_e10
    return mul_div(exact, USD, 10 ** (oracle.places + sz_decimals) * FUNDING_RATE, Rounding.FLOOR)


def charge_of(holding: Holding, source: Source) -> Charge:
    """Debits count on what was held at the hour, credits on the smallest size of the window before it."""
    oracle = Price.parse(source.oracle_px)
    if oracle is None:
        raise ValueError(f"oracle price of {holding.symbol} is not positive: {source.oracle_px}")
    amount = payment(holding.size, holding.sz_decimals, oracle, source.rate_e10)
    if amount <= 0:
        return Charge(holding, source, holding.size, amount)
    credit = payment(holding.credited, holding.sz_decimals, oracle, source.rate_e10)
    return Charge(holding, source, holding.credited, credit)


def last_due(account: Account, now_ms: int) -> int:
    """The newest hour that may be charged: none behind the end of the account's window."""
    return hour_of(now_ms if account.ends_at is None else min(now_ms, account.ends_at))


def due(connection: Connection, account: Account, now_ms: int) -> tuple[Holding, ...]:
    """Every hour behind `funded_through` in which a perp was held and that is not charged yet, oldest first."""
    hours = range(account.funded_through + HOUR_MS, last_due(account, now_ms) + 1, HOUR_MS)
    if not account.policy.has_funding or account.is_final or not hours:
        return ()
    return tuple(holdings(connection, account, hours))


def holdings(connection: Connection, account: Account, hours: Iterable[int]) -> list[Holding]:
    """What was held before the fills of these hours and has no charge, by hour and symbol; read from the fills."""
    rows = connection.execute(
        """
        SELECT p.symbol, h.value AS hour_t, p.sz_decimals,
               (SELECT f.size_after FROM prop_fills f
                WHERE f.account_id = p.account_id AND f.symbol = p.symbol AND f.filled_at < h.value
                ORDER BY f.id DESC LIMIT 1) AS held
        FROM json_each(:hours) h JOIN prop_positions p ON p.account_id = :account AND p.kind = 'perp'
        WHERE held <> 0 AND NOT EXISTS (SELECT 1 FROM prop_funding_charges c
          WHERE c.account_id = p.account_id AND c.symbol = p.symbol AND c.hour_t = h.value)
        ORDER BY h.value, p.symbol
        """,
        {"hours": json.dumps(list(hours)), "account": account.id},
    ).fetchall()
    return [_holding(connection, account, row) for row in rows]


def held_at(connection: Connection, account: Account, symbol: str, hour_t: int) -> Holding | None:
    """What was held of one symbol before the fills of an hour, charged or not; None where nothing was."""
    row = connection.execute(
        """
        SELECT p.symbol, :hour AS hour_t, p.sz_decimals,
               (SELECT f.size_after FROM prop_fills f
                WHERE f.account_id = p.account_id AND f.symbol = p.symbol AND f.filled_at < :hour
                ORDER BY f.id DESC LIMIT 1) AS held
        FROM prop_positions p WHERE p.account_id = :account AND p.symbol = :symbol AND p.kind = 'perp'
        """,
        {"hour": hour_t, "account": account.id, "symbol": symbol},
    ).fetchone()
    return _holding(connection, account, row) if row is not None and row["held"] else None


def charge_due(desk: Desk, sources: Sources) -> tuple[HourKey, ...]:
    """Charge every due hour that has its rate and oracle price; returns the hours that stay due.

    `funded_through` moves up to the first hour that stays due.
    """
    through = last_due(desk.account, desk.now_ms)
    missing: list[HourKey] = []
    held = due(desk.connection, desk.account, desk.now_ms)
    for hour_t, group in groupby(held, key=lambda holding: holding.hour_t):
        agreed = [(holding, _agreed(desk.connection, holding, sources, desk.now_ms)) for holding in group]
        missing += [holding.key for holding, source in agreed if source is None]
        if charges := [charge_of(holding, source) for holding, source in agreed if source]:
            _book(desk, hour_t, charges)
            fault(AFTER_HOUR)
    if missing:
        through = missing[0].hour_t - HOUR_MS
    if through > desk.account.funded_through:
        desk.account = replace(desk.account, funded_through=through)
    return tuple(missing)


def settle(clash: Database, execution: ExecutionVenue, account_ids: Iterable[int], now_ms: int) -> dict[int, Exception]:
    """Charge what is due on some accounts, each in a transaction of its own, and only where there is anything.

    Every submission begins with it, so that the gates see the balance after funding (04 Intake). Returns the accounts
    that could not be read or charged, with their errors; they keep no other waiting.
    """
    troubles: dict[int, Exception] = {}
    owed: dict[int, tuple[Holding, ...]] = {}
    with clash.read() as connection:
        for account_id in sorted(set(account_ids)):
            with kept_apart(troubles, account_id):
                owed[account_id] = due(connection, accounts.acting(connection, account_id), now_ms)
    keys = {holding.key for held in owed.values() for holding in held}
    sources = execution.funding(keys, now_ms) if keys else {}
    for account_id, held in owed.items():
        if any(holding.key in sources for holding in held):
            with kept_apart(troubles, account_id):
                _settle(clash, account_id, sources, now_ms)
    return troubles


def _settle(clash: Database, account_id: int, sources: Sources, now_ms: int) -> None:
    with clash.write() as connection:
        account = accounts.acting(connection, account_id)
        desk = Desk(connection, account, accounts.positions(connection, account_id), {}, now_ms)
        charge_due(desk, sources)
        desk.close()


def seal(connection: Connection, account_id: int, seq: int) -> str:
    """The digest of the charges that one ledger group books, and of the hours they were counted by."""
    rows = connection.execute(
        """
        SELECT c.*, h.rate_source, h.rate_at, h.oracle_at, h.fixed_at FROM prop_funding_charges c
        LEFT JOIN prop_funding_hours h ON h.symbol = c.symbol AND h.hour_t = c.hour_t
        WHERE c.account_id = ? AND c.ledger_seq = ? ORDER BY c.symbol
        """,
        (account_id, seq),
    )
    return canonical.digest([dict(row) for row in rows])


def _holding(connection: Connection, account: Account, row: Row) -> Holding:
    size, window = row["held"], account.policy.funding_credit_window_ms
    credited = _smallest(connection, account.id, row["symbol"], size, row["hour_t"], window) if window else size
    return Holding(row["symbol"], row["hour_t"], row["sz_decimals"], size, credited)


def _smallest(connection: Connection, account_id: int, symbol: str, size: int, hour_t: int, window_ms: int) -> int:
    """The smallest position on this side between `hour_t - window_ms` and the hour; 0 where it was not held at all."""
    rows = connection.execute(
        """
        SELECT coalesce((SELECT size_after FROM prop_fills
                         WHERE account_id = :account AND symbol = :symbol AND filled_at <= :from_t
                         ORDER BY id DESC LIMIT 1), 0) AS size
        UNION ALL
        SELECT size_after FROM prop_fills
        WHERE account_id = :account AND symbol = :symbol AND filled_at > :from_t AND filled_at < :hour_t
        """,
        {"account": account_id, "symbol": symbol, "from_t": hour_t - window_ms, "hour_t": hour_t},
    )
    side = 1 if size > 0 else -1
    smallest: int = min(max(side * row["size"], 0) for row in rows)
    return side * smallest


def _agreed(connection: Connection, holding: Holding, sources: Sources, now_ms: int) -> Source | None:
    """Rate and oracle price of the hour as the first charge fixed them; fixed now where this is the first."""
    source = sources.get(holding.key)
    if source is not None:
        connection.execute(
            """
            INSERT INTO prop_funding_hours
              (symbol, hour_t, rate_e10, rate_source, rate_at, oracle_px, oracle_at, fixed_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
            """,
            (*holding.key, *source, now_ms),
        )
    row = connection.execute(
        """
        SELECT rate_e10, rate_source, rate_at, oracle_px, oracle_at FROM prop_funding_hours
        WHERE symbol = ? AND hour_t = ?
        """,
        holding.key,
    ).fetchone()
    return None if row is None else Source(*row)


def _book(desk: Desk, hour_t: int, charges: Sequence[Charge]) -> None:
    """The charge rows, the positions' sums and one ledger group of an hour."""
    account, seq = desk.account, desk.account.head.seq + 1
    for charge in charges:
        held, source = charge.holding, charge.source
        desk.connection.execute(
            """
            INSERT INTO prop_funding_charges
              (account_id, symbol, hour_t, held, size, oracle_px, rate_e10, amount, ledger_seq, charged_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                account.id, held.symbol, hour_t, held.size, charge.size, source.oracle_px, source.rate_e10,
                charge.amount, seq, desk.now_ms,
            ),
        )  # fmt: skip
        position = desk.positions[held.symbol]
        desk.keep(replace(position, funding=position.funding + charge.amount))
    lines = [Line("funding", charge.holding.symbol, charge.amount) for charge in charges]
    sealed = seal(desk.connection, account.id, seq)
    desk.book_group(Entry("funding", "funding_hour", hour_t, ACTOR, f"funding of {iso(hour_t)}", sealed), lines)
