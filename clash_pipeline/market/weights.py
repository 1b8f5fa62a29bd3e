"""A venue's request weight, shared by every process of this address and by a restarted one (sources 1.10, 09 D3).

Each request is a row of `rest_weight_spent`. `spent_at` is the latest moment at which the venue can have counted it:
while a request is under way that is its time limit, afterwards the moment it was answered. So the sum over our last
60 s is never below the venue's own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from clash_pipeline.clock import Clock
from clash_pipeline.storage.sqlite import Connection, Database

WINDOW_MS = 60_000
IN_FLIGHT_MS = 10_000
"""How long a request may be under way; the default of `Settings.http_timeout_sec`."""
LOOK_AGAIN_MS = 250
"""Longest single sleep of a waiter: a replayed clock moves on by itself, and other processes give weight back."""

Sleep = Callable[[float], Awaitable[None]]


class OverBudget(ValueError):
    """One request weighs more than the whole window; permanent."""


@dataclass
class Reservation:
    """Weight set aside for one request, never less than it can cost; set `weight` to what the answer really did."""

    weight: int


class _Granted(NamedTuple):
    row_id: int
    wait_ms: int


class WeightBudget:
    """At most `limit` weight in any 60 s. Waiters of one process are served in the order they came."""

    def __init__(
        self,
        market: Database,
        source: str,
        limit: int,
        clock: Clock,
        *,
        sleep: Sleep = asyncio.sleep,
        in_flight_ms: int = IN_FLIGHT_MS,
    ) -> None:
        self._market = market
        self._source = source
        self._limit = limit
        self._clock = clock
        self._sleep = sleep
        self._in_flight_ms = in_flight_ms
        self._turn = asyncio.Lock()

    def try_spend(self, weight: int) -> int:
        """Spend now and return 0, or spend nothing and return the milliseconds until it could be had.

        Raises:
            OverBudget: more than a whole window allows.
        """
        return self._grant(weight, 0).wait_ms

    async def spend(self, weight: int) -> None:
        """Spend, waiting as long as it takes; raises as `try_spend`."""
        await self._wait(weight, 0)

    @asynccontextmanager
    async def reserve(self, weight: int) -> AsyncIterator[Reservation]:
        """Set weight aside for one request, waiting for it, and settle what it really cost when the body ends.

        Raises:
            OverBudget: more than a whole window allows.
        """
        row_id = await self._wait(weight, self._in_flight_ms)
        reservation = Reservation(weight)
        try:
            yield reservation
        finally:
            self._settle(row_id, reservation.weight)

    def hold(self, wait_ms: int) -> None:
        """Let nobody spend for some time: the venue itself said that it is too much."""
        now = self._clock.now_ms()
        with self._market.write() as connection:
            _insert(connection, self._source, now - WINDOW_MS + min(wait_ms, WINDOW_MS), self._limit)

    def spent(self) -> int:
        """Weight that counts at this moment."""
        now = self._clock.now_ms()
        with self._market.read() as connection:
            return sum(weight for _, weight in _window(connection, self._source, now))

    async def _wait(self, weight: int, in_flight_ms: int) -> int:
        async with self._turn:
            while (granted := self._grant(weight, in_flight_ms)).wait_ms:
                await self._sleep(min(granted.wait_ms, LOOK_AGAIN_MS) / 1000)
            return granted.row_id

    def _grant(self, weight: int, in_flight_ms: int) -> _Granted:
        if not 0 < weight <= self._limit:
            raise OverBudget(f"{self._source}: a request of weight {weight} does not fit {self._limit} per minute")
        now = self._clock.now_ms()
        with self._market.read() as connection:  # waiters look often; only the last look needs the write lock
            window = _window(connection, self._source, now)
        wait_ms = self._wait_ms(window, weight, now)
        was_set_back = bool(window) and window[-1][0] > now + self._in_flight_ms
        if wait_ms and not was_set_back:
            return _Granted(0, wait_ms)
        with self._market.write() as connection:
            _forget(connection, self._source, now, self._in_flight_ms)
            wait_ms = self._wait_ms(_window(connection, self._source, now), weight, now)
            row_id = 0 if wait_ms else _insert(connection, self._source, now + in_flight_ms, weight)
        return _Granted(row_id, wait_ms)

    def _wait_ms(self, window: list[tuple[int, int]], weight: int, now_ms: int) -> int:
        """Until enough of the oldest rows have left the window; 0 when it fits now."""
        surplus = sum(spent for _, spent in window) + weight - self._limit
        wait_ms = 0
        for spent_at, spent in window:
            if surplus <= 0:
                break
            surplus -= spent
            wait_ms = spent_at + WINDOW_MS + 1 - now_ms
        return wait_ms

    def _settle(self, row_id: int, weight: int) -> None:
        now = self._clock.now_ms()
        with self._market.write() as connection:
            connection.execute(
                "UPDATE rest_weight_spent SET spent_at = ?, weight = ? WHERE id = ?", (now, max(weight, 1), row_id)
            )


def _window(connection: Connection, source: str, now_ms: int) -> list[tuple[int, int]]:
    rows = connection.execute(
        "SELECT spent_at, weight FROM rest_weight_spent WHERE source = ? AND spent_at >= ? ORDER BY spent_at",
        (source, now_ms - WINDOW_MS),
    )
    return [(row["spent_at"], row["weight"]) for row in rows]


def _insert(connection: Connection, source: str, spent_at: int, weight: int) -> int:
    cursor = connection.execute(
        "INSERT INTO rest_weight_spent (source, spent_at, weight) VALUES (?, ?, ?)", (source, spent_at, weight)
    )
    return int(cursor.lastrowid or 0)


def _forget(connection: Connection, source: str, now_ms: int, in_flight_ms: int) -> None:
    """Drop what left the window, and pull back what a clock that was set back left in the future."""
    connection.execute("DELETE FROM rest_weight_spent WHERE source = ? AND spent_at < ?", (source, now_ms - WINDOW_MS))
    connection.execute(
        "UPDATE rest_weight_spent SET spent_at = :now WHERE source = :source AND spent_at > :now + :in_flight",
        {"now": now_ms, "source": source, "in_flight": in_flight_ms},
    )
