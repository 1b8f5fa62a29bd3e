"""What an audition is judged on: the frozen result of its account, its snapshots and its fills, and nothing else."""

from collections.abc import Sequence
from typing import NamedTuple

from clash_pipeline.prop.closing import FREE
from clash_pipeline.prop.results import Result
from clash_pipeline.storage.sqlite import Connection


class Point(NamedTuple):
    """An account at a moment; `peak` is the highest equity up to then. Amounts in 1e-8 USD."""

    t: int
    equity: int
    balance: int
    peak: int


class Fill(NamedTuple):
    """A fill and the equity it is compared with: that of the newest snapshot before it."""

    at: int
    notional: int
    equity: int
    is_opening: bool


class Facts(NamedTuple):
    """An account from start to end; `max_drawdown` is the deepest of its minutes, also of those thinned since."""

    start: int
    final: int
    started_at: int
    ended_at: int
    window_ms: int
    is_liquidated: bool
    max_drawdown: int
    points: tuple[Point, ...]
    fills: tuple[Fill, ...]

    @property
    def pnl(self) -> int:
        """What was made."""
        return self.final - self.start

    @property
    def path(self) -> tuple[Point, ...]:
        """The points, and the end, at which everything is cash."""
        peak = max([self.start, self.final, *(point.peak for point in self.points[-1:])])
        return (*self.points, Point(self.ended_at, self.final, self.final, peak))


def of(connection: Connection, result: Result, *, ends_at: int) -> Facts:
    """The facts of an account with a frozen result, whose window was to end at `ends_at`."""
    points = _points(connection, result)
    return Facts(
        start=result.start_balance,
        final=result.final_equity,
        started_at=result.started_at,
        ended_at=result.ended_at,
        window_ms=ends_at - result.started_at,
        is_liquidated=result.state == "liquidated",
        max_drawdown=result.max_drawdown,
        points=tuple(point for _, point in points),
        fills=_fills(connection, result, points),
    )


def _points(connection: Connection, result: Result) -> list[tuple[int, Point]]:
    """Each snapshot with the moment it was taken at; those of the end itself are the end."""
    rows = connection.execute(
        """
        SELECT marked_at, t, equity, balance, high_water_mark FROM prop_snapshots
        WHERE account_id = ? AND marked_at < ? ORDER BY t
        """,
        (result.account_id, result.ended_at),
    )
    return [(row["marked_at"], Point(*tuple(row)[1:])) for row in rows]


def _fills(connection: Connection, result: Result, points: Sequence[tuple[int, Point]]) -> tuple[Fill, ...]:
    """The fills but those of the fixing, each with the equity before it."""
    rows = connection.execute(
        """
        SELECT f.filled_at, f.notional, o.is_opening FROM prop_fills f JOIN prop_orders o ON o.id = f.order_id
        WHERE f.account_id = ? AND f.fee_schedule <> ? ORDER BY f.id
        """,
        (result.account_id, FREE),
    )
    found, at, equity = [], 0, result.start_balance
    for row in rows:
        while at < len(points) and points[at][0] < row["filled_at"]:
            equity = points[at][1].equity
            at += 1
        found.append(Fill(row["filled_at"], row["notional"], equity, bool(row["is_opening"])))
    return tuple(found)
