"""The fixing: one price an asset at the end of a window, the same for every account that holds it (11, 9).

The median of the marks of T - 4 min … T, each mark as it was known at its minute; where there was none, the newest one
of the ten minutes before T; where there was none either, the oracle.
"""

from collections.abc import Iterable, Mapping
from statistics import median_low

from clash_pipeline.clock import MINUTE_MS, SECOND_MS, minute_of
from clash_pipeline.prop import closing
from clash_pipeline.prop.closing import CARRIED
from clash_pipeline.prop.desk import Desk, Order
from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.positions import Position
from clash_pipeline.prop.pricing import Reference
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.units import Rounding

SETTLE_MS = 10 * SECOND_MS
"""How long after T memory is given to hold what was known at T *(ours)*."""
PATIENCE_MS = 35 * MINUTE_MS
"""How long after T a missing price or funding rate is waited for (11, 9); then the last mark is carried."""
FIXING, ORACLE = "fixing", "oracle"
ACTOR = "fixing"
_COMPARED_DECIMALS = 20

Fixed = Mapping[str, Reference]


def is_due(ends_at: int, now_ms: int) -> bool:
    """Whether a window has ended, and memory has had the time to learn of it."""
    return now_ms >= ends_at + SETTLE_MS


def is_patient(ends_at: int, now_ms: int) -> bool:
    """Whether what is missing is still waited for."""
    return now_ms < ends_at + PATIENCE_MS


def prices(execution: ExecutionVenue, symbols: Iterable[str], policy: Policy, ends_at: int, now_ms: int) -> Fixed:
    """The fixed price of each asset that has one; one that has none yet is left out."""
    wanted = sorted(set(symbols))
    window = _marks(execution, wanted, policy, _minutes(ends_at, policy.fixing_ms))
    fixed = {symbol: _median(marks, ends_at) for symbol, marks in window.items() if marks}
    if policy.oracle_after_ms is not None and (rest := [symbol for symbol in wanted if symbol not in fixed]):
        earlier = _marks(execution, rest, policy, _minutes(ends_at, policy.oracle_after_ms))
        fixed |= {symbol: marks[-1] for symbol, marks in earlier.items() if marks}
        oracles = execution.oracles([symbol for symbol in rest if symbol not in fixed], ends_at, now_ms)
        fixed |= {symbol: Reference(found.text, ORACLE, ends_at, found.known_at) for symbol, found in oracles.items()}
    return fixed


def close_at(desk: Desk, fixed: Fixed, ends_at: int) -> int:
    """Close every position at its fixed price, without cost; returns how many had to take a carried mark."""
    carried = 0
    for position in open_positions(desk):
        reference = fixed.get(position.symbol) or closing.last_mark(desk, position)
        carried += reference.source == CARRIED
        order = Order(
            "admin",
            position.symbol,
            position.leverage,
            ACTOR,
            f"fixed by {reference.source}",
            trigger_minute=minute_of(ends_at),
        )
        desk.execute(order, closing.at_fixing(position, scaled(reference, position)), reference)
    return carried


def scaled(reference: Reference, position: Position) -> int:
    """The fixed price on the asset's decimals, rounded against the account; at least the smallest step."""
    exact = reference.price
    if exact is None:
        raise ValueError(f"the fixed price of {position.symbol} is not positive: {reference.text}")
    return max(exact.scaled(position.grid.px_decimals, Rounding.FLOOR if position.size > 0 else Rounding.CEIL), 1)


def open_positions(desk: Desk) -> list[Position]:
    """The open positions, by symbol."""
    return [desk.positions[symbol] for symbol in sorted(desk.positions) if desk.positions[symbol].size]


def _minutes(ends_at: int, span_ms: int) -> range:
    """The minutes of the window, T itself included, oldest first."""
    return range(ends_at - span_ms, ends_at + 1, MINUTE_MS)


def _marks(
    execution: ExecutionVenue, symbols: Iterable[str], policy: Policy, minutes: Iterable[int]
) -> dict[str, list[Reference]]:
    found: dict[str, list[Reference]] = {symbol: [] for symbol in symbols}
    for minute in minutes:
        for symbol, quote in execution.quotes(found, minute).items():
            if (mark := quote.mark(policy, minute)) is not None:
                found[symbol].append(mark)
    return found


def _median(marks: list[Reference], ends_at: int) -> Reference:
    """The middle mark, the lower of two; it is said to be of T, whichever minute it was known in."""
    by_price = {_comparable(mark): mark for mark in marks}
    middle = by_price[median_low(list(map(_comparable, marks)))]
    return Reference(middle.text, FIXING, ends_at, middle.known_at)


def _comparable(mark: Reference) -> int:
    exact = mark.price
    return exact.scaled(_COMPARED_DECIMALS, Rounding.FLOOR) if exact else 0
