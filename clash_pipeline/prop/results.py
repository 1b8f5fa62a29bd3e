"""Results: what an account came to, computed from its rows when it ends, frozen and hashed (04 Positions, 09 I9).

Auditions and races read this and nothing else. `hash` covers every integer and text of the row and is sealed into the
ledger group that ends the account; the two ratios are floats with a hash of their own, computed once.
"""

from dataclasses import dataclass, replace

from msgspec import structs

from clash_pipeline import canonical
from clash_pipeline.faults import fault, point
from clash_pipeline.prop import accounts, ledger, metrics
from clash_pipeline.prop.accounts import Account, State
from clash_pipeline.prop.closing import FREE
from clash_pipeline.prop.desk import Desk
from clash_pipeline.prop.ledger import Entry
from clash_pipeline.prop.margin import rate_of
from clash_pipeline.storage.sqlite import Connection, Row, one
from clash_pipeline.units import RATE, Rounding, mul_div

AFTER_ENDED = point("prop.result.after_ended")
AFTER_FROZEN = point("prop.result.after_frozen")
NOT_HASHED = ("hash", "sharpe", "sortino", "statistics_hash")


@dataclass(frozen=True)
class Result:
    """A frozen result; amounts in 1e-8 USD, rates in 1e-8, times in ms.

    A trade is a fill that closed something; it is won when its realized profit exceeds its own fee. `fills` leaves out
    those of the fixing, `gross_share` is time-weighted gross exposure by time-weighted equity (11.16).
    """

    account_id: int
    state: str
    reason: str
    started_at: int
    ended_at: int
    frozen_at: int
    start_balance: int
    final_equity: int
    pnl: int
    return_rate: int
    max_drawdown: int
    realized: int
    fees: int
    funding: int
    shortfall: int
    fills: int
    trades: int
    wins: int
    gross_profit: int
    gross_loss: int
    win_rate: int | None
    profit_factor: int | None
    exposure_ms: int
    gross_share: int | None
    grid_ms: int
    grid_points: int
    funding_missing: int
    carried: int
    ledger_seq: int
    ledger_hash: str
    hash: str
    sharpe: float | None
    sortino: float | None
    statistics_hash: str


@dataclass(frozen=True)
class Ending:
    """How an account ends: the final state, why, of which moment, and what could not be known."""

    state: State
    reason: str
    actor: str
    ended_at: int
    funding_missing: int = 0
    carried: int = 0


def freeze(desk: Desk, ending: Ending) -> Result:
    """Move a flat account to its final state and write its result; nothing of the account changes after this.

    Raises:
        RuntimeError: a position is still open.
    """
    if any(position.size for position in desk.positions.values()):
        raise RuntimeError(f"account {desk.account.id} is not flat and cannot be frozen")
    result = compute(desk.connection, desk.account, ending, frozen_at=desk.now_ms)
    entry = Entry("state", f"{desk.account.state}>{ending.state}", desk.account.id, ending.actor, ending.reason,
                  result.hash)  # fmt: skip
    head = ledger.append(desk.connection, desk.account.id, desk.account.head, entry, (), now_ms=desk.now_ms)
    desk.account = structs.replace(desk.account, state=ending.state, head=head)
    desk.close()
    fault(AFTER_ENDED)
    _insert(desk.connection, result)
    fault(AFTER_FROZEN)
    return result


def get(connection: Connection, account_id: int) -> Result | None:
    """The frozen result of an account; None while it has not ended."""
    row = connection.execute("SELECT * FROM prop_results WHERE account_id = ?", (account_id,)).fetchone()
    return None if row is None else Result(**dict(row))


def compute(connection: Connection, account: Account, ending: Ending, *, frozen_at: int) -> Result:
    """The result that the rows of a flat account make."""
    started_at = account.created_at if account.starts_at is None else account.starts_at
    started_at = min(started_at, ending.ended_at)
    held = accounts.positions(connection, account.id).values()
    marks = _marks(connection, account.id)
    peak = max([account.start_balance, account.balance, *(row["high_water_mark"] for row in marks[-1:])])
    deepest = max([rate_of(peak - account.balance, peak), *(row["max_drawdown"] for row in marks[-1:])])
    pnl = account.balance - account.start_balance
    curve = metrics.on_grid(
        [(row["t"], row["equity"]) for row in marks], started_at=started_at, ended_at=ending.ended_at,
        start=account.start_balance, final=account.balance,
    )  # fmt: skip
    closed = _trades(connection, account.id)
    profit, loss = sum(max(made, 0) for made in closed), sum(max(-made, 0) for made in closed)
    wins = sum(made > 0 for made in closed)
    return sealed(
        Result(
            account_id=account.id,
            state=ending.state,
            reason=ending.reason,
            started_at=started_at,
            ended_at=ending.ended_at,
            frozen_at=frozen_at,
            start_balance=account.start_balance,
            final_equity=account.balance,
            pnl=pnl,
            return_rate=mul_div(pnl, RATE, account.start_balance, Rounding.FLOOR),
            max_drawdown=deepest,
            realized=sum(position.realized for position in held),
            fees=sum(position.fees for position in held),
            funding=sum(position.funding for position in held),
            shortfall=_shortfall(connection, account.id),
            fills=_count_fills(connection, account.id),
            trades=len(closed),
            wins=wins,
            gross_profit=profit,
            gross_loss=loss,
            win_rate=rate_of(wins, len(closed)) if closed else None,
            profit_factor=rate_of(profit, loss) if loss else None,
            exposure_ms=_exposure(connection, account.id, ending.ended_at),
            gross_share=_gross_share(marks, ending.ended_at),
            grid_ms=metrics.GRID_MS,
            grid_points=len(curve),
            funding_missing=ending.funding_missing,
            carried=ending.carried,
            ledger_seq=account.head.seq,
            ledger_hash=account.head.hash,
            hash="",
            sharpe=metrics.sharpe(curve),
            sortino=metrics.sortino(curve),
            statistics_hash="",
        )
    )


def sealed(result: Result) -> Result:
    """The same result with the hashes of its content."""
    content = {name: value for name, value in vars(result).items() if name not in NOT_HASHED}
    own = canonical.digest(content)
    return replace(result, hash=own, statistics_hash=canonical.digest([own, result.sharpe, result.sortino]))


def _insert(connection: Connection, result: Result) -> None:
    connection.execute(
        """
        INSERT INTO prop_results
          (account_id, state, reason, started_at, ended_at, frozen_at, start_balance, final_equity, pnl, return_rate,
           max_drawdown, realized, fees, funding, shortfall, fills, trades, wins, gross_profit, gross_loss, win_rate,
           profit_factor, exposure_ms, gross_share, grid_ms, grid_points, funding_missing, carried, ledger_seq,
           ledger_hash, hash, sharpe, sortino, statistics_hash)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        tuple(vars(result).values()),
    )


def _marks(connection: Connection, account_id: int) -> list[Row]:
    return connection.execute(
        """
        SELECT t, marked_at, equity, gross, high_water_mark, max_drawdown FROM prop_snapshots
        WHERE account_id = ? ORDER BY t
        """,
        (account_id,),
    ).fetchall()


def _trades(connection: Connection, account_id: int) -> list[int]:
    """What each closing fill made, its own fee paid."""
    rows = connection.execute(
        """
        SELECT f.realized - f.fee AS made FROM prop_fills f JOIN prop_orders o ON o.id = f.order_id
        WHERE f.account_id = ? AND o.is_opening = 0 ORDER BY f.id
        """,
        (account_id,),
    )
    return [row["made"] for row in rows]


def _shortfall(connection: Connection, account_id: int) -> int:
    return int(
        one(
            connection,
            "SELECT coalesce(sum(amount), 0) FROM prop_ledger WHERE account_id = ? AND kind = 'shortfall'",
            (account_id,),
        )
    )


def _count_fills(connection: Connection, account_id: int) -> int:
    rows = connection.execute("SELECT fee_schedule FROM prop_fills WHERE account_id = ?", (account_id,))
    return sum(row["fee_schedule"] != FREE for row in rows)


def _exposure(connection: Connection, account_id: int, ended_at: int) -> int:
    """How long any position was open, read from the fills."""
    held: dict[str, int] = {}
    since, total = 0, 0
    for row in connection.execute(
        "SELECT symbol, size_after, filled_at FROM prop_fills WHERE account_id = ? ORDER BY id", (account_id,)
    ):
        at, was_open = min(row["filled_at"], ended_at), any(held.values())
        held[row["symbol"]] = row["size_after"]
        if was_open and not any(held.values()):
            total += max(at - since, 0)
        elif not was_open and any(held.values()):
            since = at
    return total


def _gross_share(marks: list[Row], ended_at: int) -> int | None:
    """Each snapshot stands until the next one."""
    ends = [*(row["marked_at"] for row in marks[1:]), max(ended_at, marks[-1]["marked_at"])] if marks else []
    spans = [(row, max(end - row["marked_at"], 0)) for row, end in zip(marks, ends, strict=True)]
    equity = sum(row["equity"] * span for row, span in spans)
    return (
        mul_div(sum(row["gross"] * span for row, span in spans), RATE, equity, Rounding.FLOOR) if equity > 0 else None
    )
