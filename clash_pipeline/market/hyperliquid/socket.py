"""The WebSocket loop around the candle stream: connects, paces, batches frames, asks for the time, hands results over.

It decides nothing about candles. Frames are taken first and the time is read afterwards, so that no frame looks as if
it came from the future; on a replayed clock, which jumps, every frame sent before the jump is fetched first.
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI, WebSocketException

from clash_pipeline.clock import Clock
from clash_pipeline.market.hyperliquid.stream import CandleStream, Output
from clash_pipeline.market.hyperliquid.wire import PING

MAX_FRAME_BYTES = 4_194_304
MAX_WAITING_FRAMES = 50_000
"""Beyond this many unread frames we stop reading, and TCP slows the venue down."""
CONNECTIONS_PER_MINUTE = 25
"""The venue allows 30 new ones a minute (sources 1.10)."""
MESSAGES_AT_ONCE = 1_000
MESSAGES_PER_MINUTE = 900
"""With the burst above, below the venue's 2,000 in any minute."""

Handle = Callable[[Output, int], Awaitable[None]]

log = structlog.get_logger(__name__)


class LinkPolicy(NamedTuple):
    """How the link behaves; seconds of real time."""

    back_off_min_sec: float = 0.25
    back_off_max_sec: float = 30.0
    pulse_sec: float = 0.25
    batch_sec: float = 0.02
    open_timeout_sec: float = 10.0
    is_stepped: bool = False
    barrier_sec: float = 1.0


class Allowance:
    """A bucket of permissions that refills over time."""

    def __init__(self, at_once: int, per_minute: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._per_second = per_minute / 60
        self._monotonic = monotonic
        self._left = float(at_once)
        self._since = monotonic()

    def take(self) -> bool:
        """Use one permission, if there is one."""
        now = self._monotonic()
        self._left = min(self._at_once, self._left + (now - self._since) * self._per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def back_off_sec(attempt: int, policy: LinkPolicy, chance: random.Random) -> float:
    """A pause before the next attempt: anything up to a bound that doubles, and that is itself bounded."""
    bound = min(policy.back_off_max_sec, policy.back_off_min_sec * 2 ** min(attempt, 30))
    return chance.uniform(0, bound)


class CandleSocket:
    """Keeps one connection for a `CandleStream` until `stop` is set; `handle` gets every output before we reconnect."""

    def __init__(
        self,
        url: str,
        stream: CandleStream,
        clock: Clock,
        handle: Handle,
        *,
        policy: LinkPolicy | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.now_ms = 0
        self.reconnects = 0
        self._url = url
        self._stream = stream
        self._clock = clock
        self._handle = handle
        self._policy = policy or LinkPolicy()
        self._chance = chance or random.Random()
        self._connections = Allowance(5, CONNECTIONS_PER_MINUTE - 5)
        self._messages = Allowance(MESSAGES_AT_ONCE, MESSAGES_PER_MINUTE)
        self._link: ClientConnection | None = None
        self._inbox: deque[str | bytes] = deque()
        self._outbox: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._turn = asyncio.Lock()
        self._pings = 0
        self._why = "disconnect"

    async def run(self, stop: asyncio.Event) -> None:
        """Connect, listen, reconnect; time goes on for the stream whether there is a connection or not."""
        connecting = asyncio.create_task(self._keep_connected(stop))
        pulsing = asyncio.create_task(self._keep_pulsing(stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({connecting, pulsing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
            self._why = "stop"
            connecting.cancel()
            await pulsing  # it sees `stop` by itself, and so is not cut off in the middle of handing over
        finally:
            for task in (connecting, pulsing, stopping):
                task.cancel()
            await asyncio.gather(connecting, pulsing, stopping, return_exceptions=True)
        await self.pulse(closing="stop")

    async def pulse(self, closing: str | None = None) -> None:
        """Take what came, let time pass, hand over and send; `closing` tells the stream that the link is gone."""
        async with self._turn:
            await self._take_and_read_time()
            if closing is None:
                self._stream.tick(self.now_ms)
            else:
                self._stream.closed(self.now_ms, closing)
            out = self._stream.drain()
            await self._handle(out, self.now_ms)
        self._outbox.extend(out.send)
        await self._send()
        if out.reconnect is not None and self._link is not None:
            log.warning("stream_reconnects", reason=out.reconnect)
            self._why = out.reconnect
            self._link.transport.abort()

    # the connection

    async def _keep_connected(self, stop: asyncio.Event) -> None:
        attempt = 0
        while not stop.is_set():
            started = time.monotonic()
            reason = await self._converse()
            lived_sec = time.monotonic() - started
            attempt = 0 if lived_sec > self._policy.back_off_max_sec else attempt + 1
            self.reconnects += 1
            pause_sec = back_off_sec(attempt - 1 if attempt else 0, self._policy, self._chance)
            log.info("stream_closed", reason=reason, lived_sec=round(lived_sec, 1), again_in_sec=round(pause_sec, 2))
            await asyncio.sleep(pause_sec)
            while not self._connections.take():
                await asyncio.sleep(self._policy.pulse_sec)

    async def _converse(self) -> str:
        """One connection from its opening to its end; returns how it ended, after the gap it leaves was written."""
        try:
            async with connect(
                self._url,
                max_size=MAX_FRAME_BYTES,
                max_queue=1_024,
                ping_interval=None,  # the venue has its own, in JSON
                open_timeout=self._policy.open_timeout_sec,
                close_timeout=1,
                compression=None,
            ) as link:
                reason = await self._listen(link)
        except (OSError, TimeoutError, InvalidURI, InvalidHandshake, WebSocketException) as error:
            return f"{type(error).__name__}: {error}"
        return reason

    async def _listen(self, link: ClientConnection) -> str:
        async with self._turn:
            self.now_ms = await self._time()
            self._inbox.clear()
            self._outbox.clear()
            self._link, self._pings, self._why = link, 0, "disconnect"
            self._stream.opened(self.now_ms)
        self._wake.set()
        reason = "disconnect"
        try:
            await self._read(link)
        except ConnectionClosed as ended:
            reason = f"disconnect {ended.rcvd.code if ended.rcvd else ''}".strip()
        finally:
            self._link = None
            await self.pulse(closing=self._why)
        return reason

    async def _read(self, link: ClientConnection) -> None:
        while True:
            raw = await link.recv()  # first: the inbox is another one once the frame is here
            self._inbox.append(raw)
            if not self._wake.is_set():
                self._wake.set()
            if len(self._inbox) > MAX_WAITING_FRAMES:
                self._room.clear()
                await self._room.wait()

    # time and frames

    async def _keep_pulsing(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._policy.pulse_sec)
                await asyncio.sleep(self._policy.batch_sec)
            await self.pulse()

    async def _take_and_read_time(self) -> None:
        frames = self._taken()
        now_ms = await self._time()
        moved = now_ms > self.now_ms
        self.now_ms = now_ms
        self._feed(frames)
        if self._policy.is_stepped and moved and self._link is not None:
            await self._fetch_everything_sent_so_far()

    async def _fetch_everything_sent_so_far(self) -> None:
        """A pong comes after all that was sent before it; a link that owes us one is left to the silence rule."""
        link = self._link
        assert link is not None
        self._pings += 1
        deadline = time.monotonic() + self._policy.barrier_sec
        try:
            await link.send(PING, text=True)
        except (ConnectionClosed, OSError):
            return
        while self._link is link and self._stream.pongs < self._pings and time.monotonic() < deadline:
            self._wake.clear()
            if not self._inbox:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._policy.batch_sec)
            self._feed(self._taken())

    def _taken(self) -> deque[str | bytes]:
        frames, self._inbox = self._inbox, deque()
        self._wake.clear()
        self._room.set()
        return frames

    def _feed(self, frames: deque[str | bytes]) -> None:
        for raw in frames:
            if isinstance(raw, str):
                self._stream.receive(raw, self.now_ms)
            else:
                self._stream.refuse("binary", repr(raw[:200]), self.now_ms)

    async def _time(self) -> int:
        """The market's time; a replayed clock is asked over HTTP, which must not hold up the loop."""
        return await asyncio.to_thread(self._clock.now_ms) if self._policy.is_stepped else self._clock.now_ms()

    async def _send(self) -> None:
        link = self._link
        while link is not None and self._outbox and self._messages.take():
            message = self._outbox.popleft()
            self._pings += message == PING
            try:
                await link.send(message, text=True)
            except (ConnectionClosed, OSError):
                return
