"""Repair: asks the venue for the minutes of the gap queue and writes what it answers as final.

A row is final when it had ended, and the grace passed, before the question; a minute absent between two rows had no
trades. What the answer leaves open stays in the queue.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.faults import fault, point
from clash_pipeline.market import candles, ingestion
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.gaps import Rank, Reach, Request, lead_in, open_gaps, plan, postpone, shrink
from clash_pipeline.market.http import VenueError
from clash_pipeline.market.hyperliquid.wire import Interval, Rejections
from clash_pipeline.storage.leases import Lease, require
from clash_pipeline.storage.sqlite import Connection, Database

SOURCE = "hyperliquid"
CHANNEL = "candles_1m"
RECORDED_AS = "repair"
"""Channel of the cycles; refused rows are counted with the candles they were to be."""
RECORD_EVERY_MS = MINUTE_MS

BEFORE_STORE = point("repair.before_store")

log = structlog.get_logger(__name__)


class Snapshots(Protocol):
    """The one question repair asks of the venue."""

    async def candle_snapshot(
        self, coin: str, interval: Interval, from_t: int, to_t: int, *, rejected: Rejections | None = None
    ) -> list[Candle]:
        """Candles that open in `[from_t, to_t)`, ascending."""
        ...


@dataclass(frozen=True)
class Repaired:
    """What one answer brought: `rows` new or changed, `inserted` of them new; `revalued` had other values before."""

    symbol: str
    rows: int
    inserted: int
    from_t: int
    to_t: int
    revalued: tuple[Candle, ...]
    surprises: int
    """Flat minutes that turned out to have had trades: the subscription may have been lost."""
    last: Candle | None
    conflicts: int
    closed: int
    rejected: int = 0
    """Rows that could not be used, conflicts among them."""


@dataclass
class _Batch:
    """Questions since `began_at`; `is_failing` says how the newest of them ended."""

    began_at: int
    cycle: ingestion.Cycle = field(default_factory=ingestion.Cycle)
    answers: int = 0
    failures: int = 0
    last_error: str = ""
    is_failing: bool = False


class RepairLog:
    """What repair did since it last said so: one cycle a minute, and a failed one beside it when questions failed."""

    def __init__(self) -> None:
        self._batch: _Batch | None = None

    def answered(self, repaired: Repaired, now_ms: int) -> None:
        """Take what an answer brought."""
        batch = self._of(now_ms)
        batch.answers += 1
        batch.cycle.rows += repaired.rows
        batch.cycle.rejected += repaired.rejected
        batch.is_failing = False

    def failed(self, error: Exception, now_ms: int) -> None:
        """Take that a question was not answered, or its answer not written."""
        batch = self._of(now_ms)
        batch.failures += 1
        batch.last_error = f"{type(error).__name__}: {error}"
        batch.is_failing = True

    def is_due(self, now_ms: int) -> bool:
        """Whether there is something to say, and a minute has passed (or our clock was set back)."""
        return self._batch is not None and not 0 <= now_ms - self._batch.began_at < RECORD_EVERY_MS

    def record(self, market: Database, now_ms: int) -> None:
        """Write what happened, if anything did; the newest cycle says how repair stands.

        Raises:
            StorageBusy, StorageFull: nothing was written, and nothing is forgotten.
        """
        batch = self._batch
        if batch is None:
            return
        cycles: list[tuple[ingestion.Cycle, str | None]] = [(batch.cycle, None)] if batch.answers else []
        if batch.failures:
            asked = batch.answers + batch.failures
            error = f"{batch.failures} of {asked} questions failed, the last with {batch.last_error}"
            cycles.insert(len(cycles) if batch.is_failing else 0, (ingestion.Cycle(), error))
        started_at = min(batch.began_at, now_ms)
        with market.write() as connection:
            for cycle, failure in cycles:
                ingestion.record(
                    connection, SOURCE, RECORDED_AS, cycle, started_at=started_at, finished_at=now_ms, error=failure
                )
        self._batch = None

    def _of(self, now_ms: int) -> _Batch:
        self._batch = self._batch or _Batch(now_ms)
        return self._batch


@dataclass
class _Verdict:
    """How an answer reads: final candles by minute, and what could not be used."""

    final: dict[int, Candle] = field(default_factory=dict)
    bad: list[tuple[str, Candle]] = field(default_factory=list)


class Repairer:
    """Works the queue off, one request at a time; the weight is the client's to wait for."""

    def __init__(
        self,
        market: Database,
        rest: Snapshots,
        *,
        reach: Reach | None = None,
        lease: Callable[[], Lease | None] = lambda: None,
    ) -> None:
        self._market = market
        self._rest = rest
        self._reach = reach or Reach()
        self._lease = lease

    def next_request(self, rank: Rank, now_ms: int, symbols: frozenset[str] | None = None) -> Request | None:
        """The most needed request that is due, or None."""
        with self._market.read() as connection:
            gaps = open_gaps(connection, due_at=now_ms)
            if symbols is not None:
                gaps = [gap for gap in gaps if gap.symbol in symbols]
            requests = plan(gaps, rank, now_ms=now_ms, reach=self._reach)
            if not requests:
                return None
            first = requests[0]
            return first._replace(from_t=lead_in(connection, first, now_ms, self._reach))

    async def repair(self, request: Request, asked_at: Callable[[], int]) -> Repaired:
        """Ask for a request's minutes and write the answer; a failed question is noted on its gaps.

        Raises:
            VenueError: no usable answer; the gaps wait longer before they are tried again.
            StorageFull: the disk is below the floor; nothing was asked.
        """
        self._market.require_room()
        rejected: Rejections = []
        to_t = request.to_t + MINUTE_MS  # the minute after shows whether a silence has ended
        before_ms = asked_at()
        try:
            answer = await self._rest.candle_snapshot(request.symbol, "1m", request.from_t, to_t, rejected=rejected)
        except VenueError as error:
            with self._market.write() as connection:
                postpone(connection, request.gaps, str(error), now_ms=asked_at())
            raise
        fault(BEFORE_STORE)
        with self._market.write() as connection:
            lease = self._lease()
            if lease is not None:
                require(connection, lease)
            for rejection in rejected:
                ingestion.reject(connection, SOURCE, CHANNEL, rejection.reason, rejection.sample, asked_at())
            repaired = settle(
                connection, request, answer, asked_at=before_ms, now_ms=asked_at(), reach=self._reach,
                is_whole=not rejected,
            )  # fmt: skip
        return replace(repaired, rejected=repaired.rejected + len(rejected))


def settle(
    connection: Connection,
    request: Request,
    answer: Sequence[Candle],
    *,
    asked_at: int,
    now_ms: int,
    reach: Reach | None = None,
    is_whole: bool = True,
) -> Repaired:
    """Write an answer and shrink the gaps it served.

    Rows are final that had ended, and the grace passed, when the question was asked. A minute that is absent between
    two rows had no trades (sources 1.4), unless some row of the answer was unreadable.
    """
    reach = reach or Reach()
    verdict = read_answer(answer, settled_t=minute_of(asked_at - reach.grace_ms), is_whole=is_whole)
    for reason, candle in verdict.bad:
        ingestion.reject(connection, SOURCE, CHANNEL, reason, repr(candle), now_ms)
    rows = [verdict.final[t] for t in sorted(verdict.final)]
    surprises = _surprises(connection, request.symbol, rows)
    written = candles.store(connection, rows, origin="rest", final=True, known_at=now_ms)
    for candle in written.conflicts:
        log.error("conflicts_with_final", symbol=candle.symbol, t=candle.t)
        ingestion.reject(connection, SOURCE, CHANNEL, "conflicts_with_final", repr(candle), now_ms)
    closed = sum([shrink(connection, gap, request, verdict.final.keys(), now_ms=now_ms) for gap in request.gaps])
    return Repaired(
        request.symbol,
        written.inserted + written.changed,
        written.inserted,
        rows[0].t if rows else request.from_t,
        rows[-1].t + MINUTE_MS if rows else request.from_t,
        written.revalued,
        surprises,
        rows[-1] if rows else None,
        len(written.conflicts),
        closed,
        len(verdict.bad) + len(written.conflicts),
    )


def read_answer(answer: Sequence[Candle], *, settled_t: int, is_whole: bool = True) -> _Verdict:
    """The final minutes an answer tells of, silent ones in between included."""
    verdict = _Verdict()
    before: Candle | None = None
    for candle in answer:
        reason = candles.problem(candle)
        if reason is not None:
            verdict.bad.append((reason, candle))
            before = None
            continue
        if before is not None and is_whole:
            for t in range(before.t + MINUTE_MS, min(candle.t, settled_t), MINUTE_MS):
                verdict.final[t] = candles.flat(candle.symbol, t, before.c)
        if candle.t < settled_t:
            verdict.final[candle.t] = candle
        before = candle
    return verdict


# helpers of the answer


def _surprises(connection: Connection, symbol: str, rows: Sequence[Candle]) -> int:
    traded = {candle.t for candle in rows if candle.n > 0}
    if not traded:
        return 0
    stored = candles.read(connection, symbol, interval="1m", from_t=min(traded), to_t=max(traded) + 1)
    return sum(row.t in traded and row.origin == "flat" and not row.final for row in stored)
