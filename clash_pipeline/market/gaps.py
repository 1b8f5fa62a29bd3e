"""The gap queue: minutes that were missed or not proven, and the requests that would close them, most needed first.

A gap is a row of `candle_gaps` until each of its minutes is final, or lost: older than we wait and the venue keeps.
Unproven rows become gaps too (`confirm`), in one request a coin and hour. Ranges are half-open, `[from_t, to_t)`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, day_of, hour_of, minute_of
from clash_pipeline.market import candles
from clash_pipeline.storage.sqlite import Connection

WARM_UP_MINUTES = 720
"""Before the running day, so that its indicators have their warm-up (01 Rules)."""
JOIN_WITHIN_MINUTES = 1_200
"""Asking for so many rows in between costs less than asking twice (sources 1.10)."""
LEAD_IN_MINUTES = 360
"""How far back a request may start to find the traded minute before a silence."""
FRESH_MS = 5 * MINUTE_MS
"""The venue itself needs some time until it shows a minute without trades."""
RETRY_MS = (60_000, 10 * MINUTE_MS, HOUR_MS)
"""After the first, second and every later answer that brought nothing."""
REFUSED_MS = (15_000, 30_000, 60_000, 2 * MINUTE_MS, 5 * MINUTE_MS)
"""After the first, second and so on question in a row that was not answered."""
SOON_MS = 10 * MINUTE_MS
"""Unproven minutes of coins in use are confirmed in pieces of this length, the others by the hour."""
SETTLED_MS = 2 * MINUTE_MS
REST_RANK = 3
"""Ranks below are in use: 0 open positions, 1 due decisions, 2 the race universe. From here on, the rest."""

Rank = Callable[[str], int]


class Reach(NamedTuple):
    """How far back the venue answers, how long we wait for it, and when a minute is settled; see the settings."""

    keeps_minutes: int = 5_000
    lost_after_ms: int = 72 * HOUR_MS
    grace_ms: int = 5_000


class OpenGap(NamedTuple):
    """A row of the queue."""

    id: int
    symbol: str
    from_t: int
    to_t: int
    reason: str
    opened_at: int
    attempts: int


class Request(NamedTuple):
    """One snapshot that serves some gaps of a coin."""

    symbol: str
    from_t: int
    to_t: int
    gaps: tuple[OpenGap, ...]


def enqueue(connection: Connection, symbol: str, from_t: int, to_t: int, reason: str, *, now_ms: int) -> None:
    """Add minutes to the queue; touching or overlapping gaps of the coin become one, due at once."""
    touching = connection.execute(
        """
        SELECT id, from_t, to_t, reason, opened_at FROM candle_gaps
        WHERE state = 'open' AND symbol = ? AND from_t <= ? AND to_t >= ? ORDER BY from_t
        """,
        (symbol, to_t, from_t),
    ).fetchall()
    if any(gap["from_t"] <= from_t and to_t <= gap["to_t"] for gap in touching):
        return
    connection.executemany("DELETE FROM candle_gaps WHERE id = ?", [(gap["id"],) for gap in touching])
    whole_from = min([from_t, *(gap["from_t"] for gap in touching)])
    whole_to = max([to_t, *(gap["to_t"] for gap in touching)])
    if touching:
        reason, opened_at = touching[0]["reason"], touching[0]["opened_at"]
    else:
        opened_at = now_ms
    _insert(connection, OpenGap(0, symbol, whole_from, whole_to, reason, opened_at, 0), next_try_at=0)


def open_gaps(connection: Connection, *, due_at: int | None = None) -> list[OpenGap]:
    """The queue by coin and time; with `due_at`, only what may be tried then."""
    rows = connection.execute(
        """
        SELECT id, symbol, from_t, to_t, reason, opened_at, attempts FROM candle_gaps
        WHERE state = 'open' AND (:due_at IS NULL OR next_try_at <= :due_at) ORDER BY symbol, from_t
        """,
        {"due_at": due_at},
    )
    return [OpenGap(*row) for row in rows]


def plan(gaps: Iterable[OpenGap], rank: Rank, *, now_ms: int, reach: Reach | None = None) -> list[Request]:
    """The requests that would close the gaps: most needed coin first, then what was tried least, then newest minutes.

    Neighbouring gaps share a request, long ones are split, and what the venue cannot have yet or any more is left out.
    """
    reach = reach or Reach()
    oldest_t = minute_of(now_ms) - (reach.keeps_minutes - 2) * MINUTE_MS
    settled_t = minute_of(now_ms - reach.grace_ms)
    requests: list[Request] = []
    for gap in gaps:
        from_t, to_t = max(gap.from_t, oldest_t), min(gap.to_t, settled_t)
        if from_t < to_t:
            _extend(requests, gap, from_t, to_t, reach.keeps_minutes - LEAD_IN_MINUTES)
    return sorted(requests, key=lambda request: _need(request, rank))


def write_off(connection: Connection, *, now_ms: int, reach: Reach | None = None) -> int:
    """Give up the minutes that are both older than we wait and than the venue keeps; returns the gaps written off."""
    reach = reach or Reach()
    limit = minute_of(min(now_ms - reach.lost_after_ms, now_ms - reach.keeps_minutes * MINUTE_MS))
    hopeless = [gap for gap in open_gaps(connection) if gap.from_t < limit]
    for gap in hopeless:
        lost_to = min(gap.to_t, limit)
        connection.execute(
            "UPDATE candle_gaps SET to_t = ?, state = 'lost', closed_at = ? WHERE id = ?", (lost_to, now_ms, gap.id)
        )
        if lost_to < gap.to_t:
            _insert(connection, gap._replace(from_t=lost_to), next_try_at=0)
    return len(hopeless)


# what has to be asked for


def enqueue_missing(
    connection: Connection, symbols: Iterable[str], *, now_ms: int, reach: Reach | None = None
) -> dict[str, tuple[int, str | None]]:
    """Queue every minute of the needed past that is not in memory, after a start.

    Needed are the running day with its warm-up, and everything since the oldest minute we hold that the venue still
    keeps. Returns for each coin the running minute and the close before it, None where that is not known.
    """
    reach = reach or Reach()
    end_t = minute_of(now_ms)
    oldest_t = end_t - (reach.keeps_minutes - 2) * MINUTE_MS
    seeds: dict[str, tuple[int, str | None]] = {}
    for symbol in symbols:
        first_t = connection.execute(
            "SELECT min(t) FROM hyperliquid_candles WHERE symbol = ? AND interval = '1m' AND t >= ?", (symbol, oldest_t)
        ).fetchone()[0]
        needed_t = max(oldest_t, day_of(now_ms) - WARM_UP_MINUTES * MINUTE_MS)
        begin_t = min(needed_t, first_t if first_t is not None else needed_t)
        for from_t, to_t in _holes(connection, symbol, begin_t, end_t):
            enqueue(connection, symbol, from_t, to_t, "start", now_ms=now_ms)
        before = candles.read(connection, symbol, interval="1m", from_t=end_t - MINUTE_MS, to_t=end_t)
        seeds[symbol] = (end_t, before[0].c if before else None)
    return seeds


def enqueue_unproven(connection: Connection, rank: Rank, *, now_ms: int, symbols: Iterable[str] | None = None) -> int:
    """Queue closed minutes that nothing has proven, once they are old enough to be asked for in one piece."""
    wanted = None if symbols is None else frozenset(symbols)
    rows = connection.execute(
        """
        SELECT symbol, min(t) AS first_t, max(t) AS last_t FROM hyperliquid_candles
        WHERE interval = '1m' AND final = 0 GROUP BY symbol
        """
    ).fetchall()
    queued = 0
    for row in rows:
        symbol = row["symbol"]
        # up to a round time, so that the same minutes are not asked for again with each new one
        until = hour_of(now_ms - SETTLED_MS)
        if rank(symbol) < REST_RANK:
            until = max(until, (now_ms - SETTLED_MS) // SOON_MS * SOON_MS)
        to_t = min(row["last_t"] + MINUTE_MS, until)
        if row["first_t"] < to_t and (wanted is None or symbol in wanted):
            enqueue(connection, symbol, row["first_t"], to_t, "confirm", now_ms=now_ms)
            queued += 1
    return queued


# served by an answer


def shrink(connection: Connection, gap: OpenGap, request: Request, done: Iterable[int], *, now_ms: int) -> bool:
    """Close a gap, or leave what is still missing of it to a later try; says whether nothing is left."""
    rows = connection.execute(
        "SELECT t FROM hyperliquid_candles WHERE symbol = ? AND interval = '1m' AND t >= ? AND t < ? AND final = 1",
        (gap.symbol, gap.from_t, gap.to_t),
    )
    proven = {*done, *(row["t"] for row in rows)}
    asked: list[int] = []
    not_asked: list[int] = []
    for t in range(gap.from_t, gap.to_t, MINUTE_MS):
        if t not in proven:
            (asked if request.from_t <= t < request.to_t else not_asked).append(t)
    if not asked and not not_asked:
        connection.execute(
            "UPDATE candle_gaps SET state = 'repaired', closed_at = ? WHERE id = ? AND state = 'open'", (now_ms, gap.id)
        )
        return True
    connection.execute("DELETE FROM candle_gaps WHERE id = ? AND state = 'open'", (gap.id,))
    for from_t, to_t in _ranges(not_asked):
        _insert(connection, gap._replace(from_t=from_t, to_t=to_t, attempts=0), next_try_at=0)
    for from_t, to_t in _ranges(asked):
        has_progress = (from_t, to_t) != (max(gap.from_t, request.from_t), min(gap.to_t, request.to_t))
        attempts = 0 if has_progress else gap.attempts + 1
        is_fresh = to_t > now_ms - FRESH_MS
        pause_ms = 0 if has_progress and not is_fresh else _pause_ms(RETRY_MS, gap.attempts)
        _insert(connection, gap._replace(from_t=from_t, to_t=to_t, attempts=attempts), next_try_at=now_ms + pause_ms)
    return False


def postpone(connection: Connection, gaps: Iterable[OpenGap], error: str, *, now_ms: int) -> None:
    connection.executemany(
        """
        UPDATE candle_gaps SET attempts = attempts + 1, next_try_at = ?, last_error = ? WHERE id = ? AND state = 'open'
        """,
        [(now_ms + _pause_ms(REFUSED_MS, gap.attempts), error[:500], gap.id) for gap in gaps],
    )


def _pause_ms(pauses: Sequence[int], attempts: int) -> int:
    return pauses[min(attempts, len(pauses) - 1)]


def _insert(connection: Connection, gap: OpenGap, *, next_try_at: int) -> None:
    connection.execute(
        """
        INSERT INTO candle_gaps (symbol, from_t, to_t, reason, state, opened_at, attempts, next_try_at)
        VALUES (?, ?, ?, ?, 'open', ?, ?, ?) ON CONFLICT DO NOTHING
        """,
        (gap.symbol, gap.from_t, gap.to_t, gap.reason, gap.opened_at, gap.attempts, next_try_at),
    )


def by_rank(ranks: Mapping[str, int]) -> Rank:
    """A priority from a mapping; coins that are not in it come last."""
    return lambda symbol: ranks.get(symbol, REST_RANK)


# helpers of the plan


def _need(request: Request, rank: Rank) -> tuple[int, int, int, str]:
    return rank(request.symbol), min(gap.attempts for gap in request.gaps), -request.to_t, request.symbol


def _extend(requests: list[Request], gap: OpenGap, from_t: int, to_t: int, most: int) -> None:
    step = most * MINUTE_MS
    last = requests[-1] if requests else None
    is_near = (
        last is not None
        and last.symbol == gap.symbol
        and from_t - last.to_t <= JOIN_WITHIN_MINUTES * MINUTE_MS
        and to_t - last.from_t <= step
    )
    if last is not None and is_near:
        requests[-1] = last._replace(to_t=max(to_t, last.to_t), gaps=(*last.gaps, gap))
    else:
        parts = range(from_t, to_t, step)
        requests.extend(Request(gap.symbol, start, min(start + step, to_t), (gap,)) for start in parts)


def lead_in(connection: Connection, request: Request, now_ms: int, reach: Reach) -> int:
    """The minute with trades before the request, where there is a near one: without it a silence has no left edge."""
    earliest = max(request.from_t - LEAD_IN_MINUTES * MINUTE_MS, now_ms - (reach.keeps_minutes - 2) * MINUTE_MS)
    row = connection.execute(
        """
        SELECT t FROM hyperliquid_candles WHERE symbol = ? AND interval = '1m' AND t >= ? AND t < ? AND n > 0
        ORDER BY t DESC LIMIT 1
        """,
        (request.symbol, earliest, request.from_t),
    ).fetchone()
    return row["t"] if row is not None else request.from_t - MINUTE_MS


def _holes(connection: Connection, symbol: str, from_t: int, to_t: int) -> list[tuple[int, int]]:
    rows = connection.execute(
        """
        SELECT t, next_t FROM (
          SELECT t, lead(t, 1, :to_t) OVER (ORDER BY t) AS next_t FROM (
            SELECT :from_t - 60000 AS t
            UNION ALL
            SELECT t FROM hyperliquid_candles WHERE symbol = :symbol AND interval = '1m' AND t >= :from_t AND t < :to_t
          )
        ) WHERE next_t > t + 60000
        """,
        {"symbol": symbol, "from_t": from_t, "to_t": to_t},
    )
    return [(row["t"] + MINUTE_MS, row["next_t"]) for row in rows]


def _ranges(minutes: Sequence[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for t in minutes:
        if ranges and ranges[-1][1] == t:
            ranges[-1] = (ranges[-1][0], t + MINUTE_MS)
        else:
            ranges.append((t, t + MINUTE_MS))
    return ranges
