"""The ingester: one process that turns the venues' streams and answers into market memory.

WebSocket in, settled minutes out, repairs beside it, polls at their cadences, indicators and hours after each minute.
A lease in `market.db` keeps a second one out, and fences every write of candles.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypeVar

import structlog

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, Clock, minute_of
from clash_pipeline.market import gaps, ingestion
from clash_pipeline.market.derivation import Derivation, Stale
from clash_pipeline.market.gaps import REST_RANK, Reach
from clash_pipeline.market.http import VenueError
from clash_pipeline.market.hyperliquid import contexts, registry
from clash_pipeline.market.hyperliquid.arrivals import Arrivals, ArrivalWriter, Landed
from clash_pipeline.market.hyperliquid.registry import Asset
from clash_pipeline.market.hyperliquid.socket import CandleSocket, LinkPolicy
from clash_pipeline.market.hyperliquid.stream import MOST_SUBSCRIPTIONS, CandleStream, Output, StreamPolicy
from clash_pipeline.market.polls import Poll, all_polls, once
from clash_pipeline.market.repair import Repaired, Repairer, RepairLog, Snapshots
from clash_pipeline.settings import Settings
from clash_pipeline.storage import heartbeats, leases
from clash_pipeline.storage.errors import LeaseLost, StorageBusy, StorageFull
from clash_pipeline.storage.files import keep_reserve
from clash_pipeline.storage.leases import Lease
from clash_pipeline.storage.sqlite import Connection, Database

SOURCE = "hyperliquid"
NAME = "ingester"
"""Of the lease and of the worker."""
QUEUE_EVERY_MS = 30_000
STOP_WITHIN_SEC = 5.0
"""A part that is in the middle of a request is cut off after this."""
FLUSH_ATTEMPTS = 20
FLUSH_PAUSE_SEC = 0.25

Ranks = Callable[[], Mapping[str, int]]
"""Symbols in use and how much: 0 open positions, 1 due decisions, 2 the race universe."""
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Beat(NamedTuple):
    """What the process says of itself when a minute is in memory."""

    through_t: int
    symbols: int
    live: int
    rows: int
    finals: int
    open_gaps: int
    reconnects: int
    skew_ms: int


class Pace(NamedTuple):
    """Seconds of real time between looks at the clock, the queue and the polls."""

    pulse_sec: float = 0.25
    repair_sec: float = 0.5
    poll_sec: float = 0.5


REAL_TIME = Pace()
STEPPED = Pace(pulse_sec=0.03, repair_sec=0.03, poll_sec=0.05)
"""A replayed venue's time jumps; whoever drives it waits for us."""


class Ingester:
    """One run of the process; `run` returns after `stop` was set and everything was flushed."""

    def __init__(
        self,
        settings: Settings,
        clash: Database,
        market: Database,
        clock: Clock,
        wall: Clock,
        rest: Snapshots,
        polled: Sequence[Poll],
        *,
        ranks: Ranks = dict,
        say: Callable[[Beat], None] = lambda _: None,
        chance: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._clash = clash
        self._market = market
        self._clock = clock
        self._wall = wall
        self._polls = {poll.name: poll for poll in polled}
        self._ranks = ranks
        self._say = say
        self._is_stepped = settings.venue_clock_url is not None
        self._pace = STEPPED if self._is_stepped else REAL_TIME
        self._reach = Reach(
            settings.venue_keeps_candles, settings.gap_lost_after_hours * HOUR_MS, settings.minute_grace_sec * 1000
        )
        self._holder = leases.this_process()
        self.stream = CandleStream(stream_policy(settings))
        self._socket = CandleSocket(
            settings.hyperliquid_ws_url, self.stream, clock, self._arrived,
            policy=self._link_policy(), chance=chance,
        )  # fmt: skip
        self._repairer = Repairer(market, rest, reach=self._reach, lease=lambda: self._lease)
        self._repair_log = RepairLog()
        self._lease: Lease | None = None
        self._writer: ArrivalWriter | None = None
        self._derivation: Derivation | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="market-writer")
        self._arrivals = Arrivals()
        self._stale = Stale()
        self._settled_to = 0
        self._derived_to = 0
        self._followed: frozenset[str] = frozenset()
        self._wanted: list[Asset] = []
        self._order: dict[str, int] = {}
        self._is_clock_off = False
        self._last_error: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Ingest until `stop` is set.

        Raises:
            LeaseLost: another ingester is at work, or has taken over.
        """
        self._lease = self._take_lease()
        self._writer = ArrivalWriter(self._market, self._clock, self._lease)
        self._derivation = Derivation(self._market, self._clock, self._lease)
        log.info("ingester_starts", holder=self._holder, stepped=self._is_stepped)
        try:
            self._beat()
            await _until_stopped(stop, 2 * STOP_WITHIN_SEC, self._keep_lease(stop), self._work(stop))
        finally:
            stop.set()
            await self._flush()
            self._thread.shutdown(wait=True)
            self._beat(stopped=True)
            leases.release(self._market, self._lease)
            log.info("ingester_stopped", through_t=self._settled_to)

    @property
    def is_live(self) -> bool:
        """Whether every followed coin has an acknowledged subscription."""
        return bool(self._followed) and self.stream.live == len(self._followed)

    async def _work(self, stop: asyncio.Event) -> None:
        await self._learn_registry(stop)
        if stop.is_set():
            return
        await self._follow(first=True)
        look = self._pace.poll_sec
        others = list(self._polls.values())
        await _until_stopped(
            stop,
            STOP_WITHIN_SEC,
            self._socket.run(stop),
            self._keep_repairing(stop),
            all_polls(others, self._market_time, stop, look_sec=look),
            self._keep_following(stop),
        )

    # arrivals

    async def _arrived(self, out: Output, now_ms: int) -> None:
        """Take an output of the stream; what cannot be written now is written with the next one."""
        self._arrivals.add(out)
        if self._arrivals:
            await self._land(now_ms)

    async def _land(self, now_ms: int) -> bool:
        arrived, self._arrivals = self._arrivals, Arrivals()
        assert self._writer is not None
        writer, unanswered = self._writer, self.stream.unanswered(now_ms)
        try:
            landed = await self._in_thread(
                partial(writer.write, arrived, expected=len(self._wanted), unanswered=unanswered)
            )
        except (StorageBusy, StorageFull) as error:
            self._last_error = str(error)
            log.warning("arrivals_wait", error=str(error), minutes=len(arrived.minutes))
            await self._tolerating("health", self._in_thread(partial(writer.wait, arrived, str(error))))
            self._put_back(arrived)
            return False
        self._last_error = None
        for candle in landed.corrected:
            self._stale.add(candle.symbol, candle.t, candle.t + MINUTE_MS, values=True)
        for minute in arrived.minutes:
            if minute.final and minute.candle.t < self._settled_to:  # it was derived as not yet proven
                self._stale.add(minute.candle.symbol, minute.candle.t, minute.candle.t + MINUTE_MS, values=False)
        if landed.settled_to is not None:
            self._settled_to = landed.settled_to
            await self._tolerating("derivation", self._derive())
            await self._tolerating("clock", self._in_thread(self.watch_clock))
            self._say(self._status(landed))
        return True

    def watch_clock(self) -> None:
        """Report that our clock is off, and that it is right again, when either is new."""
        skew_ms, limit_ms = self.stream.skew.ms, int(self._settings.clock_skew_alert_sec * 1000)
        is_off = abs(skew_ms) > limit_ms
        if is_off == self._is_clock_off:
            return
        side = "behind" if skew_ms > 0 else "ahead of"
        error = f"our clock is {abs(skew_ms) / 1000:.1f} s {side} the venue's, the limit is {limit_ms / 1000:g} s"
        log.warning("clock_skew", skew_ms=skew_ms, limit_ms=limit_ms)
        now_ms = self._clock.now_ms()
        with self._market.write() as connection:
            ingestion.record(
                connection, SOURCE, "clock", ingestion.Cycle(), started_at=now_ms, finished_at=now_ms,
                error=error if is_off else None,
            )  # fmt: skip
        self._is_clock_off = is_off

    def _put_back(self, arrived: Arrivals) -> None:
        later, self._arrivals = self._arrivals, arrived
        self._arrivals.gaps += later.gaps
        self._arrivals.minutes += later.minutes
        self._arrivals.refused += later.refused
        self._arrivals.mids.update(later.mids)
        self._arrivals.settled_to = later.settled_to or arrived.settled_to

    async def _derive(self) -> None:
        """Indicators and hours of the minutes that settled, after the corrections of those before them."""
        assert self._derivation is not None
        await self._recompute()
        from_t = self._derived_to or self._settled_to - MINUTE_MS
        await self._in_thread(
            partial(self._derivation.minutes_closed, from_t, self._settled_to, expected=len(self._wanted))
        )
        self._derived_to = self._settled_to

    async def _recompute(self) -> None:
        stale, self._stale = self._stale, Stale()
        if not stale or self._derivation is None:
            return
        try:
            await self._in_thread(partial(self._derivation.recompute, stale, self._derived_to or self._settled_to))
        except (StorageBusy, StorageFull):
            self._stale.take(stale)
            raise

    async def _flush(self) -> None:
        """Write what is left before going; a locked file gets a few seconds."""
        for _ in range(FLUSH_ATTEMPTS):
            try:
                if not self._arrivals or await self._land(self._market_time()):
                    await self._tolerating("derivation", self._recompute())
                    return
            except LeaseLost as error:
                log.error("lease_lost", error=str(error))
                return
            await asyncio.sleep(FLUSH_PAUSE_SEC)
        log.error("arrivals_lost", minutes=len(self._arrivals.minutes))

    # what is followed

    async def _learn_registry(self, stop: asyncio.Event) -> None:
        """Without a registry nothing can be followed: ask until there is one."""
        pause_sec = self._settings.reconnect_min_sec
        while not stop.is_set():
            self._wanted = self._choose()
            if self._wanted or "registry" not in self._polls:
                return
            if not await once(self._polls["registry"], self._clock.now_ms()):
                await asyncio.sleep(pause_sec)
                pause_sec = min(pause_sec * 2, self._settings.reconnect_max_sec)
            elif not self._choose():
                log.error("nothing_to_follow", symbols=self._settings.symbols)
                await asyncio.sleep(self._settings.reconnect_max_sec)

    def _choose(self) -> list[Asset]:
        """The assets to follow, most needed first; of a followed list, those the venue lists."""
        wanted = self._settings.followed_symbols
        with self._market.read() as connection:
            chosen = [
                asset
                for asset in registry.assets(connection)
                if not asset.is_delisted and asset.supports("ohlcv") and (wanted is None or asset.symbol in wanted)
            ]
            volumes = {asset.symbol: _day_volume(connection, asset.symbol) for asset in chosen}
        in_use = self._ranks()
        chosen.sort(key=lambda asset: (in_use.get(asset.symbol, REST_RANK), -volumes[asset.symbol]))
        self._order = {asset.symbol: REST_RANK + place for place, asset in enumerate(chosen)}
        return chosen

    def _rank(self) -> gaps.Rank:
        """Coins in use as they are ranked, then the others by the volume of the day."""
        return gaps.by_rank({**self._order, **self._ranks()})

    async def _follow(self, *, first: bool = False) -> None:
        """Follow what the registry lists now; newcomers are seeded from memory, and their past is queued."""
        self._wanted = self._choose()
        followed = self._wanted[: MOST_SUBSCRIPTIONS - 1]
        if len(followed) < len(self._wanted):
            log.warning("too_many_symbols", listed=len(self._wanted), limit=MOST_SUBSCRIPTIONS - 1)
        symbols = frozenset(asset.symbol for asset in followed)
        new = symbols - self._followed
        if not first and symbols == self._followed:
            return
        now_ms = await asyncio.to_thread(self._clock.now_ms)
        self.stream.follow({asset.symbol: asset.grid for asset in followed}, now_ms)
        seeds = await self._in_thread(partial(self._enqueue_missing, sorted(new), now_ms))
        for symbol, (next_t, close) in seeds.items():
            self.stream.seed(symbol, next_t, close)
        self._followed = symbols

    def _enqueue_missing(self, symbols: list[str], now_ms: int) -> dict[str, tuple[int, str | None]]:
        assert self._lease is not None
        seeds: dict[str, tuple[int, str | None]] = {}
        for symbol in symbols:
            with self._market.write() as connection:
                leases.require(connection, self._lease)
                seeds |= gaps.enqueue_missing(connection, [symbol], now_ms=now_ms, reach=self._reach)
        return seeds

    async def _keep_following(self, stop: asyncio.Event) -> None:
        """New listings and delistings take effect within a minute of the registry knowing them."""
        minute_t = 0
        while not stop.is_set():
            if (now_t := minute_of(self._market_time())) != minute_t:
                minute_t = now_t
                await self._tolerating("registry", self._follow())
            await asyncio.sleep(self._pace.poll_sec)

    # repair

    async def _keep_repairing(self, stop: asyncio.Event) -> None:
        queued_at = 0
        while not stop.is_set():
            now_ms = self._market_time()
            rank = self._rank()
            if not 0 <= now_ms - queued_at < QUEUE_EVERY_MS:
                queued_at = now_ms
                await self._tolerating("queue", self._in_thread(partial(self._queue, rank, now_ms)))
            if self._repair_log.is_due(now_ms):
                await self._record_repairs(now_ms)
            request = self._repairer.next_request(rank, now_ms, self._followed)
            if request is None:
                if self._stale and not self._arrivals:
                    await self._tolerating("derivation", self._recompute())
                await asyncio.sleep(self._pace.repair_sec)
                continue
            try:
                repaired = await self._repairer.repair(request, self._clock.now_ms)
                self._repair_log.answered(repaired, now_ms)
                self._learn(repaired)
            except VenueError as error:
                self._repair_log.failed(error, now_ms)
                log.warning("repair_failed", symbol=request.symbol, error=str(error))
                await asyncio.sleep(self._pace.repair_sec)
            except (StorageBusy, StorageFull) as error:
                self._repair_log.failed(error, now_ms)
                log.warning("repair_waits", symbol=request.symbol, error=str(error))
                await asyncio.sleep(self._pace.repair_sec)

        await self._record_repairs(self._market_time())

    async def _record_repairs(self, now_ms: int) -> None:
        await self._tolerating("repair log", self._in_thread(partial(self._repair_log.record, self._market, now_ms)))

    def _queue(self, rank: gaps.Rank, now_ms: int) -> None:
        assert self._lease is not None
        with self._market.write() as connection:
            leases.require(connection, self._lease)
            gaps.enqueue_unproven(connection, rank, now_ms=now_ms, symbols=self._followed)
            gaps.write_off(connection, now_ms=now_ms, reach=self._reach)

    def _learn(self, repaired: Repaired) -> None:
        """Let the stream and everything derived know what an answer changed."""
        if repaired.rows:
            has_values = repaired.inserted > 0 or bool(repaired.revalued)
            self._stale.add(repaired.symbol, repaired.from_t, repaired.to_t, values=has_values)
        if repaired.last is not None:
            self.stream.learn_close(repaired.symbol, repaired.last.t, repaired.last.c)
        if repaired.surprises:
            self.stream.suspect(repaired.symbol, self._market_time())

    # the process

    def _take_lease(self) -> Lease:
        return leases.acquire(
            self._market, NAME, self._holder, now_ms=self._wall.now_ms(), ttl_ms=self._settings.lease_ttl_sec * 1000
        )

    async def _keep_lease(self, stop: asyncio.Event) -> None:
        """Renew the lease at a third of its life, and say every few seconds that we live."""
        renewed_ms = beaten_ms = self._wall.now_ms()
        while not stop.is_set():
            now_ms = self._wall.now_ms()
            is_due = now_ms - renewed_ms >= self._settings.lease_ttl_sec * 1000 // 3
            if is_due and await self._tolerating("lease", self._in_thread(self._take_lease)):
                renewed_ms = now_ms
            if now_ms - beaten_ms >= self._settings.heartbeat_every_sec * 1000:
                await self._tolerating("heartbeat", self._in_thread(self._beat))
                beaten_ms = now_ms
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)

    def _beat(self, *, stopped: bool = False) -> None:
        keep_reserve(self._settings)
        heartbeats.beat(
            self._clash, NAME, instance=self._holder, now_ms=self._wall.now_ms(),
            expected_interval_sec=self._settings.heartbeat_every_sec, version=_version(), error=self._last_error,
            stopped=stopped,
        )  # fmt: skip

    def _status(self, landed: Landed) -> Beat:
        with self._market.read() as connection:
            open_gaps = connection.execute("SELECT count(*) FROM candle_gaps WHERE state = 'open'").fetchone()[0]
        return Beat(
            landed.settled_to or 0, len(self._wanted), self.stream.live, landed.rows, landed.finals, open_gaps,
            max(self._socket.reconnects, 0), self.stream.skew.ms,
        )  # fmt: skip

    def _market_time(self) -> int:
        """The market's time as the socket last read it; asking a replayed clock each time would cost a request."""
        return self._socket.now_ms or self._clock.now_ms()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Database work of the ingester happens on one thread of its own, so that frames keep being read."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _tolerating(self, what: str, work: Awaitable[Any]) -> bool:
        """Do something that is done again anyway; a store that is locked or full for now only delays it."""
        try:
            await work
        except (StorageBusy, StorageFull) as error:
            self._last_error = f"{what}: {error}"
            log.warning("store_is_busy", what=what, error=str(error))
            return False
        return True

    def _link_policy(self) -> LinkPolicy:
        return LinkPolicy(
            back_off_min_sec=self._settings.reconnect_min_sec,
            back_off_max_sec=self._settings.reconnect_max_sec,
            pulse_sec=self._pace.pulse_sec,
            is_stepped=self._is_stepped,
        )


def stream_policy(settings: Settings) -> StreamPolicy:
    """The limits of the stream as the settings have them."""
    return StreamPolicy(
        grace_ms=settings.minute_grace_sec * 1000,
        silence_ms=int(settings.stream_silence_sec * 1000),
        ping_ms=int(settings.stream_ping_sec * 1000),
        subscribe_timeout_ms=int(settings.stream_subscribe_timeout_sec * 1000),
        future_ms=settings.future_tolerance_sec * 1000,
        jump_pct=settings.price_jump_pct,
        is_final_by_stream=settings.stream_final,
        is_skew_estimated=settings.venue_clock_url is None,
    )


async def _until_stopped(stop: asyncio.Event, within_sec: float, *work: Coroutine[Any, Any, None]) -> None:
    """Run parts side by side until `stop`, then give them a moment to end; a failure of one ends all and goes on."""
    tasks = {asyncio.create_task(part) for part in work}
    stopping = asyncio.create_task(stop.wait())
    try:
        running = set(tasks)
        while running and not stop.is_set():
            done, _ = await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            running -= done
            for task in done - {stopping}:
                task.result()
        if running:
            await asyncio.wait(running, timeout=within_sec)
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, Exception):
            raise failure


def _day_volume(connection: Connection, symbol: str) -> float:
    context = contexts.newest(connection, symbol)
    return 0.0 if context is None else float(context.day_ntl_volume)


def _version() -> str:
    try:
        return version("clash-pipeline")
    except PackageNotFoundError:
        return "source"
