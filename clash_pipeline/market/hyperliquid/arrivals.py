"""What has arrived from the stream, on its way into memory: kept until it is written, written in short transactions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

import structlog

from clash_pipeline.clock import MINUTE_MS, Clock
from clash_pipeline.faults import fault, point
from clash_pipeline.market import candles, gaps, ingestion
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.hyperliquid import mids
from clash_pipeline.market.hyperliquid.coin import ClosedMinute
from clash_pipeline.market.hyperliquid.stream import Gap, Output, Refused
from clash_pipeline.storage.leases import Lease, require
from clash_pipeline.storage.sqlite import Connection, Database

SOURCE = "hyperliquid"
CANDLES = "candles_1m"
STREAM = "stream"
"""Channel of messages that belong to no other."""

BEFORE_COMMIT = point("ingester.before_commit")
AFTER_COMMIT = point("ingester.after_commit")

log = structlog.get_logger(__name__)


@dataclass
class Arrivals:
    """Outputs of the stream, put together."""

    gaps: list[Gap] = field(default_factory=list)
    minutes: list[ClosedMinute] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    mids: dict[str, str] = field(default_factory=dict)
    settled_to: int | None = None

    def add(self, out: Output) -> None:
        """Take an output in."""
        self.gaps += out.gaps
        self.minutes += out.minutes
        self.refused += out.refused
        self.mids.update(out.mids)
        self.settled_to = self.settled_to if out.settled_to is None else out.settled_to

    def __bool__(self) -> bool:
        return bool(self.gaps or self.minutes or self.refused or self.mids or self.settled_to)


_minute_key = itemgetter(0, 1)
"""Symbol and time: rows in the order of the table's key are the quickest to write."""


class Landed(NamedTuple):
    """What was written: rows, those of them that became final, and corrections of minutes that were there before."""

    rows: int
    finals: int
    corrected: tuple[Candle, ...]
    settled_to: int | None


class ArrivalWriter:
    """Writes arrivals; used by one thread."""

    def __init__(self, market: Database, clock: Clock, lease: Lease) -> None:
        self._market = market
        self._clock = clock
        self._lease = lease
        self._trusted: frozenset[str] = frozenset()
        self._mid_rows = 0

    def write(self, arrived: Arrivals, *, expected: int, unanswered: Iterable[str] = ()) -> Landed:
        """Write gaps, minutes, rejections and mids in one transaction, with the cycle of each minute that settled.

        Raises:
            LeaseLost: another ingester works now; nothing was written.
            StorageBusy, StorageFull: nothing was written; the same arrivals can be given again.
        """
        self._market.require_room()
        with self._market.write() as connection:
            require(connection, self._lease)
            now_ms = self._clock.now_ms()
            for gap in arrived.gaps:
                gaps.enqueue(connection, gap.symbol, gap.from_t, gap.to_t, gap.reason, now_ms=now_ms)
            landed = self._minutes(connection, arrived, now_ms)
            for refused in arrived.refused:
                ingestion.reject(connection, SOURCE, STREAM, refused.reason, refused.sample, now_ms, refused.times)
            self._mids(connection, arrived, now_ms)
            if arrived.settled_to is not None:
                self._record(connection, arrived, landed, expected, list(unanswered), now_ms)
            fault(BEFORE_COMMIT)
        fault(AFTER_COMMIT)
        return landed

    def wait(self, arrived: Arrivals, reason: str) -> None:
        """Say in the health of the candles that a minute is over and cannot be written, and why."""
        if arrived.settled_to is None:
            return
        now_ms = self._clock.now_ms()
        with self._market.write() as connection:
            require(connection, self._lease)
            ingestion.record(
                connection, SOURCE, CANDLES, ingestion.Cycle(), started_at=now_ms, finished_at=now_ms, error=reason
            )

    def _minutes(self, connection: Connection, arrived: Arrivals, now_ms: int) -> Landed:
        groups: dict[tuple[bool, str], list[Candle]] = {}
        for minute in arrived.minutes:
            groups.setdefault((minute.final, minute.origin), []).append(minute.candle)
        rows = 0
        corrected: list[Candle] = []
        for final, origin in sorted(groups):  # what is final comes last, because it is the last word
            group = sorted(groups[final, origin], key=_minute_key)
            written = candles.store(connection, group, origin=origin, final=final, known_at=now_ms)
            rows += written.inserted + written.changed
            corrected += written.revalued
            for candle in written.conflicts:
                self._conflict(connection, candle, now_ms)
        finals = sum(minute.final for minute in arrived.minutes)
        return Landed(rows, finals, tuple(corrected), arrived.settled_to)

    def _conflict(self, connection: Connection, candle: Candle, now_ms: int) -> None:
        log.error("conflicts_with_final", symbol=candle.symbol, t=candle.t)
        ingestion.reject(connection, SOURCE, CANDLES, "conflicts_with_final", repr(candle), now_ms)

    def _mids(self, connection: Connection, arrived: Arrivals, now_ms: int) -> None:
        if arrived.settled_to is not None or not self._trusted:
            self._trusted = mids.trusted(connection, now_ms)
        if arrived.mids:
            stored = mids.store(
                connection, arrived.mids, source_at=now_ms, known_at=now_ms, trusted=self._trusted
            )  # fmt: skip
            self._mid_rows += stored.rows

    def _record(
        self,
        connection: Connection,
        arrived: Arrivals,
        landed: Landed,
        expected: int,
        unanswered: list[str],
        now_ms: int,
    ) -> None:
        last_t = (arrived.settled_to or 0) - MINUTE_MS
        fresh = {minute.candle.symbol for minute in arrived.minutes if minute.candle.t == last_t}
        cycle = ingestion.Cycle(
            rows=landed.rows,
            rejected=sum(refused.times for refused in arrived.refused),
            covered=len(fresh),
            expected=expected,
            through_t=last_t,  # the open time of the newest minute that is in memory
            lags_ms=[now_ms - last_t - MINUTE_MS] * len(fresh),
        )
        ingestion.record(connection, SOURCE, CANDLES, cycle, started_at=now_ms, finished_at=now_ms)
        if unanswered:
            error = f"{len(unanswered)} subscriptions unanswered, first of them {unanswered[0]}"
            ingestion.record(
                connection, SOURCE, CANDLES, ingestion.Cycle(), started_at=now_ms, finished_at=now_ms, error=error
            )  # fmt: skip
        self._record_mids(connection, now_ms)

    def _record_mids(self, connection: Connection, now_ms: int) -> None:
        cycle = ingestion.Cycle(rows=self._mid_rows, expected=len(self._trusted), through_t=now_ms)
        if self._mid_rows:
            row = connection.execute(
                "SELECT count(*) FROM hyperliquid_latest_prices WHERE known_at > ?", (now_ms - MINUTE_MS,)
            ).fetchone()
            cycle.covered = row[0]
        ingestion.record(connection, SOURCE, mids.CHANNEL, cycle, started_at=now_ms, finished_at=now_ms)
        self._mid_rows = 0
