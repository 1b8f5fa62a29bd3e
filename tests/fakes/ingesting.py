"""An ingester on a thread of the test, against a replayed venue on loopback, with what a test wants to wait for."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from clash_pipeline.market import ingestion, polls
from clash_pipeline.market.ingester import Ingester
from clash_pipeline.market.polls import Poll
from clash_pipeline.replay.driver import Driver
from clash_pipeline.replay.environment import environment
from clash_pipeline.services import Services, build
from clash_pipeline.settings import Settings, load

WAIT_SEC = 30.0
CHANNELS = ("candles_1m", "indicators")


def settings_for(base_url: str, home: Path, **more: str) -> Settings:
    """Settings of a client of the replayed venue."""
    return load({**environment(base_url), "CLASH_HOME": str(home), **more})


@contextmanager
def ingesting(settings: Settings, *, extra: Callable[[Services], list[Poll]] = lambda _: []) -> Iterator["Ingesting"]:
    """Run an ingester with the polls of Hyperliquid; it is stopped gracefully in the end."""
    running = Ingesting(settings, extra)
    running.start()
    try:
        yield running
    finally:
        running.stop()


class Ingesting:
    """A running ingester; `error` is what it ended with, None after a graceful stop."""

    def __init__(self, settings: Settings, extra: Callable[[Services], list[Poll]]) -> None:
        self.settings = settings
        self.services = build(settings, migrate=True)
        self.error: BaseException | None = None
        self.ingester: Ingester | None = None
        self._extra = extra
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._live, name="ingester")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(WAIT_SEC)
        assert not self._thread.is_alive()
        self.services.close()

    def join(self) -> None:
        """Wait until it ends by itself."""
        self._thread.join(WAIT_SEC)

    def has(self, minute: int) -> bool:
        """Whether a minute and what follows from it are in memory."""
        if self.error is not None:
            raise self.error
        with self.services.market.read() as connection:
            marks = [ingestion.through(connection, "hyperliquid", channel) for channel in CHANNELS]
        return all(mark is not None and mark >= minute for mark in marks)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look again until a condition holds; fails after half a minute, naming it."""
        deadline = time.monotonic() + WAIT_SEC
        while not condition():
            if self.error is not None:
                raise self.error
            assert time.monotonic() < deadline, f"waited {WAIT_SEC:g} s in vain for {what}"
            time.sleep(0.01)

    def drive(self, until_ms: int, *, each: Callable[[int], None] = lambda _: None) -> None:
        """Step the venue until then, waiting for each minute."""
        driver = Driver(str(self.settings.venue_clock_url), [self.has])
        for minute in driver.minutes(until_ms):
            each(minute)

    def until_live(self) -> None:
        """Wait until the ingester has subscribed to everything."""
        self.until(lambda: bool(self.ingester and self.ingester.is_live), "subscriptions")

    def rejections(self) -> dict[str, int]:
        with self.services.market.read() as connection:
            rows = connection.execute("SELECT reason, sum(count) FROM ingestion_rejections GROUP BY reason")
            return {row[0]: row[1] for row in rows}

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._ingest())
        except BaseException as error:
            self.error = error
        finally:
            self._loop.close()

    async def _ingest(self) -> None:
        services = self.services
        async with services.hyperliquid() as rest, httpx.AsyncClient():
            polled = [
                *polls.hyperliquid(services.market, rest, services.clock, services.settings),
                *self._extra(services),
            ]
            self.ingester = Ingester(
                services.settings, services.clash, services.market, services.clock, services.wall, rest, polled
            )
            await self.ingester.run(self._stop)
