"""Snapshots: what an account was worth at each mark tick; minutes for two days, then the last one of each hour."""

from dataclasses import dataclass

from msgspec.structs import replace

from clash_pipeline import canonical
from clash_pipeline.clock import HOUR_MS
from clash_pipeline.faults import fault, point
from clash_pipeline.market.listing import Listing
from clash_pipeline.prop.desk import Desk
from clash_pipeline.prop.margin import rate_of
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Quote
from clash_pipeline.storage.sqlite import Connection, Row

MINUTES_KEPT_MS = 48 * HOUR_MS
"""Minute snapshots younger than this are all kept (04)."""
AFTER_SNAPSHOT = point("prop.mark.after_snapshot")


@dataclass(frozen=True)
class Snapshot:
    """An account at a mark tick; amounts in 1e-8 USD, drawdowns are rates of 1e-8.

    `max_drawdown` is the deepest since the account began, so that thinning loses nothing of it.
    """

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
    max_drawdown: int


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


def write(desk: Desk, listing: Listing, t: int) -> Snapshot:
    """The snapshot of a tick as the desk stands, and the account's new high-water mark with it."""
    book, account = desk.book, desk.account
    peak = max(account.high_water_mark, book.equity)
    drawdown = rate_of(peak - book.equity, peak)
    snapshot = Snapshot(
        account_id=account.id,
        t=t,
        equity=book.equity,
        balance=book.balance,
        unrealized=book.unrealized,
        gross=book.gross,
        margin=book.margin,
        maintenance=book.maintenance(listing),
        drawdown=drawdown,
        high_water_mark=peak,
        positions=len(book.positions),
        carried=sum(not has_mark(desk.quotes.get(symbol), desk) for symbol in book.positions),
        oldest_mark_ms=max(
            (desk.now_ms - (held.mark_at or desk.now_ms) for held in book.positions.values()), default=0
        ),
        marks=canonical.text([_line(position) for position in book.positions.values()]),
        marked_at=desk.now_ms,
        max_drawdown=max(drawdown, _deepest(desk.connection, account.id)),
    )
    desk.connection.execute(
        """
        INSERT INTO prop_snapshots
          (account_id, t, equity, balance, unrealized, gross, margin, maintenance, drawdown, high_water_mark, positions,
           carried, oldest_mark_ms, marks, marked_at, max_drawdown)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        tuple(vars(snapshot).values()),
    )
    desk.account = replace(account, high_water_mark=peak)
    fault(AFTER_SNAPSHOT)
    return snapshot


def has_mark(quote: Quote | None, desk: Desk) -> bool:
    """Whether memory has a mark for the asset now, or the last one is carried."""
    return quote is not None and quote.mark(desk.account.policy, desk.now_ms) is not None


def _deepest(connection: Connection, account_id: int) -> int:
    row = connection.execute(
        "SELECT max_drawdown FROM prop_snapshots WHERE account_id = ? ORDER BY t DESC LIMIT 1", (account_id,)
    ).fetchone()
    return 0 if row is None else int(row["max_drawdown"])


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
