"""Mark-to-market: one snapshot an account and minute. A missing price marks nothing; the last mark is carried on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from clash_pipeline import canonical
from clash_pipeline.clock import minute_of
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.book import Book
from clash_pipeline.prop.margin import rate_of
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.prop.venue import ExecutionVenue, PaperVenue
from clash_pipeline.storage.sqlite import Connection, Database, Row

AFTER_POSITIONS = point("prop.mark.after_positions")
AFTER_SNAPSHOT = point("prop.mark.after_snapshot")


@dataclass(frozen=True)
class Snapshot:
    """An account at a mark tick; amounts in 1e-8 USD, drawdown a rate of 1e-8."""

    account_id: int
    t: int
    equity: int
    balance: int
    unrealized: int
    gross: int
    margin: int
    maintenance: int
    drawdown: int
    high_water_mark: int
    positions: int
    carried: int
    oldest_mark_ms: int
    marks: str
    marked_at: int


def mark(
    clash: Database, market: Database, account_id: int, now_ms: int, *, execution: ExecutionVenue | None = None
) -> Snapshot | None:
    """Mark the open positions of an account and write its snapshot of this minute; None for an account that has ended.

    The same minute again answers the snapshot that is there.

    Raises:
        AccountUnknown: no such account.
    """
    with clash.read() as connection:
        account = accounts.get(connection, account_id)
        symbols = list(accounts.book(account, accounts.positions(connection, account_id).values()).positions)
    quotes = (execution or PaperVenue(market)).quotes(symbols, now_ms) if symbols else {}
    with clash.write() as connection:
        account = accounts.get(connection, account_id)
        if account.is_final:
            return None
        if (found := at(connection, account_id, minute_of(now_ms))) is not None:
            return found
        book = accounts.book(account, accounts.positions(connection, account_id).values())
        return _write(connection, account, book.marked(quotes, account.policy, now_ms), quotes, now_ms)


def at(connection: Connection, account_id: int, t: int) -> Snapshot | None:
    """The snapshot of one mark tick."""
    row = connection.execute("SELECT * FROM prop_snapshots WHERE account_id = ? AND t = ?", (account_id, t)).fetchone()
    return None if row is None else _snapshot(row)


def series(connection: Connection, account_id: int, *, limit: int = 2_880) -> list[Snapshot]:
    """The newest snapshots, oldest first."""
    rows = connection.execute(
        "SELECT * FROM prop_snapshots WHERE account_id = ? ORDER BY t DESC LIMIT ?", (account_id, limit)
    ).fetchall()
    return [_snapshot(row) for row in reversed(rows)]


def _write(connection: Connection, account: Account, book: Book, quotes: Mapping[str, Quote], now_ms: int) -> Snapshot:
    for position in book.positions.values():
        accounts.store_position(connection, account.id, position, now_ms=now_ms)
    fault(AFTER_POSITIONS)
    peak = max(account.high_water_mark, book.equity)
    snapshot = Snapshot(
        account_id=account.id,
        t=minute_of(now_ms),
        equity=book.equity,
        balance=book.balance,
        unrealized=book.unrealized,
        gross=book.gross,
        margin=book.margin,
        maintenance=book.maintenance({name: quote.asset for name, quote in quotes.items() if quote.asset}),
        drawdown=rate_of(peak - book.equity, peak),
        high_water_mark=peak,
        positions=len(book.positions),
        carried=sum(not _has_mark(quotes.get(symbol), account, now_ms) for symbol in book.positions),
        oldest_mark_ms=max((now_ms - (held.mark_at or now_ms) for held in book.positions.values()), default=0),
        marks=canonical.text([_line(position) for position in book.positions.values()]),
        marked_at=now_ms,
    )
    connection.execute(
        """
        INSERT INTO prop_snapshots
          (account_id, t, equity, balance, unrealized, gross, margin, maintenance, drawdown, high_water_mark, positions,
           carried, oldest_mark_ms, marks, marked_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        tuple(vars(snapshot).values()),
    )
    fault(AFTER_SNAPSHOT)
    accounts.store_account(connection, account, replace(account, high_water_mark=peak), now_ms=now_ms)
    return snapshot


def _has_mark(quote: Quote | None, account: Account, now_ms: int) -> bool:
    return quote is not None and quote.mark(account.policy, now_ms) is not None


def _line(position: Position) -> dict[str, object]:
    mark = None if position.mark is None else position.grid.price_text(position.mark)
    return {
        "symbol": position.symbol,
        "size": position.grid.size_text(position.size),
        "mark": mark,
        "source": position.mark_source,
        "at": position.mark_at,
        "unrealized": position.unrealized,
    }


def _snapshot(row: Row) -> Snapshot:
    return Snapshot(**dict(row))
