"""The product's path of a live minute, put together without sockets: frames, stream, writer, queue, repair."""

from collections.abc import Mapping

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market import gaps
from clash_pipeline.market.hyperliquid import registry
from clash_pipeline.market.hyperliquid.arrivals import Arrivals, ArrivalWriter
from clash_pipeline.market.hyperliquid.stream import CandleStream, StreamPolicy
from clash_pipeline.market.repair import Repairer
from clash_pipeline.storage.leases import acquire
from clash_pipeline.storage.sqlite import Database
from clash_pipeline.units import Grid
from tests.fakes.recorded_venue import RecordedVenue

LEAD_MS = 40_000
"""Subscriptions are acknowledged before the first minute begins."""
STEP_MS = 2_500
TAIL_MS = 75_000
"""Long enough after the last minute for its grace and for a frame of the minute after."""


class LiveReader:
    """Reads a venue live into a database of its own, and confirms what it could not prove."""

    def __init__(self, venue: RecordedVenue, market: Database) -> None:
        self.venue = venue
        self.market = market
        self.stream = CandleStream(StreamPolicy(is_skew_estimated=False))
        lease = acquire(market, "ingester", "test", now_ms=1, ttl_ms=10**15)
        self.writer = ArrivalWriter(market, venue, lease)
        self.repairer = Repairer(market, venue.rest, lease=lambda: lease)
        self.grids: Mapping[str, Grid] = {}
        self.repairs = 0

    async def learn_grids(self) -> None:
        """Ask for the registries."""
        listed = registry.from_wire(await self.venue.rest.meta(), await self.venue.rest.spot_meta())
        self.grids = {asset.symbol: asset.grid for asset in listed}

    async def listen(self, symbols: list[str], from_t: int, to_t: int) -> None:
        """Follow some coins from a little before `from_t` to a little after `to_t`, and write what settles."""
        self.venue.turn_to(from_t - LEAD_MS)
        await self.learn_grids()
        ear = self.venue.listen(self.stream.receive)
        self.stream.follow({symbol: self.grids[symbol] for symbol in symbols}, self.venue.now_ms())
        self.stream.opened(self.venue.now_ms())
        for now_ms in range(self.venue.now_ms(), to_t + TAIL_MS, STEP_MS):
            await self.venue.venue.advance(now_ms)
            self.stream.tick(now_ms)
            out = self.stream.drain()
            for message in out.send:
                self.venue.venue.receive(ear, message.decode())
            arrived = Arrivals()
            arrived.add(out)
            if arrived:
                self.writer.write(arrived, expected=len(symbols))

    async def confirm(self, to_t: int) -> None:
        """Let some time pass, then have every unproven or missed minute answered by the venue."""
        self.venue.turn_to(to_t + 10 * MINUTE_MS)
        now_ms = self.venue.now_ms()
        with self.market.write() as connection:
            gaps.enqueue_unproven(connection, gaps.by_rank({}), now_ms=now_ms)
        while request := self.repairer.next_request(gaps.by_rank({}), self.venue.now_ms()):
            await self.repairer.repair(request, self.venue.now_ms)
            self.repairs += 1
