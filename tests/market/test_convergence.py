"""The candle table equals the truth, whatever the peer does and however often the ingester is killed (09 D1, D2)."""

import os
import random
import signal
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import pytest

from clash_pipeline.clock import MINUTE_MS, SettableClock, minute_of
from clash_pipeline.faults import arm
from clash_pipeline.market import candles, gaps
from clash_pipeline.market.candles import Candle, StoredCandle
from clash_pipeline.market.http import VenueError
from clash_pipeline.market.hyperliquid.arrivals import Arrivals, ArrivalWriter
from clash_pipeline.market.hyperliquid.stream import CandleStream, StreamPolicy
from clash_pipeline.market.repair import Repairer
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import open_market
from clash_pipeline.storage.leases import acquire
from clash_pipeline.storage.sqlite import Connection, Database
from tests.fakes.candle_truth import CandleTruth
from tests.fakes.faulty_link import FaultyLink

START = 1_753_056_000_000
"""2025-07-21T00:00Z"""
TICK_MS = 2_500
T = TypeVar("T")


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    raise AssertionError("the coroutine waits for something")


class Following:
    """An ingester in virtual time: stream, writer and repairer over one faulty link."""

    def __init__(self, market: Database, link: FaultyLink, *, policy: StreamPolicy | None = None) -> None:
        self.market = market
        self.link = link
        self.policy = policy or StreamPolicy()
        self.clock = SettableClock(link.now_ms)
        self.lease = acquire(market, "ingester", "test", now_ms=1, ttl_ms=10**15)
        self.writer = ArrivalWriter(market, self.clock, self.lease)
        self.repairer = Repairer(market, link, lease=lambda: self.lease)
        self.arrivals = Arrivals()
        self.reopen_at = 0
        self.restart()

    def restart(self) -> None:
        """Lose everything that is not in the database."""
        self.link.close()
        self.arrivals = Arrivals()
        self.stream = CandleStream(self.policy)
        now_ms = self.clock.now_ms()
        self.stream.follow(dict.fromkeys(self.link.truth.symbols), now_ms)
        with self.market.write() as connection:
            seeds = gaps.enqueue_missing(connection, self.link.truth.symbols, now_ms=now_ms)
            # only the minutes of this truth exist
            connection.execute("DELETE FROM candle_gaps WHERE to_t <= ?", (self.link.truth.start_t,))
            connection.execute("UPDATE candle_gaps SET from_t = ?1 WHERE from_t < ?1", (self.link.truth.start_t,))
        for symbol, (next_t, close) in seeds.items():
            self.stream.seed(symbol, next_t, close)

    def run(self, until_ms: int, chance: random.Random, *, restarts: float = 0.0) -> None:
        """Live until then, restarting with this probability each minute."""
        while self.clock.now_ms() < until_ms:
            now_ms = self.clock.now_ms() + TICK_MS
            self.clock.set(now_ms)
            for at, text in self.link.advance(now_ms):
                self.stream.receive(text, at)
            if now_ms % MINUTE_MS < TICK_MS and chance.random() < restarts:
                self.restart()
            self.connect(now_ms, chance)
            self.stream.tick(now_ms)
            self.land(now_ms)
            if now_ms % 30_000 < TICK_MS:
                self.queue(now_ms)
            self.repair_one(now_ms)

    def connect(self, now_ms: int, chance: random.Random) -> None:
        if self.stream.is_open and not self.link.is_open:
            self.stream.closed(now_ms, "disconnect")
            self.reopen_at = now_ms + chance.randint(0, 30_000)
        if not self.stream.is_open and now_ms >= self.reopen_at:
            self.link.open()
            self.stream.opened(now_ms)

    def land(self, now_ms: int) -> None:
        out = self.stream.drain()
        self.arrivals.add(out)
        if self.arrivals:
            self.writer.write(self.arrivals, expected=len(self.stream.symbols))
            self.arrivals = Arrivals()
        for message in out.send:
            self.link.send(message)
        if out.reconnect is not None:
            self.link.close()

    def queue(self, now_ms: int) -> None:
        with self.market.write() as connection:
            gaps.enqueue_unproven(connection, gaps.by_rank({}), now_ms=now_ms)

    def repair_one(self, now_ms: int) -> bool:
        request = self.repairer.next_request(gaps.by_rank({}), now_ms)
        if request is None:
            return False
        try:
            repaired = now(self.repairer.repair(request, self.clock.now_ms))
        except VenueError:
            return False
        if repaired.last is not None:
            self.stream.learn_close(repaired.symbol, repaired.last.t, repaired.last.c)
        if repaired.surprises:
            self.stream.suspect(repaired.symbol, now_ms)
        return True


def follow(
    market: Database, seed: int, *, minutes: int, symbols: int = 20, policy: StreamPolicy | None = None, **rates: float
) -> tuple[CandleTruth, Following]:
    """Follow a truth over a faulty link, then let the venue behave for an hour and a quarter."""
    truth = CandleTruth(seed, symbols=symbols, start_t=START, minutes=minutes + 80)
    link = FaultyLink(truth, seed, rates)
    following = Following(market, link, policy=policy)
    chance = random.Random(f"life {seed}")
    end = START + minutes * MINUTE_MS
    following.run(end, chance, restarts=rates.get("restart", 0.01))
    link.behaves = True
    following.run(end + 70 * MINUTE_MS, chance)
    return truth, following


def stored(market: Database, truth: CandleTruth, minutes: int) -> dict[str, list[StoredCandle]]:
    with market.read() as connection:
        return {
            symbol: candles.read(connection, symbol, interval="1m", from_t=START, to_t=START + minutes * MINUTE_MS)
            for symbol in truth.symbols
        }


def differences(market: Database, truth: CandleTruth, minutes: int) -> list[tuple[Candle, StoredCandle | None]]:
    """Where the table is not the truth, or does not yet claim to be final."""
    found = []
    for symbol, rows in stored(market, truth, minutes).items():
        have = {row.t: row for row in rows}
        for candle in truth.candles(symbol, START, START + minutes * MINUTE_MS):
            row = have.pop(candle.t, None)
            if row is None or not row.final or not candles.same_values(row.candle, candle):
                found.append((candle, row))
        found += [(row.candle, row) for row in have.values()]
    return found


def refusals(market: Database) -> dict[str, int]:
    with market.read() as connection:
        rows = connection.execute("SELECT reason, sum(count) FROM ingestion_rejections GROUP BY reason")
        return {row[0]: row[1] for row in rows}


def assert_converges(market: Database, seed: int, minutes: int, **rates: float) -> None:
    truth, following = follow(market, seed, minutes=minutes, **rates)
    refused = refusals(market)
    assert "conflicts_with_final" not in refused
    assert "after_final" not in refused
    assert differences(market, truth, minutes) == []
    assert sum(following.link.struck.values()) > 0


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_peer_does_the_table_ends_as_the_truth(market: Database, seed: int) -> None:
    """D1 at CI size: 30 seeds of 20 coins."""
    assert_converges(market, seed, 60)


def test_with_stream_finality_off_even_swallowed_frames_do_no_harm(market: Database) -> None:
    policy = StreamPolicy(is_final_by_stream=False)
    truth, following = follow(market, 7, minutes=60, policy=policy, swallow=0.05)
    assert following.link.struck["swallow"] > 50
    assert differences(market, truth, 60) == []
    assert "conflicts_with_final" not in refusals(market)


def test_d1_negative_control_a_peer_that_swallows_frames_is_noticed(market: Database) -> None:
    """Negative control of D1: silence cannot be told from a swallowed frame, so the stream's word is then wrong."""
    truth, _ = follow(market, 7, minutes=60, swallow=0.05)
    assert differences(market, truth, 60) != []


def test_d1_negative_control_missing_repair_is_noticed(market: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of D1: without REST the gaps of the link stay."""
    monkeypatch.setattr(Following, "repair_one", lambda self, now_ms: False)
    truth, _ = follow(market, 3, minutes=60)
    assert differences(market, truth, 60) != []


def test_a_healthy_link_makes_traded_minutes_final_without_asking(market: Database) -> None:
    truth = CandleTruth(1, symbols=6, start_t=START, minutes=30)
    link = FaultyLink(truth, 1)
    link.behaves = True
    following = Following(market, link)
    following.repair_one = lambda now_ms: False  # type: ignore[method-assign]
    following.run(START + 25 * MINUTE_MS, random.Random(1))
    rows = [row for rows in stored(market, truth, 24).values() for row in rows if row.t > START]
    busy = [row for row in rows if row.n]
    assert {row.origin for row in busy} == {"stream"}
    assert all(row.final for row in busy if row.t < max(other.t for other in busy if other.symbol == row.symbol))
    assert not any(row.final for row in rows if not row.n)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000))
def test_a_thousand_seeds_of_six_hours_end_as_the_truth(market: Database, seed: int) -> None:
    """D1 at soak size."""
    assert_converges(market, seed, 360)


# D2: kill -9


def live_in_a_child(settings: Settings, seed: int, minutes: int, from_ms: int, fault: str) -> int | None:
    """Follow a truth in a forked child until `fault` kills it; returns when that was, or None at the end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            _live(settings, seed, minutes, from_ms, fault, writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        moments = told.read().split()
    _, status = os.waitpid(pid, 0)
    assert moments, "the child did not start"
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return int(moments[-1])
    assert moments[-1] == b"end", "the child failed"
    return None


def _live(settings: Settings, seed: int, minutes: int, from_ms: int, fault: str, writing: int) -> None:
    truth = CandleTruth(seed, symbols=8, start_t=START, minutes=minutes + 80)
    link = FaultyLink(truth, seed + from_ms % 1_000_003)
    link.behaves = not fault
    link.skip_to(from_ms)
    following = Following(open_market(settings), link)
    os.write(writing, f"{from_ms}\n".encode())
    arm(fault)
    while following.clock.now_ms() < START + (minutes + 70) * MINUTE_MS:
        following.run(following.clock.now_ms() + TICK_MS, random.Random(seed))
        os.write(writing, f"{following.clock.now_ms()}\n".encode())
    os.write(writing, b"end")


def survive_kills(settings: Settings, seed: int, kills: int, minutes: int, *, down_minutes: int = 0) -> int:
    """Kill the ingester at random moments around its commits, and leave it dead a while; returns how often it died."""
    chance = random.Random(f"kills {seed}")
    at, died = START, 0
    for _ in range(kills):
        place = chance.choice(("ingester.before_commit", "ingester.after_commit", "repair.before_store"))
        killed_at = live_in_a_child(settings, seed, minutes, at, f"{place}@{chance.randint(1, 12)}:kill")
        if killed_at is None:
            break
        at, died = killed_at + down_minutes * MINUTE_MS, died + 1
    assert live_in_a_child(settings, seed, minutes, at, "") is None
    return died


def test_ten_kills_leave_nothing_lost_doubled_or_changed(settings: Settings) -> None:
    """D2 at CI size."""
    assert survive_kills(settings, 5, kills=10, minutes=45) == 10
    market = open_market(settings)
    assert differences(market, CandleTruth(5, symbols=8, start_t=START, minutes=125), 45) == []
    assert "conflicts_with_final" not in refusals(market)
    market.close()


def test_kills_with_a_quarter_of_an_hour_between_two_lives_leave_nothing_lost(settings: Settings) -> None:
    assert differences_after_long_deaths(settings) == []


def test_d2_negative_control_lives_that_do_not_ask_what_they_missed_are_noticed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control of D2: what was in memory when a life ended stays lost."""

    def nothing_missing(
        connection: Connection, symbols: Iterable[str], *, now_ms: int
    ) -> dict[str, tuple[int, str | None]]:
        return {symbol: (minute_of(now_ms), None) for symbol in symbols}

    monkeypatch.setattr(gaps, "enqueue_missing", nothing_missing)
    assert differences_after_long_deaths(settings) != []


def differences_after_long_deaths(settings: Settings) -> list[tuple[Candle, StoredCandle | None]]:
    assert survive_kills(settings, 5, kills=3, minutes=60, down_minutes=15) == 3
    market = open_market(settings)
    try:
        return differences(market, CandleTruth(5, symbols=8, start_t=START, minutes=140), 60)
    finally:
        market.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_two_hundred_kills_leave_nothing_lost_doubled_or_changed(settings: Settings, seed: int) -> None:
    """D2 at soak size: 20 lives of 10 kills."""
    assert survive_kills(settings, seed, kills=10, minutes=120) == 10
    market = open_market(settings)
    assert differences(market, CandleTruth(seed, symbols=8, start_t=START, minutes=200), 120) == []
    market.close()
