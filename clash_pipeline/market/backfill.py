"""Fill a past range of the market memory: from the venue as far back as it keeps, before that from the archive.

Sources that only answer *now* have no other past than the archive; a past range never receives today's values (01).
Ranges are half-open, `[from_t, to_t)`, epoch ms.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from clash_pipeline.archive.bookkeeping import Partition
from clash_pipeline.archive.catalogue import TABLES
from clash_pipeline.archive.partitions import archive_day, restore_day
from clash_pipeline.archive.readiness import PartitionRefused
from clash_pipeline.archive.stores import ArtifactStore
from clash_pipeline.clock import DAY_MS, MINUTE_MS, Clock, day_of, iso, minute_of
from clash_pipeline.market import indicators, ingestion, rollup
from clash_pipeline.market.gaps import Reach, by_rank, enqueue
from clash_pipeline.market.hyperliquid import funding
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.market.repair import Repairer, Snapshots
from clash_pipeline.market.spans import Span
from clash_pipeline.storage.sqlite import Database

SOURCE, CHANNEL = "hyperliquid", "repair"
CANDLES_1M, CANDLES_1H = "hyperliquid_candles_1m", "hyperliquid_candles_1h"
INDICATORS, FUNDING = "hyperliquid_technical_indicators", "hyperliquid_funding_rates"
MINUTES_A_DAY = DAY_MS // MINUTE_MS
SHOWN_COLUMNS = ("from", "rows", "added", "origin", "missing minutes")


class Refusal(ValueError):
    """A range that cannot be filled; `span` says which, the message why."""

    def __init__(self, span: Span, message: str) -> None:
        super().__init__(message)
        self.span = span


class NoHistory(Refusal):
    """`no_history`: neither memory, venue nor archive has the range. Permanent."""


class NothingListed(Refusal):
    """`no_assets`: the registry lists nothing that could be asked for. Refresh it first."""


class NotEnded(Refusal):
    """`not_ended`: the range is still running, or has not begun. Try again later."""


@dataclass(frozen=True)
class Filled:
    """What a range of a table holds now: its rows, how many were added, and where those came from."""

    table: str
    span: Span
    rows: int
    added: int
    origin: str
    missing: int = 0

    @property
    def shown(self) -> tuple[object, ...]:
        """As a row under `SHOWN_COLUMNS`."""
        return (iso(self.span.from_t), self.rows, self.added, self.origin, self.missing)


@dataclass
class Outcome:
    """What became of several ranges; what one of them lacks does not stop the others."""

    filled: list[Filled] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def attempt(self, fill: Callable[[], Filled]) -> None:
        """Note what `fill` made, or why it refused."""
        try:
            self.filled.append(fill())
        except Refusal as refusal:
            self.refused.append(refusal)


@dataclass(frozen=True)
class Past:
    """The parts that a past range can be filled from."""

    market: Database
    store: ArtifactStore
    clock: Clock
    reach: Reach
    pin_days: int

    def hold(self, table: str, span: Span) -> Filled:
        """What the memory has of an ended range, restored from the archive by whole days where it has nothing.

        `table` may be one that keeps no past at all, as the registry.

        Raises:
            NotEnded: the range is still running.
            NoHistory: nothing in memory and nothing archived.
        """
        self._require_ended(span)
        if rows := self.count(table, span):
            return Filled(table, span, rows, 0, "memory")
        restored = self.restore(table, span)
        if not (rows := self.count(table, span)):
            raise NoHistory(
                span, f"no_history: {table} of {span} is neither in memory nor archived, and the past is not answered"
            )
        return Filled(table, span, rows, restored, "archive")

    def hold_each(self, table: str, spans: Iterable[Span]) -> Outcome:
        """`hold` for each of several ranges."""
        outcome = Outcome()
        for span in spans:
            outcome.attempt(lambda span=span: self.hold(table, span))  # type: ignore[misc]
        return outcome

    def restore(self, table: str, span: Span) -> int:
        """Bring the archived days of a range back into the memory, with their pin; returns the rows added."""
        if table not in TABLES:
            return 0
        return sum(self._restore_day(table, day) for day in range(day_of(span.from_t), span.to_t, DAY_MS))

    def archive(self, table: str, days: Iterable[int]) -> list[Partition]:
        """Archive and verify days of a table, with their superseded versions where there are any.

        Raises:
            PartitionRefused: a day is not over, not complete, or empty; the days before it are archived.
            StoreError: nothing was lost; trying again can help.
        """
        made = []
        for day in days:
            companion = TABLES[table].companion
            if companion and self.count(companion, Span(day, day + DAY_MS)):
                archive_day(self.market, self.store, companion, day, self.clock.now_ms())
            made.append(archive_day(self.market, self.store, table, day, self.clock.now_ms()))
        return made

    def count(self, table: str, span: Span) -> int:
        """How many rows of a table lie in a range; 0 for a table that keeps no past."""
        if table not in TABLES:
            return 0
        with self.market.read() as connection:
            return int(connection.execute(TABLES[table].count_day, span._asdict()).fetchone()[0])

    # one-minute candles

    async def minutes(self, rest: Snapshots, days: Iterable[Span], symbols: Sequence[str]) -> Outcome:
        """Complete the minutes of whole days: from the venue what it keeps, before that from the archive.

        Raises:
            VenueError: the venue did not answer usably; what came before is kept, and a repeat goes on from there.
        """
        outcome = Outcome()
        for day in days:
            try:
                outcome.filled.append(await self._day_of_minutes(rest, day, symbols))
            except Refusal as refusal:
                outcome.refused.append(refusal)
        return outcome

    async def _day_of_minutes(self, rest: Snapshots, day: Span, symbols: Sequence[str]) -> Filled:
        self._require_ended(day)
        if not symbols:
            raise NothingListed(
                day, f"no_assets: the registry lists no asset for {day}; refresh hyperliquid_assets first"
            )
        kept_since = minute_of(self.clock.now_ms()) - (self.reach.keeps_minutes - 2) * MINUTE_MS
        unfinished = self._unfinished(day, symbols)
        if not unfinished:
            return self._minutes_of(day, symbols, 0, "memory")
        if day.from_t < kept_since and (restored := self.restore(CANDLES_1M, day)) and self._is_a_day(day):
            return self._minutes_of(day, symbols, restored, "archive")
        if day.to_t <= kept_since:
            raise NoHistory(
                day,
                f"no_history: one-minute candles of {day} are not archived as a whole, and the venue keeps "
                f"{self.reach.keeps_minutes:,} minutes only, back to {iso(kept_since)}",
            )
        added = await self._fetch(rest, Span(max(day.from_t, kept_since), day.to_t), unfinished)
        if added:
            self._derive_day(day.from_t)
        return self._minutes_of(day, symbols, added, "venue")

    def _is_a_day(self, day: Span) -> bool:
        """Whether some asset's minutes are all there or lost, and more there than lost.

        The repair of the next day leaves single minutes behind, and such a remainder, archived with the rest written
        off, is no day. Assets that were listed during the day lack the minutes before.
        """
        with self.market.read() as connection:
            lost = {row["symbol"]: row["minutes"] for row in connection.execute(_LOST, day._asdict())}
        finals = self._finals(day)
        return any(
            count + lost.get(symbol, 0) >= MINUTES_A_DAY and count > lost.get(symbol, 0)
            for symbol, count in finals.items()
        )

    async def _fetch(self, rest: Snapshots, span: Span, symbols: Sequence[str]) -> int:
        """Queue the range of each symbol and work that part of the queue off; returns the rows written.

        What the venue leaves out stays in the queue, for the ingester to try again or to write off.
        """
        repairer = Repairer(self.market, rest, reach=self.reach)
        with ingestion.run(self.market, SOURCE, CHANNEL, self.clock, expected=len(symbols)) as cycle:
            cycle.covered = 0
            for symbol in symbols:
                with self.market.write() as connection:
                    enqueue(connection, symbol, *span, "backfill", now_ms=self.clock.now_ms())
                rows = 0
                while request := repairer.next_request(by_rank({}), self.clock.now_ms(), frozenset({symbol})):
                    rows += (await repairer.repair(request, self.clock.now_ms)).rows
                cycle.covered += rows > 0
                cycle.rows += rows
            cycle.through_t = span.to_t
        return cycle.rows

    # what is made of minutes

    def hours(self, spans: Iterable[Span]) -> Outcome:
        """One-hour candles made again from the minutes in memory; of hours without minutes, what is held."""
        outcome = Outcome()
        for span in spans:
            outcome.attempt(lambda span=span: self._hours_of(span))  # type: ignore[misc]
        return outcome

    def indicators(self, spans: Iterable[Span]) -> Outcome:
        """Indicators made again, each day from its anchor on, where minutes are in memory; else what is held."""
        outcome = Outcome()
        for span in spans:
            outcome.attempt(lambda span=span: self._indicators_of(span))  # type: ignore[misc]
        return outcome

    def _hours_of(self, span: Span) -> Filled:
        if not self.count(CANDLES_1M, span):
            return self.hold(CANDLES_1H, span)
        with self.market.write() as connection:
            changed = rollup.refresh_range(connection, from_t=span.from_t, to_t=span.to_t, known_at=self.clock.now_ms())
        return Filled(CANDLES_1H, span, self.count(CANDLES_1H, span), changed, "minutes")

    def _indicators_of(self, span: Span) -> Filled:
        if not self.count(CANDLES_1M, span):
            return self.hold(INDICATORS, span)
        changed = self._refresh_indicators(span)
        return Filled(INDICATORS, span, self.count(INDICATORS, span), changed, "minutes")

    def _derive_day(self, day_t: int) -> None:
        """What follows from changed minutes: the hours of the day, and indicators to the end of what it warms up."""
        rollup.backfill(self.market, from_t=day_t, to_t=day_t + DAY_MS, known_at=self.clock.now_ms())
        self._refresh_indicators(Span(day_t, day_t + 2 * DAY_MS))

    def _refresh_indicators(self, span: Span) -> int:
        """The closed minutes of a range, by the same operations as they were made live; returns the rows changed."""
        closed_t = minute_of(self.clock.now_ms() - self.reach.grace_ms)
        known_at = self.clock.now_ms()
        return indicators.backfill(self.market, from_t=span.from_t, to_t=min(span.to_t, closed_t), known_at=known_at)

    # funding

    async def funding(self, rest: HyperliquidRest, spans: Sequence[Span], symbols: Sequence[str]) -> Outcome:
        """Funding of ended ranges: what memory or archive hold, and what was paid, which the venue remembers.

        The running and predicted rates of a past hour come from the archive or stay unknown.

        Raises:
            VenueError: the venue did not answer usably; repeating goes on from there.
        """
        outcome = self.hold_each(FUNDING, spans)
        ended = [span for span in spans if span.to_t <= self.clock.now_ms()]
        if not ended:
            return outcome
        begin, end = min(span.from_t for span in ended), max(span.to_t for span in ended)
        await funding.backfill_paid(self.market, rest, symbols, begin, end, clock=self.clock)
        refused = {refusal.span: refusal for refusal in outcome.refused}
        for span in ended:
            if span in refused and (rows := self.count(FUNDING, span)):
                outcome.filled.append(Filled(FUNDING, span, rows, rows, "venue, paid rates only"))
                outcome.refused.remove(refused[span])
        return outcome

    # what all of them need

    def _require_ended(self, span: Span) -> None:
        now_ms = self.clock.now_ms()
        if span.to_t > now_ms:
            raise NotEnded(span, f"not_ended: {span} is not over at {iso(now_ms)}; a partial range is not filled")

    def _restore_day(self, table: str, day: int) -> int:
        now_ms = self.clock.now_ms()
        try:
            return restore_day(self.market, self.store, table, day, now_ms, pin_days=self.pin_days).rows
        except PartitionRefused as refused:
            if refused.reason != "no_history":
                raise
            return 0

    def _unfinished(self, day: Span, symbols: Sequence[str]) -> list[str]:
        finals = self._finals(day)
        return [symbol for symbol in symbols if finals.get(symbol, 0) < MINUTES_A_DAY]

    def _minutes_of(self, day: Span, symbols: Sequence[str], added: int, origin: str) -> Filled:
        finals = self._finals(day)
        missing = sum(MINUTES_A_DAY - finals.get(symbol, 0) for symbol in symbols)
        return Filled(CANDLES_1M, day, sum(finals.values()), added, origin, missing)

    def _finals(self, span: Span) -> dict[str, int]:
        with self.market.read() as connection:
            rows = connection.execute(_FINALS, span._asdict()).fetchall()
        return {row["symbol"]: row["finals"] for row in rows}


_FINALS = """
SELECT symbol, count(*) AS finals FROM hyperliquid_candles
WHERE interval = '1m' AND t >= :from_t AND t < :to_t AND final = 1 GROUP BY symbol
"""
_LOST = """
SELECT symbol, sum(min(to_t, :to_t) - max(from_t, :from_t)) / 60000 AS minutes FROM candle_gaps
WHERE state = 'lost' AND from_t < :to_t AND to_t > :from_t GROUP BY symbol
"""
