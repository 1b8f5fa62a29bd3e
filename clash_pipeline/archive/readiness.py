"""Which days may be archived: those whose every minute is final or listed in `candle_gaps` as lost (01 Retention)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from clash_pipeline.archive.tables import ArchivedTable, Complete
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, iso
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

SETTLE_MS = 15 * MINUTE_MS
"""A day is over this long after midnight: what was asked before it has arrived by then (ours)."""
UNRECORDED = "unrecorded"
"""The reason of a gap that nobody opened in time, found when the day was to be archived."""

SYMBOL_DAYS = """
    SELECT symbol, count(*) AS have, sum(final = 0) AS open, min(t) AS first_t, max(t) AS last_t
    FROM hyperliquid_candles WHERE interval = :interval AND t >= :from_t AND t < :to_t GROUP BY symbol
"""
FINAL_OF = """
    SELECT t FROM hyperliquid_candles
    WHERE symbol = :symbol AND interval = :interval AND t >= :from_t AND t < :to_t AND final = 1
"""
NOT_FINAL_OF = """
    SELECT t FROM hyperliquid_candles
    WHERE symbol = :symbol AND interval = :interval AND t >= :from_t AND t < :to_t AND final = 0
"""
GAPS = """
    SELECT symbol, from_t, to_t FROM candle_gaps WHERE state = :state AND from_t < :to_t AND to_t > :from_t
    ORDER BY symbol, from_t
"""


class PartitionRefused(Exception):
    """A day that cannot be archived, pruned or restored now; `reason` is a stable code, the message one line."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{message} ({reason})")
        self.reason = reason


class Hole(NamedTuple):
    """Minutes (or hours) of a symbol that are neither final nor lost; `to_t` is exclusive."""

    symbol: str
    from_t: int
    to_t: int


def refuse_running(table: ArchivedTable, day: int, now_ms: int) -> None:
    """Refuse a day that is not over.

    Raises:
        PartitionRefused: `running_day`, or `not_a_day` for a time that is not a UTC midnight.
    """
    if day % DAY_MS:
        raise PartitionRefused("not_a_day", f"{iso(day)} is not the start of a UTC day")
    if now_ms < day + DAY_MS + SETTLE_MS:
        raise PartitionRefused("running_day", f"{table.name} of {iso(day)[:10]} is not over yet")


def refuse_unfinished(connection: Connection, table: ArchivedTable, day: int, *, is_whole: bool = True) -> None:
    """Refuse a day with minutes that may still change or arrive.

    `is_whole` says that all rows of the day should be in the hot table; otherwise only those there are looked at.

    Raises:
        PartitionRefused: `open_gaps` or `not_final`, naming how many and one example.
    """
    if table.complete is Complete.ENDED or _has_archived_minutes(connection, table, day):
        return
    label = f"{table.name} of {iso(day)[:10]}"
    gaps = _gaps(connection, "open", day)
    if gaps:
        raise PartitionRefused("open_gaps", f"{label} has {len(gaps)} open gaps, the first of {gaps[0].symbol}")
    found = list(holes(connection, table, day, is_whole=is_whole))
    if found:
        first = found[0]
        raise PartitionRefused(
            "not_final", f"{label} has {len(found)} stretches neither final nor lost, the first of {first.symbol} at "
            f"{iso(first.from_t)}",
        )  # fmt: skip


def holes(connection: Connection, table: ArchivedTable, day: int, *, is_whole: bool = True) -> Iterator[Hole]:
    """The stretches of a day that are neither final nor covered by a lost gap."""
    span = {"interval": _interval(table), "from_t": day, "to_t": day + DAY_MS}
    step = _step(table)
    lost = _by_symbol(_gaps(connection, "lost", day))
    listed = _listings(connection)
    for row in connection.execute(SYMBOL_DAYS, span).fetchall():
        symbol, covered = row["symbol"], lost.get(row["symbol"], ())
        from_t, to_t = _expected(row["first_t"], row["last_t"] + step, day, listed.get(symbol))
        if row["open"] == 0 and (not is_whole or row["have"] * step == to_t - from_t):
            continue
        if is_whole:
            final = {at for (at,) in connection.execute(FINAL_OF, {**span, "symbol": symbol})}
            doubtful: Iterable[int] = (t for t in range(from_t, to_t, step) if t not in final)
        else:
            doubtful = (t for (t,) in connection.execute(NOT_FINAL_OF, {**span, "symbol": symbol}).fetchall())
        yield from _stretches(symbol, [t for t in doubtful if not _is_lost(t, t + step, covered)], step)


def write_off(market: Database, table: ArchivedTable, day: int, now_ms: int, lost_after_ms: int) -> int:
    """List what can never come any more as lost, so that an unrepaired day does not stay for ever.

    Only for days so old that the venue keeps them no longer; returns how many gaps became lost.
    """
    if table.complete is Complete.ENDED or now_ms - (day + DAY_MS) < lost_after_ms:
        return 0
    with market.write() as connection:
        closed = connection.execute(
            """
            UPDATE candle_gaps SET state = 'lost', closed_at = :now
            WHERE state = 'open' AND from_t < :to_t AND to_t > :from_t AND to_t <= :horizon
            """,
            {"now": now_ms, "from_t": day, "to_t": day + DAY_MS, "horizon": now_ms - lost_after_ms},
        ).rowcount
        if _has_archived_minutes(connection, table, day):
            return closed
        found = list(holes(connection, table, day))
        connection.executemany(
            """
            INSERT INTO candle_gaps (symbol, from_t, to_t, reason, state, opened_at, closed_at)
            VALUES (?, ?, ?, ?, 'lost', ?, ?)
            """,
            [(hole.symbol, hole.from_t, hole.to_t, UNRECORDED, now_ms, now_ms) for hole in found],
        )
    return closed + len(found)


def lost_after_ms(settings: Settings) -> int:
    """The age beyond which a missing minute is lost: 72 h, and no longer kept by the venue (01 Retention)."""
    return max(settings.gap_lost_after_hours * HOUR_MS, settings.venue_keeps_candles * MINUTE_MS)


def _interval(table: ArchivedTable) -> str:
    return "1h" if table.complete is Complete.FINAL_HOURS else "1m"


def _step(table: ArchivedTable) -> int:
    return HOUR_MS if table.complete is Complete.FINAL_HOURS else MINUTE_MS


def _has_archived_minutes(connection: Connection, table: ArchivedTable, day: int) -> bool:
    """Derived rows of a day whose candles are archived cannot change any more."""
    candles = f"hyperliquid_candles_{_interval(table)}"
    if table.name == candles:
        return False
    row = connection.execute(
        "SELECT 1 FROM archived_partitions WHERE table_name = ? AND day = ? AND verified_at IS NOT NULL", (candles, day)
    ).fetchone()
    return row is not None


def _expected(first_t: int, end_t: int, day: int, listing: tuple[int, bool] | None) -> tuple[int, int]:
    """From when to when a symbol should have rows: a new listing begins, a delisted asset ends, where its rows do."""
    first_seen_at, is_delisted = listing or (day + DAY_MS, True)
    return (day if first_seen_at <= day else first_t), (end_t if is_delisted else day + DAY_MS)


def _listings(connection: Connection) -> dict[str, tuple[int, bool]]:
    rows = connection.execute("SELECT symbol, first_seen_at, is_delisted FROM hyperliquid_assets")
    return {row["symbol"]: (row["first_seen_at"], bool(row["is_delisted"])) for row in rows}


def _gaps(connection: Connection, state: str, day: int) -> list[Hole]:
    rows = connection.execute(GAPS, {"state": state, "from_t": day, "to_t": day + DAY_MS})
    return [Hole(*row) for row in rows]


def _by_symbol(gaps: Iterable[Hole]) -> dict[str, list[Hole]]:
    found: dict[str, list[Hole]] = {}
    for gap in gaps:
        found.setdefault(gap.symbol, []).append(gap)
    return found


def _is_lost(from_t: int, to_t: int, gaps: Sequence[Hole]) -> bool:
    return any(gap.from_t < to_t and gap.to_t > from_t for gap in gaps)


def _stretches(symbol: str, times: Sequence[int], step: int) -> Iterator[Hole]:
    """Neighbouring times joined."""
    if not times:
        return
    starts = [times[0], *[later for earlier, later in pairwise(times) if later != earlier + step]]
    ends = [*[earlier for earlier, later in pairwise(times) if later != earlier + step], times[-1]]
    for start, end in zip(starts, ends, strict=True):
        yield Hole(symbol, start, end + step)
