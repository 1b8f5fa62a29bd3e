"""Targets: refreshed first, whatever else fails, and every failure has its reason."""

import asyncio
from typing import Any

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.market.http import VenueMalformed, VenueUnavailable
from clash_pipeline.market.polymarket import reading, targets
from clash_pipeline.market.polymarket.refresh import refresh_discovery, refresh_immediate
from clash_pipeline.market.report import Report
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.conftest import NOW
from tests.fakes.gamma import FakeGamma, list_assets, raw_event, raw_market


@pytest.fixture(autouse=True)
def listed(market: Database) -> None:
    with market.write() as connection:
        list_assets(connection, BTC=["Bitcoin"])


@pytest.fixture
def gamma() -> FakeGamma:
    markets = [raw_market(str(place), f"Bitcoin above {place}?", end_at=NOW + HOUR_MS) for place in (1, 2)]
    return FakeGamma(raw_event("e", "Bitcoin above ___?", *markets, slug="bitcoin-above"))


def refresh(market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings, *slugs: str) -> Report:
    return asyncio.run(targets.refresh_targets(market, gamma.client(), clock=clock, settings=settings, slugs=slugs))


def problems(market: Database) -> dict[str, str]:
    with market.read() as connection:
        return targets.problems(connection)


def quoted(market: Database) -> list[Any]:
    with market.read() as connection:
        return [tuple(row) for row in connection.execute("SELECT market_id, t FROM polymarket_quotes ORDER BY 1, 2")]


def test_a_market_and_an_event_are_sampled(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings
) -> None:
    report = refresh(market, gamma, clock, settings, "market-1")
    assert (report.covered, report.expected) == (1, 1)
    minute = NOW - NOW % MINUTE_MS
    assert quoted(market) == [("1", minute)]
    clock.advance(MINUTE_MS)
    assert refresh(market, gamma, clock, settings, "bitcoin-above").covered == 2
    assert quoted(market) == [("1", minute), ("1", minute + MINUTE_MS), ("2", minute + MINUTE_MS)]
    with market.read() as connection:
        assert [known.market_id for known in reading.markets(connection, "bitcoin-above")] == ["1", "2"]
        assert [known.market_id for known in reading.markets(connection, "market-2")] == ["2"]
        assert [sample.prices for sample in reading.quotes(connection, "1", as_of=NOW)] == [("0.6", "0.4")]
        assert reading.quotes(connection, "1", as_of=NOW - 1) == []


def test_the_operators_targets_are_among_them(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings
) -> None:
    named = settings.model_copy(update={"polymarket_targets": "market-1, market-2"})
    assert refresh(market, gamma, clock, named).covered == 2


def test_what_a_target_turned_out_to_be_is_remembered(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings
) -> None:
    refresh(market, gamma, clock, settings, "bitcoin-above")
    assert gamma.paths()[:2] == ["/markets/slug/bitcoin-above", "/events/slug/bitcoin-above"]
    gamma.asked.clear()
    refresh(market, gamma, clock, settings)
    assert gamma.paths()[0] == "/events/slug/bitcoin-above"


def test_every_problem_has_its_reason(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings
) -> None:
    gamma.events.append(raw_event("o", "Over", raw_market("8", "Over?", closed=True), slug="over"))
    gamma.events.append(raw_event("x", "Silent", raw_market("9", "Silent?", outcomePrices=None), slug="silent"))
    gamma.failures["garbled"] = VenueMalformed("polymarket", "the answer is not JSON")
    report = refresh(market, gamma, clock, settings, "nowhere", "over", "silent", "garbled", "../etc", "market-1")
    assert (report.covered, report.expected) == (1, 5)
    assert problems(market) == {
        "garbled": "refused: polymarket: the answer is not JSON",
        "nowhere": "not_found",
        "over": "closed",
        "silent": "without_prices",
    }
    with market.read() as connection:
        reasons = {row[0] for row in connection.execute("SELECT reason FROM ingestion_rejections")}
    assert reasons == {"target_refused", "target_not_found", "target_closed", "target_without_prices"}


def test_one_that_cannot_be_asked_for_fails_the_channel_after_the_others(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings
) -> None:
    gamma.failures["a-slow-one"] = VenueUnavailable("polymarket", "timed out")
    with pytest.raises(VenueUnavailable, match="1 of 2 targets"):
        refresh(market, gamma, clock, settings, "a-slow-one", "market-1")
    assert len(quoted(market)) == 1
    del gamma.failures["a-slow-one"]
    refresh(market, gamma, clock, settings)
    assert problems(market) == {"a-slow-one": "not_found"}


def test_a_target_is_forgotten_when_nobody_asks_for_a_week(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings
) -> None:
    refresh(market, gamma, clock, settings, "market-1")
    clock.advance(7 * DAY_MS)
    assert refresh(market, gamma, clock, settings).expected == 0


def test_the_crawl_does_not_starve_the_targets(market: Database, clock: SettableClock, settings: Settings) -> None:
    """A crawl of many slow pages refreshes the targets before it and again whenever their cadence has passed."""

    class Slow(FakeGamma):
        async def get_json(self, url: str, params: Any = None) -> Any:
            if url.endswith("/events/keyset"):
                clock.advance(2 * MINUTE_MS)
            return await super().get_json(url, params)

    events = [raw_event(str(place), "Bitcoin?", raw_market(str(place), "Bitcoin?")) for place in range(1, 13)]
    gamma = Slow(*events)
    named = settings.model_copy(update={"polymarket_targets": "market-1"})
    asyncio.run(refresh_discovery(market, gamma.client(), clock=clock, settings=named))
    assert gamma.paths()[0] == "/markets/slug/market-1"
    pages = [place for place, path in enumerate(gamma.paths()) if path == "/events/keyset"]
    asked = [place for place, path in enumerate(gamma.paths()) if path == "/markets/slug/market-1"]
    assert len(pages) == 6
    assert len(asked) == 3
    assert asked[0] < pages[0] < asked[1] < pages[-1]


def test_targets_come_before_the_choice_and_their_failure_stays_their_own(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings
) -> None:
    gamma.failures["market-gone"] = VenueUnavailable("polymarket", "timed out")
    named = settings.model_copy(update={"polymarket_targets": "market-gone,market-1"})
    asyncio.run(refresh_discovery(market, gamma.client(), clock=clock, settings=named))
    asyncio.run(refresh_immediate(market, gamma.client(), clock=clock, settings=named))
    with market.read() as connection:
        runs = [tuple(row) for row in connection.execute("SELECT channel, status FROM ingestion_runs ORDER BY id")]
    assert runs == [("targets", "failed"), ("discovery", "ok"), ("immediate", "ok")]


def test_what_is_named_now_comes_before_what_was_named_and_each_in_its_turn(market: Database) -> None:
    with market.write() as connection:
        targets.want(connection, ["left-over"], NOW)
        targets.want(connection, ["a", "b"], NOW + MINUTE_MS)
        connection.execute("UPDATE polymarket_targets SET checked_at = 9 WHERE slug = 'a'")
        assert [target.slug for target in targets.wanted(connection, NOW + MINUTE_MS)] == ["b", "a", "left-over"]


def test_a_target_that_nobody_wants_is_left_alone_in_an_hour_and_forgotten_in_a_week(market: Database) -> None:
    with market.write() as connection:
        targets.want(connection, ["a"], NOW)
        assert targets.wanted(connection, NOW + targets.WANTED_MS) == []
        targets.want(connection, [], NOW + targets.WANTED_MS + targets.FORGOTTEN_MS)
        assert connection.execute("SELECT count(*) FROM polymarket_targets").fetchone()[0] == 1
        targets.want(connection, [], NOW + targets.WANTED_MS + targets.FORGOTTEN_MS + 1)
        assert connection.execute("SELECT count(*) FROM polymarket_targets").fetchone()[0] == 0


def test_no_more_than_a_round_holds_is_asked_at_once(
    market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "MOST_TARGETS", 1)
    report = refresh(market, gamma, clock, settings, "market-1", "market-2")
    assert (report.covered, report.expected) == (1, 2)
    assert refresh(market, gamma, clock, settings, "market-1", "market-2").covered == 1
    with market.read() as connection:
        checked = "SELECT slug FROM polymarket_targets WHERE checked_at IS NOT NULL ORDER BY slug"
        assert [slug for (slug,) in connection.execute(checked)] == ["market-1", "market-2"]
