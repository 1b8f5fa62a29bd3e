"""What follows from candles as they come: indicators of each closed minute, the running hour, and corrections.

A minute that arrives late or with other values puts everything derived from it out of date. Such minutes are collected
by coin, and what rests on them is worked out again in one go.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, Clock, hour_of
from clash_pipeline.market import candles, ingestion
from clash_pipeline.market.candles import Candle
from clash_pipeline.storage.leases import Lease, require
from clash_pipeline.storage.sqlite import Connection, Database, one

SOURCE = "hyperliquid"
COINS_AT_ONCE = 8
"""Coins whose indicators are worked out again in one transaction, so that it stays short."""
HOURS_OF_COINS_AT_ONCE = 32

Ranges = dict[str, tuple[int, int]]


@dataclass
class Stale:
    """Ranges of minutes that changed, by coin: `values` where prices did, `hours` where at least finality did."""

    values: Ranges = field(default_factory=dict)
    hours: Ranges = field(default_factory=dict)

    def add(self, symbol: str, from_t: int, to_t: int, *, values: bool) -> None:
        """Note a changed range; ranges of a coin grow together."""
        for ranges in (self.values, self.hours) if values else (self.hours,):
            first, last = ranges.get(symbol, (from_t, to_t))
            ranges[symbol] = (min(first, from_t), max(last, to_t))

    def take(self, other: "Stale") -> None:
        """Note everything another one has."""
        for symbol, (from_t, to_t) in other.hours.items():
            self.add(symbol, from_t, to_t, values=False)
        for symbol, (from_t, to_t) in other.values.items():
            self.add(symbol, from_t, to_t, values=True)

    def __bool__(self) -> bool:
        return bool(self.values or self.hours)


class Derivation:
    """Keeps indicators and hours in step with the candles; used by one thread."""

    def __init__(self, market: Database, clock: Clock, lease: Lease) -> None:
        from clash_pipeline.market.live_indicators import LiveIndicators

        self._market = market
        self._clock = clock
        self._lease = lease
        self._live = LiveIndicators()
        self._is_warm = False

    def minutes_closed(self, from_t: int, to_t: int, expected: int) -> None:
        """Derive the minutes of `[from_t, to_t)`, which have just settled, in order."""
        started_at = self._clock.now_ms()
        cycle = ingestion.Cycle(expected=expected, through_t=to_t - MINUTE_MS)
        for t in range(from_t, to_t, MINUTE_MS):
            cycle.covered = self._indicate(partial(self._close, t))
            cycle.rows += cycle.covered
            cycle.lags_ms.append(max(self._now() - t - MINUTE_MS, 0))
        self._record("indicators", cycle, started_at)
        self._refresh_running_hours(from_t, to_t, expected)

    def recompute(self, stale: Stale, settled_to: int) -> None:
        """Bring up to date what rests on changed minutes; minutes from `settled_to` on are still to come."""
        was_warm = self._is_warm
        for symbols in _pieces(stale.values, COINS_AT_ONCE):
            ranges = {symbol: stale.values[symbol] for symbol in symbols}
            self._indicate(partial(self._apply, ranges, settled_to, not was_warm))
        for symbols in _pieces(stale.hours, HOURS_OF_COINS_AT_ONCE):
            from_t = hour_of(min(stale.hours[symbol][0] for symbol in symbols))
            to_t = hour_of(max(stale.hours[symbol][1] for symbol in symbols) - 1) + HOUR_MS
            self._refresh_hours(from_t, to_t, symbols)

    def _close(self, t: int, connection: Connection) -> int:
        return self._live.close_minute(connection, t, self._now())

    def _apply(self, ranges: Ranges, settled_to: int, is_cold: bool, connection: Connection) -> int:
        written = self._refresh(connection, ranges, settled_to) if is_cold else 0
        return written + self._live.apply(connection, _changed(connection, ranges, settled_to), self._now())

    def _refresh(self, connection: Connection, ranges: Ranges, settled_to: int) -> int:
        """After a start the memory holds the changed closes already, and cannot tell what they changed."""
        from clash_pipeline.market import indicators

        from_t = min(first for first, _ in ranges.values())
        to_t = min(max(indicators.days_with(last)[-1] + DAY_MS for _, last in ranges.values()), settled_to)
        return indicators.refresh_range(
            connection, from_t=from_t, to_t=to_t, known_at=self._now(), symbols=list(ranges)
        )  # fmt: skip

    def _indicate(self, work: Callable[[Connection], int]) -> int:
        try:
            with self._market.write() as connection:
                require(connection, self._lease)
                written = work(connection)
        except BaseException:
            self._is_warm = False
            self._live.forget()  # it may be ahead of the file now
            raise
        self._is_warm = True
        return written

    def _refresh_hours(self, from_t: int, to_t: int, symbols: list[str] | None = None) -> int:
        from clash_pipeline.market import rollup

        with self._market.write() as connection:
            require(connection, self._lease)
            return rollup.refresh_range(connection, from_t=from_t, to_t=to_t, known_at=self._now(), symbols=symbols)

    def _refresh_running_hours(self, from_t: int, to_t: int, expected: int) -> None:
        started_at = self._now()
        last_hour_t = hour_of(to_t - 1)
        rows = self._refresh_hours(hour_of(from_t), last_hour_t + HOUR_MS)
        with self._market.read() as connection:
            covered = _covered(connection, last_hour_t)
        cycle = ingestion.Cycle(rows=rows, covered=covered, expected=expected, through_t=to_t - MINUTE_MS)
        self._record("candles_1h", cycle, started_at)

    def _record(self, channel: str, cycle: ingestion.Cycle, started_at: int) -> None:
        with self._market.write() as connection:
            require(connection, self._lease)
            ingestion.record(connection, SOURCE, channel, cycle, started_at=started_at, finished_at=self._now())

    def _now(self) -> int:
        return self._clock.now_ms()


def _changed(connection: Connection, ranges: Mapping[str, tuple[int, int]], settled_to: int) -> list[Candle]:
    """The candles of some ranges and the newest one of each coin, so that the day in memory is the newest there is."""
    found = []
    for symbol, (from_t, to_t) in ranges.items():
        rows = candles.read(connection, symbol, interval="1m", from_t=from_t, to_t=min(to_t, settled_to))
        newest_t = one(
            connection,
            "SELECT max(t) FROM hyperliquid_candles WHERE symbol = ? AND interval = '1m' AND t < ?",
            (symbol, settled_to),
        )
        if newest_t is not None and newest_t >= to_t:
            rows += candles.read(connection, symbol, interval="1m", from_t=newest_t, to_t=newest_t + 1)
        found += [row.candle for row in rows]
    return found


def _covered(connection: Connection, hour_t: int) -> int:
    """How many listed assets have a row of the hour."""
    row = connection.execute(
        """
        SELECT count(*) FROM hyperliquid_assets AS asset CROSS JOIN hyperliquid_candles AS hour
          ON hour.symbol = asset.symbol AND hour.interval = '1h' AND hour.t = ?
        """,
        (hour_t,),
    ).fetchone()
    return int(row[0])


def _pieces(ranges: Ranges, size: int) -> Iterator[list[str]]:
    ordered = sorted(ranges)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
