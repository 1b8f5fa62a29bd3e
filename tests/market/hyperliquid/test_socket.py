"""The link itself, against a small server on loopback: batches, gaps before reconnecting, pacing, jumps of time."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.hyperliquid.socket import Allowance, CandleSocket, LinkPolicy, back_off_sec
from clash_pipeline.market.hyperliquid.stream import CandleStream, Output
from tests.fakes.candle_truth import frame

T = 1_753_056_000_000
QUICK = LinkPolicy(back_off_min_sec=0.01, back_off_max_sec=0.05, pulse_sec=0.01, batch_sec=0.001)


class SmallVenue:
    """Answers subscriptions and pings; a test says what else it sends and when it hangs up."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.received: list[dict[str, object]] = []
        self.url = ""
        self.answers_pings = True

    async def talk(self, link: ServerConnection) -> None:
        self.connections.append(link)
        await link.send("Websocket connection established.")
        async for message in link:
            request = json.loads(message)
            self.received.append(request)
            if request["method"] == "ping" and self.answers_pings:
                await link.send('{"channel":"pong"}')
            elif request["method"] == "subscribe":
                await link.send(json.dumps({"channel": "subscriptionResponse", "data": request}))

    @property
    def last(self) -> ServerConnection:
        return self.connections[-1]


class Shell:
    """A socket and its stream, with the outputs in the order they were handed over."""

    def __init__(self, venue: SmallVenue, policy: LinkPolicy = QUICK, symbols: tuple[str, ...] = ("BTC",)) -> None:
        self.clock = SettableClock(T)
        self.stream = CandleStream()
        self.stream.follow(dict.fromkeys(symbols), T)
        self.outputs: list[Output] = []
        self.opened_at_output: list[int] = []
        self.venue = venue
        self.socket = CandleSocket(
            venue.url, self.stream, self.clock, self.handle, policy=policy, chance=random.Random(1)
        )  # fmt: skip

    async def handle(self, out: Output, now_ms: int) -> None:
        self.outputs.append(out)
        self.opened_at_output.append(len(self.venue.connections))

    async def until(self, condition: object) -> None:
        async with asyncio.timeout(10):
            while not condition():  # type: ignore[operator]
                await asyncio.sleep(0.002)


@asynccontextmanager
async def linked(
    policy: LinkPolicy = QUICK, symbols: tuple[str, ...] = ("BTC",)
) -> AsyncIterator[tuple[SmallVenue, Shell]]:
    venue = SmallVenue()
    async with serve(venue.talk, "127.0.0.1", 0, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        venue.url = f"ws://127.0.0.1:{port}"
        shell = Shell(venue, policy, symbols)
        stop = asyncio.Event()
        running = asyncio.create_task(shell.socket.run(stop))
        try:
            await shell.until(lambda: shell.stream.live == len(symbols))
            yield venue, shell
        finally:
            stop.set()
            await asyncio.wait_for(running, 10)


def minute(number: int, n: int = 1) -> Candle:
    return Candle("BTC", T + number * MINUTE_MS, "100.0", "100.0", "100.0", "100.0", "1.0", n)


def test_every_frame_of_a_burst_arrives_while_batches_are_taken() -> None:
    """The frames come while others are handed over; none may fall between two batches."""

    async def scenario() -> int:
        async with linked() as (venue, shell):
            for n in range(1, 3_001):
                await venue.last.send(frame(minute(0, n)))
                if n % 50 == 0:
                    await asyncio.sleep(0.001)
            await shell.until(lambda: shell.stream.counts.frames >= 3_000)
            return shell.stream.counts.frames

    assert asyncio.run(scenario()) == 3_000


def test_the_gap_is_handed_over_before_the_next_connection_opens() -> None:
    async def scenario() -> tuple[Shell, list[int]]:
        async with linked() as (venue, shell):
            await venue.last.close()
            await shell.until(lambda: len(venue.connections) == 2 and shell.stream.live == 1)
            connections = [
                opened for out, opened in zip(shell.outputs, shell.opened_at_output, strict=True) if out.gaps
            ]
            return shell, connections

    shell, connections = asyncio.run(scenario())
    assert connections[0] == 1
    assert [gap.reason for out in shell.outputs for gap in out.gaps] == ["disconnect", "stop"]


def test_a_link_that_is_silent_for_fifteen_seconds_is_given_up() -> None:
    async def scenario() -> list[str]:
        async with linked() as (venue, shell):
            venue.answers_pings = False
            await asyncio.sleep(0.05)
            shell.clock.advance(16_000)
            await shell.until(lambda: len(venue.connections) == 2)
            return [gap.reason for out in shell.outputs for gap in out.gaps]

    assert asyncio.run(scenario()) == ["stall"]


def test_binary_frames_are_counted_and_a_huge_one_ends_the_connection_only() -> None:
    async def scenario() -> dict[str, int]:
        async with linked() as (venue, shell):
            await venue.last.send(b"\x00\xff")
            await venue.last.send("x" * 5_000_000)
            await shell.until(lambda: len(venue.connections) == 2 and shell.stream.live == 1)
            return {refused.reason: refused.times for out in shell.outputs for refused in out.refused}

    assert asyncio.run(scenario()) == {"binary": 1}


def test_a_venue_that_is_away_is_tried_again_while_time_goes_on() -> None:
    async def scenario() -> Shell:
        venue = SmallVenue()
        venue.url = "ws://127.0.0.1:9"  # nobody listens there
        shell = Shell(venue)
        stop = asyncio.Event()
        running = asyncio.create_task(shell.socket.run(stop))
        shell.clock.advance(2 * MINUTE_MS + 5_000)
        await shell.until(lambda: shell.socket.reconnects >= 2 and any(out.settled_to for out in shell.outputs))
        stop.set()
        await asyncio.wait_for(running, 10)
        return shell

    shell = asyncio.run(scenario())
    assert [out.settled_to for out in shell.outputs if out.settled_to] == [T + 2 * MINUTE_MS]
    assert next(gap for out in shell.outputs for gap in out.gaps).reason == "disconnect"


def test_when_time_jumps_what_was_sent_before_is_taken_first() -> None:
    """Stepped time: a minute must not close while its last frame waits in the socket."""

    async def scenario() -> list[tuple[int, int]]:
        async with linked(QUICK._replace(is_stepped=True, barrier_sec=5.0)) as (venue, shell):
            shell.stream.policy = shell.stream.policy._replace(is_skew_estimated=False)
            for number in range(1, 6):
                for n in range(1, 200):
                    await venue.last.send(frame(minute(number, n)))
                shell.clock.set(T + (number + 1) * MINUTE_MS + 6_000)
                settled = T + (number + 1) * MINUTE_MS
                await shell.until(lambda at=settled: any(out.settled_to == at for out in shell.outputs))
            minutes = [closed.candle for out in shell.outputs for closed in out.minutes]
            return sorted({((candle.t - T) // MINUTE_MS, candle.n) for candle in minutes if candle.n})

    assert asyncio.run(scenario()) == [(number, 199) for number in range(1, 6)]


def test_back_off_has_full_jitter_and_a_cap() -> None:
    policy, chance = LinkPolicy(), random.Random(7)
    for attempt in range(60):
        bound = min(30.0, 0.25 * 2**attempt)
        pauses = [back_off_sec(attempt, policy, chance) for _ in range(50)]
        assert all(0 <= pause <= bound for pause in pauses)
        assert max(pauses) > bound / 2


@pytest.mark.parametrize(("at_once", "per_minute", "limit"), [(1_000, 900, 2_000), (5, 20, 30)])
def test_the_pace_stays_below_the_venues_limit_in_any_minute(at_once: int, per_minute: int, limit: int) -> None:
    seconds = 0.0
    allowance = Allowance(at_once, per_minute, lambda: seconds)
    taken = []
    for step in range(30_000):
        seconds = step / 100
        if allowance.take():
            taken.append(seconds)
    assert len(taken) > at_once
    assert max(sum(at <= moment < at + 60 for moment in taken) for at in taken[::10]) <= limit
