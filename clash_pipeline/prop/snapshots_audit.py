"""The audit of snapshots: each is its own arithmetic, and says what the ledger and the fills say.

No moment is compared with another: a clock that was set back writes true rows out of their order. Maintenance margin
rests on tiers that only market memory knows, and is held between nothing and the gross notional.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from clash_pipeline import canonical
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.prop import accounts, margin
from clash_pipeline.prop.accounts import Account
from clash_pipeline.prop.differences import Check, Difference
from clash_pipeline.prop.margin import rate_of
from clash_pipeline.prop.positions import Position
from clash_pipeline.storage.sqlite import Connection, Row
from clash_pipeline.units import usd_text


@dataclass(frozen=True)
class Traded:
    """What an account ever was: its balances, what each size of a symbol cost, and the leverages it used."""

    balances: frozenset[int]
    costs: Mapping[tuple[str, int], frozenset[int]]
    leverages: Mapping[str, frozenset[int]]
    positions: Mapping[str, Position]
    values: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    """Signed size and notional of lines seen so far: sizes and prices come again."""

    def value(self, symbol: str, size_text: str, mark: str) -> tuple[int, int]:
        """Signed size and notional of one line of marks."""
        known = self.values.get((symbol, size_text, mark))
        if known is None:
            grid = self.positions[symbol].grid
            size = grid.size(size_text.removeprefix("-"))
            notional = grid.notional(grid.price(mark), size)
            known = self.values[symbol, size_text, mark] = (-size if size_text.startswith("-") else size, notional)
        return known


def extremes_follow(connection: Connection, account: Account) -> Iterator[Difference]:
    """High-water mark and deepest drawdown are those of the snapshots, and the account carries the last of them.

    Of hours that were thinned to their last minute only that is left: there they may only not be too small.
    """
    peak, deepest, thinned = account.start_balance, 0, _thinned_through(connection, account.id)
    for row in _snapshots(connection, account.id):
        where = f"prop_snapshots({account.id}, {row['t']})"
        peak = max(peak, row["equity"])
        if row["high_water_mark"] < peak or (row["high_water_mark"] > peak and row["t"] >= thinned):
            message = f"high-water mark {usd_text(row['high_water_mark'])} is not the highest equity"
            yield Difference("I6", where, message)
        peak = max(peak, row["high_water_mark"])
        deepest = max(deepest, rate_of(peak - row["equity"], peak))
        if row["max_drawdown"] < deepest or (row["max_drawdown"] > deepest and row["t"] >= thinned):
            yield Difference("I6", where, f"deepest drawdown {row['max_drawdown']} is not {deepest}")
        deepest = max(deepest, row["max_drawdown"])
    if account.high_water_mark != peak:
        message = f"high-water mark {usd_text(account.high_water_mark)} is not {usd_text(peak)}"
        yield Difference("I6", f"prop_accounts({account.id})", message)


def snapshots_add_up(connection: Connection, account: Account) -> Iterator[Difference]:
    """Every snapshot is of a full minute, and its figures are those of its marks."""
    traded = _traded(connection, account)
    for row in _snapshots(connection, account.id):
        where = f"prop_snapshots({account.id}, {row['t']})"
        try:
            for message in _problems(row, traded):
                yield Difference("I6", where, message)
        except (LookupError, TypeError, ValueError) as error:
            yield Difference("I6", where, f"its marks cannot be read: {error}")


CHECKS: tuple[Check, ...] = (extremes_follow, snapshots_add_up)


def _problems(row: Row, traded: Traded) -> Iterator[str]:
    lines: list[dict[str, Any]] = json.loads(row["marks"])
    if canonical.text(lines) != row["marks"]:
        yield "its marks are not canonical JSON"
    if row["t"] % MINUTE_MS or row["t"] > row["marked_at"]:
        yield f"is not of a full minute before {row['marked_at']}"
    if row["balance"] not in traded.balances:
        yield f"the balance was never {usd_text(row['balance'])}"
    if row["equity"] != row["balance"] + row["unrealized"]:
        yield "equity is not balance plus unrealized"
    if row["unrealized"] != sum(line["unrealized"] for line in lines) or row["positions"] != len(lines):
        yield "unrealized is not the sum of its marks"
    if row["drawdown"] != rate_of(row["high_water_mark"] - row["equity"], row["high_water_mark"]):
        yield "drawdown is not that of equity below the high-water mark"
    if row["oldest_mark_ms"] != max((row["marked_at"] - line["at"] for line in lines), default=0):
        yield "the oldest mark is of another age"
    if not 0 <= row["carried"] <= row["positions"]:
        yield f"{row['carried']} of {row['positions']} marks are carried"
    yield from _of_positions(row, lines, traded)


def _of_positions(row: Row, lines: list[dict[str, Any]], traded: Traded) -> Iterator[str]:
    values = [(line, traded.value(line["symbol"], line["size"], line["mark"])) for line in lines]
    for line, (size, value) in values:
        cost = value - line["unrealized"] if size > 0 else value + line["unrealized"]
        if size == 0 or cost not in traded.costs.get((line["symbol"], size), ()):
            yield f"{line['symbol']} was never held so, or makes another profit at its mark"
    gross = sum(value for _, (_, value) in values)
    if row["gross"] != gross:
        yield f"gross {usd_text(row['gross'])} is not {usd_text(gross)}"
    used = [(value, traded.leverages[line["symbol"]]) for line, (_, value) in values]
    least = sum(margin.initial(value, max(found)) for value, found in used)
    most = sum(margin.initial(value, min(found)) for value, found in used)
    if not least <= row["margin"] <= most:
        yield f"margin {usd_text(row['margin'])} is not that of the leverage in use"
    if not 0 <= row["maintenance"] <= gross:
        yield f"maintenance margin {usd_text(row['maintenance'])} is not between nothing and gross"


def _traded(connection: Connection, account: Account) -> Traded:
    balances, costs, leverages = [account.start_balance], dict[tuple[str, int], set[int]](), dict[str, set[int]]()
    groups = connection.execute(
        "SELECT sum(amount) AS made FROM prop_ledger WHERE account_id = ? GROUP BY seq ORDER BY seq", (account.id,)
    )
    for group in groups:
        balances.append(balances[-1] + group["made"])
    fills = connection.execute(
        """
        SELECT f.symbol, f.size_after, f.cost_after, o.leverage FROM prop_fills f
        JOIN prop_orders o ON o.id = f.order_id WHERE f.account_id = ? ORDER BY f.id
        """,
        (account.id,),
    )
    for fill in fills:
        costs.setdefault((fill["symbol"], fill["size_after"]), set()).add(fill["cost_after"])
        leverages.setdefault(fill["symbol"], set()).add(fill["leverage"])
    return Traded(
        frozenset(balances),
        {held: frozenset(found) for held, found in costs.items()},
        {symbol: frozenset(found) for symbol, found in leverages.items()},
        accounts.positions(connection, account.id),
    )


def _snapshots(connection: Connection, account_id: int) -> Iterator[Row]:
    return iter(connection.execute("SELECT * FROM prop_snapshots WHERE account_id = ? ORDER BY t", (account_id,)))


def _thinned_through(connection: Connection, account_id: int) -> int:
    row = connection.execute("SELECT through_t FROM prop_thinnings WHERE account_id = ?", (account_id,)).fetchone()
    return 0 if row is None else int(row["through_t"])
