"""Health is a function of the recorded cycles and the time; each status, and each limit at its exact edge."""

from typing import Any

import pytest

from clash_pipeline.clock import HOUR_MS, SettableClock
from clash_pipeline.market import gaps, health, ingestion
from clash_pipeline.market.health import CHANNELS, ChannelHealth
from clash_pipeline.market.hyperliquid.arrivals import Arrivals, ArrivalWriter
from clash_pipeline.settings import Settings
from clash_pipeline.storage.leases import acquire
from clash_pipeline.storage.sqlite import Database
from tests.fakes.candle_truth import frame
from tests.market.hyperliquid.test_stream import M, T, acknowledged, candle, live

NOW = 1_753_100_000_000


def cycle(market: Database, channel: str, *, ago_sec: float, error: str | None = None, **values: Any) -> None:
    at = NOW - round(ago_sec * 1000)
    source, _, name = channel.partition(".")
    with market.write() as connection:
        made = ingestion.Cycle(**{"rows": 1, **values})
        ingestion.record(connection, source, name, made, started_at=at - 100, finished_at=at, error=error)


def of(market: Database, settings: Settings, channel: str, now_ms: int = NOW) -> ChannelHealth:
    with market.read() as connection:
        return next(found for found in health.read(connection, settings, now_ms) if found.name == channel)


def test_a_channel_that_never_ran_is_missing(market: Database, settings: Settings) -> None:
    with market.read() as connection:
        found = health.read(connection, settings, NOW)
    assert [(channel.source, channel.channel) for channel in found] == [spec[:2] for spec in CHANNELS]
    assert {channel.status for channel in found} == {"missing"}
    assert health.bad(found) == found
    assert found[0].sentence == "hyperliquid.registry missing: no cycle was ever recorded"


@pytest.mark.parametrize(
    ("channel", "limit_sec", "cadence_sec"),
    [
        ("hyperliquid.candles_1m", 120, 60),
        ("hyperliquid.mids", 120, 60),
        ("hyperliquid.asset_ctxs", 360, 60),
        ("hyperliquid.funding", 600, 300),
        ("hyperliquid.registry", 3_900, 3_600),
        ("polymarket.later", 2_100, 1_800),
        ("defillama.capital_flows", 3_900, 3_600),
    ],
)
def test_a_channel_is_stale_just_after_its_limit(
    market: Database, settings: Settings, channel: str, limit_sec: int, cadence_sec: int
) -> None:
    cycle(market, channel, ago_sec=limit_sec)
    at_the_limit, beyond = of(market, settings, channel), of(market, settings, channel, NOW + 1)
    assert (at_the_limit.status, at_the_limit.age_sec) == ("ok", limit_sec)
    assert (at_the_limit.expected_cadence_sec, at_the_limit.stale_after_sec) == (cadence_sec, limit_sec)
    assert beyond.status == "stale"
    assert beyond.sentence == f"{channel} stale: {limit_sec} s old, the limit is {limit_sec} s"


def test_a_stream_lives_by_rows_and_a_poll_by_answers(market: Database, settings: Settings) -> None:
    for channel in ("hyperliquid.candles_1m", "hyperliquid.asset_ctxs"):
        cycle(market, channel, ago_sec=500, rows=40)
        cycle(market, channel, ago_sec=1, rows=0)
    assert of(market, settings, "hyperliquid.candles_1m").status == "stale"
    assert of(market, settings, "hyperliquid.asset_ctxs").status == "ok"


def test_a_channel_has_failed_until_it_succeeds_again(market: Database, settings: Settings) -> None:
    cycle(market, "hyperliquid.funding", ago_sec=400)
    cycle(market, "hyperliquid.funding", ago_sec=100, error="VenueUnavailable: hyperliquid: /info answered 502")
    failed = of(market, settings, "hyperliquid.funding")
    assert (failed.status, failed.age_sec, failed.last_error_at) == ("failed", 400, NOW - 100_000)
    assert failed.sentence == "hyperliquid.funding failed: VenueUnavailable: hyperliquid: /info answered 502"
    cycle(market, "hyperliquid.funding", ago_sec=10)
    healed = of(market, settings, "hyperliquid.funding")
    assert (healed.status, healed.last_error) == ("ok", "VenueUnavailable: hyperliquid: /info answered 502")


def test_a_cycle_under_way_is_running_but_not_for_ever(market: Database, settings: Settings) -> None:
    with market.write() as connection:
        connection.execute(
            "INSERT INTO ingestion_runs (source, channel, started_at, status) VALUES (?, ?, ?, 'running')",
            ("polymarket", "discovery", NOW - 1_000),
        )
    assert of(market, settings, "polymarket.discovery").status == "running"
    assert of(market, settings, "polymarket.discovery").is_good
    assert of(market, settings, "polymarket.discovery", NOW + 2 * HOUR_MS).status == "stale"


def test_figures_are_those_of_the_newest_cycle_and_the_last_hour(market: Database, settings: Settings) -> None:
    name = "hyperliquid.candles_1m"
    cycle(market, name, ago_sec=3_700, rows=1_000)
    cycle(market, name, ago_sec=1_800, rows=100)
    cycle(market, name, ago_sec=30, rows=40, covered=39, expected=40, through_t=NOW - 30_000, lags_ms=[5, 1, 900])
    found = of(market, settings, name)
    assert (found.rows_written, found.rows_per_hour) == (40, 140)
    assert (found.covered, found.expected, found.coverage) == (39, 40, 0.975)
    assert (found.lag_p50_ms, found.lag_p99_ms, found.through_t) == (5, 900, NOW - 30_000)


def test_coverage_of_nothing_expected_is_unknown_not_whole(market: Database, settings: Settings) -> None:
    cycle(market, "hyperliquid.mids", ago_sec=1, covered=0, expected=0)
    assert of(market, settings, "hyperliquid.mids").coverage is None


def test_rejections_are_those_of_today(market: Database, settings: Settings) -> None:
    with market.write() as connection:
        for at in (NOW, NOW, NOW - 86_400_000):
            ingestion.reject(connection, "hyperliquid", "candles_1m", "bad_json", "{", at)
        ingestion.reject(connection, "hyperliquid", "candles_1m", "wrong_shape", "{", NOW, count=3)
    assert of(market, settings, "hyperliquid.candles_1m").rejections == 5


def test_a_channel_that_works_on_demand_is_shown_once_it_worked_and_is_never_stale(
    market: Database, settings: Settings
) -> None:
    cycle(market, "hyperliquid.repair", ago_sec=86_400)
    found = of(market, settings, "hyperliquid.repair")
    assert (found.status, found.kind, found.stale_after_sec, found.expected_cadence_sec) == (
        "ok",
        "on_demand",
        None,
        None,
    )
    cycle(market, "hyperliquid.repair", ago_sec=5, error="boom")
    assert of(market, settings, "hyperliquid.repair").status == "failed"


def test_a_clock_that_was_set_back_makes_no_negative_age(market: Database, settings: Settings) -> None:
    cycle(market, "hyperliquid.mids", ago_sec=-50)
    assert of(market, settings, "hyperliquid.mids").age_sec == 0


def test_every_channel_an_ingestion_cycle_records_is_known_or_on_demand(
    market: Database, settings: Settings, clock: SettableClock
) -> None:
    with ingestion.run(market, "hyperliquid", "registry", clock) as run:
        run.rows = 3
    assert of(market, settings, "hyperliquid.registry").rows_written == 3


def test_open_gaps_belong_to_the_minutes(market: Database, settings: Settings) -> None:
    assert of(market, settings, "hyperliquid.candles_1m").open_gaps == 0
    with market.write() as connection:
        for symbol in ("BTC", "ETH"):
            gaps.enqueue(connection, symbol, NOW - 7_200_000, NOW - 3_600_000, "start", now_ms=NOW)
    assert of(market, settings, "hyperliquid.candles_1m").open_gaps == 2
    assert of(market, settings, "hyperliquid.mids").open_gaps is None


def test_a_subscription_that_is_silently_missing_shows_as_failed(
    market: Database, settings: Settings, clock: SettableClock
) -> None:
    """09 §6.6, from the stream to the health: BTC is acknowledged, ETH never, until it is."""
    stream = live("BTC", "ETH", at=T - 30_000)
    stream.closed(T, "disconnect")
    stream.opened(T)
    acknowledged(stream, T + 100, "BTC")
    lease = acquire(market, "ingester", "test", now_ms=1, ttl_ms=10**15)
    writer = ArrivalWriter(market, clock, lease)

    def minute_settled(end_t: int) -> ChannelHealth:
        stream.receive(frame(candle(end_t - M)), end_t - 1_000)
        clock.set(end_t + 5_000)
        stream.receive('{"channel":"pong"}', clock.now_ms())
        stream.tick(clock.now_ms())
        arrived = Arrivals()
        arrived.add(stream.drain())
        assert arrived.settled_to == end_t
        writer.write(arrived, expected=2, unanswered=stream.unanswered(clock.now_ms()))
        return of(market, settings, "hyperliquid.candles_1m", clock.now_ms())

    failed = minute_settled(T + M)
    assert (failed.status, failed.last_error) == ("failed", "1 subscriptions unanswered, first of them ETH")
    assert failed.rows_written == 0
    assert not failed.is_good
    acknowledged(stream, T + M + 6_000, "ETH")
    assert minute_settled(T + 2 * M).status == "ok"
