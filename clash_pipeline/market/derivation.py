"""What follows from candles as they come: indicators of each closed minute, the running hour, and corrections.

A minute that arrives late or with other values puts everything derived from it out of date, to the end of its day and,
by the warm-up, into the next one. Such minutes are collected, and their coins recomputed in one go.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, Clock, day_of, hour_of
from clash_pipeline.market import ingestion
from clash_pipeline.market.gaps import WARM_UP_MINUTES
from clash_pipeline.storage.leases import Lease, require
from clash_pipeline.storage.sqlite import Connection, Database

SOURCE = "hyperliquid"
SYMBOLS_AT_ONCE = 32
"""Coins recomputed in one transaction."""


@dataclass
class Stale:
    """Ranges of minutes that changed, by coin; `values` when their prices did, otherwise only their finality."""

    values: dict[str, tuple[int, int]] = field(default_factory=dict)
    hours: dict[str, tuple[int, int]] = field(default_factory=dict)

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
        from clash_pipeline.market.indicators import LiveIndicators

        self._market = market
        self._clock = clock
        self._lease = lease
        self._live = LiveIndicators()

    def minutes_closed(self, from_t: int, to_t: int, expected: int) -> None:
        """Derive the minutes of `[from_t, to_t)`, which have just settled, in order."""
        started_at = self._clock.now_ms()
        cycle = ingestion.Cycle(expected=expected, through_t=to_t)
        for t in range(from_t, to_t, MINUTE_MS):
            with self._market.write() as connection:
                require(connection, self._lease)
                rows = self._live.close_minute(connection, t, self._clock.now_ms())
            cycle.rows, cycle.covered = cycle.rows + rows, rows
            cycle.lags_ms.append(max(self._clock.now_ms() - t - MINUTE_MS, 0))
        self._record("indicators", cycle, started_at)
        self._refresh_hours(from_t, to_t, expected)

    def recompute(self, stale: Stale, through_t: int) -> None:
        """Bring everything up to date that rests on changed minutes; minutes from `through_t` on are still to come."""
        for symbols in _pieces(list(stale.values)):
            self._live.forget(symbols)
            first = min(stale.values[symbol][0] for symbol in symbols)
            last = max(stale.values[symbol][1] for symbol in symbols)
            self._recompute_days(symbols, first, last, through_t)
        for symbols in _pieces(list(stale.hours)):
            first = min(stale.hours[symbol][0] for symbol in symbols)
            last = max(stale.hours[symbol][1] for symbol in symbols)
            self._recompute_hours(symbols, hour_of(first), hour_of(last - 1) + HOUR_MS)

    def _recompute_days(self, symbols: list[str], from_t: int, to_t: int, through_t: int) -> None:
        from clash_pipeline.market import indicators

        to_t = min(day_of(to_t + WARM_UP_MINUTES * MINUTE_MS) + DAY_MS, through_t)
        with self._market.write() as connection:
            require(connection, self._lease)
            known_at = self._clock.now_ms()
            indicators.refresh_range(connection, from_t=from_t, to_t=to_t, known_at=known_at, symbols=symbols)

    def _recompute_hours(self, symbols: list[str], from_t: int, to_t: int) -> None:
        from clash_pipeline.market import rollup

        with self._market.write() as connection:
            require(connection, self._lease)
            rollup.refresh_range(connection, from_t=from_t, to_t=to_t, known_at=self._clock.now_ms(), symbols=symbols)

    def _refresh_hours(self, from_t: int, to_t: int, expected: int) -> None:
        from clash_pipeline.market import rollup

        started_at = self._clock.now_ms()
        cycle = ingestion.Cycle(expected=expected, through_t=to_t)
        for hour_t in range(hour_of(from_t), to_t, HOUR_MS):
            with self._market.write() as connection:
                require(connection, self._lease)
                cycle.rows += rollup.refresh(connection, hour_t=hour_t, known_at=self._clock.now_ms())
                cycle.covered = _covered(connection, hour_t)
        self._record("candles_1h", cycle, started_at)

    def _record(self, channel: str, cycle: ingestion.Cycle, started_at: int) -> None:
        with self._market.write() as connection:
            ingestion.record(
                connection, SOURCE, channel, cycle, started_at=started_at, finished_at=self._clock.now_ms()
            )  # fmt: skip


def _covered(connection: Connection, hour_t: int) -> int:
    row = connection.execute(
        """
        SELECT count(*) FROM hyperliquid_assets AS asset WHERE EXISTS (
          SELECT 1 FROM hyperliquid_candles AS hour
          WHERE hour.symbol = asset.symbol AND hour.interval = '1h' AND hour.t = ?
        )
        """,
        (hour_t,),
    ).fetchone()
    return int(row[0])


def _pieces(symbols: Collection[str]) -> list[list[str]]:
    ordered = sorted(symbols)
    return [ordered[start : start + SYMBOLS_AT_ONCE] for start in range(0, len(ordered), SYMBOLS_AT_ONCE)]
