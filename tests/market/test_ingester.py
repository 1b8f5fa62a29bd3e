"""The ingester against a replayed venue on loopback: convergence over real sockets, one at a time, polls, stopping."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SettableClock, SystemClock
from clash_pipeline.market import candles, ingestion
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.http import VenueUnavailable
from clash_pipeline.market.hyperliquid.wire import Interval, Rejections
from clash_pipeline.market.ingester import NAME, Ingester, stream_policy
from clash_pipeline.market.polls import Poll
from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.environment import environment
from clash_pipeline.replay.faults import FaultBook
from clash_pipeline.replay.hosting import hosted
from clash_pipeline.replay.numerals import text
from clash_pipeline.replay.synthetic import SyntheticMarket
from clash_pipeline.replay.venue import Venue
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings, load
from clash_pipeline.storage import heartbeats, leases
from clash_pipeline.storage.errors import LeaseLost
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from clash_pipeline.storage.sqlite import Database
from tests.fakes.ingesting import Ingesting, ingesting, settings_for
from tests.market.hyperliquid.test_stream import replay_with_skew

START = 1_753_228_500_000
"""2025-07-22T23:55Z: the first midnight comes after a few minutes."""
FOLLOWED = "BTC,ETH,SOL,@107"


@contextmanager
def venue(seed: int = 3, faults: str = "") -> Iterator[tuple[VenueControls, SyntheticMarket]]:
    truth = SyntheticMarket(seed, start_ms=START, perps=6)
    book = FaultBook(seed)
    book.add(faults, START)
    with hosted(Venue(truth, faults=book)) as controls:
        yield controls, truth


def truth_of(truth: SyntheticMarket, symbol: str, from_t: int, to_t: int) -> list[Candle]:
    return [Candle(symbol, row.t, *map(text, row[1:6]), row.n) for row in truth.minutes(symbol, from_t, to_t).rows()]


def differences(running: Ingesting, truth: SyntheticMarket, from_t: int, to_t: int) -> list[object]:
    found: list[object] = []
    with running.services.market.read() as connection:
        for symbol in FOLLOWED.split(","):
            rows = candles.read(connection, symbol, interval="1m", from_t=from_t, to_t=to_t)
            wanted = truth_of(truth, symbol, from_t, to_t)
            have = {row.t: row for row in rows}
            found += [
                (candle, have.get(candle.t))
                for candle in wanted
                if candle.t not in have
                or not have[candle.t].final
                or not candles.same_values(have[candle.t].candle, candle)
            ]
            assert len(wanted) == (to_t - from_t) // MINUTE_MS
    return found


FAULTS = (
    "drop@7m,stall@13m:40s,stall@21m:9s,lose_subscription@26m%50,drop@33m:30s,duplicate@0:40m%5,reorder@0:40m%8,"
    "truncate@0:40m%0.5,old@0:40m%2,future@0:40m%2,garbage@0:40m%1,429.hyperliquid@9m:1m,html.hyperliquid@14m:1m,"
    "partial.hyperliquid@15m:10m,empty.hyperliquid@27m:30s,outage.hyperliquid@36m:90s,mute_subscription@33m:40s%30"
)


@pytest.mark.parametrize("seed", [1, 2])
def test_over_real_sockets_the_table_ends_as_the_truth(tmp_path: Path, seed: int) -> None:
    """D1 at CI size over loopback: every fault in 40 minutes, then the venue behaves until the hour is over."""
    converges_over_sockets(tmp_path, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3, 23))
def test_twenty_seeds_over_real_sockets_end_as_the_truth(tmp_path: Path, seed: int) -> None:
    """D1 at soak size over loopback."""
    converges_over_sockets(tmp_path, seed)


def converges_over_sockets(home: Path, seed: int) -> None:
    with venue(seed, FAULTS) as (controls, truth):
        settings = settings_for(controls.base_url, home, CLASH_SYMBOLS=FOLLOWED)
        with ingesting(settings) as running:
            running.until_live()
            running.drive(START + 40 * MINUTE_MS)
            controls.clear_faults()
            running.drive(START + 69 * MINUTE_MS)
            until_t = START + 65 * MINUTE_MS
            running.until(lambda: not differences(running, truth, START, until_t), "the truth")
            assert "conflicts_with_final" not in running.rejections()
            assert "after_final" not in running.rejections()
            hour = START + 5 * MINUTE_MS
            running.until(lambda: running_hour(running, hour).final == 1, "the final hour")
        stats = controls.stats()
        assert stats["connectionsTotal"] >= 2
        assert stats["weight"]["refused"] == 0


def running_hour(running: Ingesting, hour_t: int) -> candles.StoredCandle:
    with running.services.market.read() as connection:
        (row,) = candles.read(connection, "BTC", interval="1h", from_t=hour_t, to_t=hour_t + HOUR_MS)
    return row


def test_a_minute_without_any_frame_still_gets_its_mark_and_its_flat_rows(tmp_path: Path) -> None:
    with venue() as (controls, truth):
        quiet = quietest(truth)
        settings = settings_for(controls.base_url, tmp_path, CLASH_SYMBOLS=quiet)
        with ingesting(settings) as running:
            running.until_live()
            running.drive(START + 12 * MINUTE_MS)
            with running.services.market.read() as connection:
                rows = candles.read(
                    connection, quiet, interval="1m", from_t=START + MINUTE_MS, to_t=START + 11 * MINUTE_MS
                )
                health = connection.execute(
                    "SELECT DISTINCT channel FROM ingestion_runs WHERE status = 'ok' ORDER BY channel"
                ).fetchall()
        assert len(rows) == 10
        assert any(row.origin == "flat" and row.n == 0 for row in rows)
        assert [row[0] for row in health] == [
            "asset_ctxs", "candles_1h", "candles_1m", "funding", "indicators", "mids", "registry", "repair"
        ]  # fmt: skip


def quietest(truth: SyntheticMarket) -> str:
    span = START, START + 12 * MINUTE_MS
    trading = [asset.symbol for asset in truth.assets if asset.has_candles]
    return min(trading, key=lambda symbol: int((truth.minutes(symbol, *span).n > 0).sum()))


def test_one_failing_poll_disturbs_nobody(tmp_path: Path) -> None:
    asked = []

    def broken(services: Services) -> list[Poll]:
        async def defect(now_ms: int) -> None:
            asked.append(now_ms)
            with ingestion.run(services.market, "elsewhere", "broken", services.clock):
                raise ZeroDivisionError("a defect of this source")

        async def away(now_ms: int) -> None:
            with ingestion.run(services.market, "elsewhere", "away", services.clock):
                raise VenueUnavailable("elsewhere", "no answer")

        return [Poll("broken", 60, defect), Poll("away", 60, away)]

    with venue() as (controls, _):
        settings = settings_for(controls.base_url, tmp_path, CLASH_SYMBOLS=FOLLOWED)
        with ingesting(settings, extra=broken) as running:
            running.until_live()
            running.drive(START + 3 * MINUTE_MS)
            with running.services.market.read() as connection:
                failed = connection.execute(
                    "SELECT DISTINCT channel, error FROM ingestion_runs WHERE status = 'failed' ORDER BY 1"
                ).fetchall()
        assert running.error is None
    assert len(asked) >= 3
    assert [tuple(row) for row in failed] == [
        ("away", "VenueUnavailable: elsewhere: no answer"),
        ("broken", "ZeroDivisionError: a defect of this source"),
    ]


def test_a_second_ingester_refuses_to_start_and_a_stopped_one_leaves_the_lease(tmp_path: Path) -> None:
    with venue() as (controls, _):
        settings = settings_for(controls.base_url, tmp_path, CLASH_SYMBOLS=FOLLOWED)
        migrate_all(settings)
        market = open_market(settings)
        held = leases.acquire(market, NAME, "elsewhere:1", now_ms=SystemClock().now_ms(), ttl_ms=60_000)
        with ingesting(settings) as running:
            running.join()
            assert isinstance(running.error, LeaseLost)
            assert "elsewhere:1" in str(running.error)
        leases.release(market, held)
        with ingesting(settings) as running:
            running.until_live()
        assert running.error is None
        leases.acquire(market, NAME, "next:1", now_ms=SystemClock().now_ms(), ttl_ms=60_000)
        market.close()


def test_an_ingester_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    """A zombie: somebody else took over while it slept."""
    with venue() as (controls, _):
        settings = settings_for(controls.base_url, tmp_path, CLASH_SYMBOLS=FOLLOWED)
        with ingesting(settings) as running:
            running.until_live()
            running.drive(START + 2 * MINUTE_MS)
            with running.services.market.write() as connection:
                connection.execute("UPDATE leases SET holder = 'successor', token = token + 1 WHERE name = ?", (NAME,))
                before = connection.execute("SELECT count(*) FROM hyperliquid_candles").fetchone()[0]
            controls.advance(START + 6 * MINUTE_MS)
            running.join()
            with running.services.market.read() as connection:
                assert connection.execute("SELECT count(*) FROM hyperliquid_candles").fetchone()[0] == before
        assert isinstance(running.error, LeaseLost)


def test_after_a_restart_the_missed_minutes_are_fetched(tmp_path: Path) -> None:
    with venue() as (controls, truth):
        settings = settings_for(controls.base_url, tmp_path, CLASH_SYMBOLS=FOLLOWED)
        with ingesting(settings) as running:
            running.until_live()
            running.drive(START + 4 * MINUTE_MS)
        controls.advance(START + 20 * MINUTE_MS)
        with ingesting(settings) as running:
            running.until_live()
            running.drive(START + 23 * MINUTE_MS)  # the venue shows minutes without trades a little later
            missed = START, START + 19 * MINUTE_MS
            running.until(lambda: not differences(running, truth, *missed), "the missed minutes")


def test_the_process_says_that_it_works_and_stops_on_a_signal(tmp_path: Path) -> None:
    """`clash ingest` as its own process: heartbeat, SIGTERM, flushed, lease free, said stopped."""
    with venue() as (controls, _):
        variables = {**environment(controls.base_url), "CLASH_HOME": str(tmp_path), "CLASH_SYMBOLS": FOLLOWED}
        settings = load(variables)
        migrate_all(settings)
        clash, market = open_clash(settings), open_market(settings)
        command = [sys.executable, "-c", "from clash_pipeline.cli.ingest import ingest; ingest()"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log)
        try:
            wait_for(lambda: controls.stats()["subscriptions"] == 5)
            controls.advance(START + 90_000)
            wait_for(lambda: [worker.status(SystemClock().now_ms()) for worker in heartbeats.workers(clash)] == ["ok"])
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait()
        (worker,) = heartbeats.workers(clash)
        assert (worker.worker, worker.is_stopped, worker.last_error) == ("ingester", True, None)
        leases.acquire(market, NAME, "next:1", now_ms=SystemClock().now_ms(), ttl_ms=60_000)
        assert (tmp_path / "log").read_text().rstrip().endswith("ingester stopped")
        clash.close()
        market.close()


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_clock_that_is_off_is_reported_when_it_goes_and_when_it_comes_back(
    settings: Settings, clash: Database, market: Database, clock: SettableClock
) -> None:
    """D7: the alert at more than 2 s, as a failed cycle of a channel of its own."""
    ingester = Ingester(settings, clash, market, clock, clock, NoSnapshots(), [])
    for skew_ms in (0, 2_000, 2_001, 30_000, -2_000, 0):
        ingester.stream.skew.ms = skew_ms
        ingester.watch_clock()
    with market.read() as connection:
        rows = connection.execute("SELECT status, error FROM ingestion_runs WHERE channel = 'clock' ORDER BY id")
        assert [tuple(row) for row in rows] == [
            ("failed", "our clock is 2.0 s behind the venue's, the limit is 2 s"),
            ("ok", None),
        ]


@pytest.mark.parametrize(("off_ms", "side"), [(2_500, "ahead of"), (-2_500, "behind")])
def test_frames_alone_raise_the_alert_on_either_side(
    settings: Settings, clash: Database, market: Database, clock: SettableClock, off_ms: int, side: str
) -> None:
    """D7 from the frame to the row."""
    ingester = Ingester(settings, clash, market, clock, clock, NoSnapshots(), [])
    ingester.stream.skew = replay_with_skew(off_ms)[0].skew
    ingester.watch_clock()
    with market.read() as connection:
        (error,) = connection.execute("SELECT error FROM ingestion_runs WHERE channel = 'clock'").fetchone()
    assert error == f"our clock is 2.5 s {side} the venue's, the limit is 2 s"


class NoSnapshots:
    """A venue nobody asks."""

    async def candle_snapshot(
        self, coin: str, interval: Interval, from_t: int, to_t: int, *, rejected: Rejections | None = None
    ) -> list[Candle]:
        raise AssertionError("nobody should ask")


def test_a_second_process_says_who_holds_the_lease(tmp_path: Path) -> None:
    with venue() as (controls, _):
        variables = {**environment(controls.base_url), "CLASH_HOME": str(tmp_path)}
        settings = load(variables)
        migrate_all(settings)
        market = open_market(settings)
        leases.acquire(market, NAME, "elsewhere:1", now_ms=SystemClock().now_ms(), ttl_ms=60_000)
        refused = subprocess.run(
            [sys.executable, "-m", "clash_pipeline.cli.main", "ingest"],
            env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        market.close()
    assert refused.returncode == 4
    assert "elsewhere:1" in refused.stderr.splitlines()[-1]


def test_the_policy_of_the_stream_comes_from_the_settings() -> None:
    usual = stream_policy(load({}))
    assert (usual.grace_ms, usual.silence_ms, usual.ping_ms, usual.future_ms) == (5_000, 15_000, 30_000, 120_000)
    assert usual.is_skew_estimated
    replayed = stream_policy(load({"CLASH_VENUE_CLOCK_URL": "http://127.0.0.1:1/clock", "CLASH_STREAM_FINAL": "false"}))
    assert not replayed.is_skew_estimated
    assert not replayed.is_final_by_stream
