"""Discovery, immediate and later against a Gamma by hand: what is kept, what is dropped, what a failure leaves."""

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SettableClock
from clash_pipeline.market.http import VenueError, VenueMalformed, VenueRefused, VenueUnavailable
from clash_pipeline.market.polymarket import reading
from clash_pipeline.market.polymarket.refresh import refresh_discovery, refresh_immediate, refresh_later, turn
from clash_pipeline.market.report import Report
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.conftest import NOW
from tests.fakes.gamma import FakeGamma, list_assets, raw_event, raw_market

REFRESHES = {"discovery": refresh_discovery, "immediate": refresh_immediate, "later": refresh_later}


@pytest.fixture(autouse=True)
def listed(market: Database) -> None:
    with market.write() as connection:
        list_assets(connection, BTC=["Bitcoin"], ETH=["Ethereum"], ZZZ=["Zebracoin"])


def run(kind: str, market: Database, gamma: FakeGamma, clock: SettableClock, settings: Settings) -> Report:
    return asyncio.run(REFRESHES[kind](market, gamma.client(), clock=clock, settings=settings))


def rows(market: Database, statement: str) -> list[tuple[Any, ...]]:
    with market.read() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def ids(market: Database) -> list[str]:
    return [row[0] for row in rows(market, "SELECT market_id FROM polymarket_markets ORDER BY market_id")]


def last_run(market: Database, channel: str) -> tuple[Any, ...]:
    statement = "SELECT channel, status, rejected, covered, expected, error FROM ingestion_runs ORDER BY id DESC"
    return next(row[1:] for row in rows(market, statement) if row[0] == channel)


def rejections(market: Database) -> dict[str, int]:
    return dict(rows(market, "SELECT reason, count FROM ingestion_rejections"))  # type: ignore[arg-type]


def bitcoin(market_id: str, ends_in: int = HOUR_MS, **changes: Any) -> Any:
    question = f"Will Bitcoin be above ${market_id},000?"
    return raw_event(f"e{market_id}", question, raw_market(market_id, question, end_at=NOW + ends_in, **changes))


class ChangingGamma(FakeGamma):
    """A venue that goes on living between two pages: `after_page` says what happens after each."""

    def __init__(self, *events: Any) -> None:
        super().__init__(*events)
        self.after_page: dict[int, Callable[[], None]] = {}

    async def get_json(self, url: str, params: Mapping[str, Any] | None = None) -> Any:
        answer = copy.deepcopy(await super().get_json(url, params))
        happens = self.after_page.pop(self.paths().count("/events/keyset"), None)
        if happens is not None:
            happens()
        return answer


def close(listed: dict[str, Any]) -> None:
    listed["closed"] = True


class TestDiscovery:
    def test_all_pages_are_read_and_linked(self, market: Database, clock: SettableClock, settings: Settings) -> None:
        gamma = FakeGamma(*(bitcoin(str(place)) for place in range(1, 6)))
        report = run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2", "3", "4", "5"]
        assert (report.rows, report.rejected, report.covered) == (15, 0, 1)
        assert rows(market, "SELECT DISTINCT symbol FROM polymarket_market_asset_links") == [("BTC",)]
        assert last_run(market, "discovery")[0] == "ok"
        query = gamma.asked[0][1]
        assert query == {"tag_slug": "crypto", "closed": "false", "limit": 2}
        assert gamma.asked[1][1]["after_cursor"] == "c2"

    def test_twice_leaves_the_same_rows(self, market: Database, clock: SettableClock, settings: Settings) -> None:
        gamma = FakeGamma(bitcoin("1"), bitcoin("2"), bitcoin("3"))
        run("discovery", market, gamma, clock, settings)
        tables = ("polymarket_events", "polymarket_markets", "polymarket_market_asset_links")
        before = [rows(market, f"SELECT * FROM {table}") for table in tables]
        clock.advance(HOUR_MS)
        gamma.events.reverse()
        assert run("discovery", market, gamma, clock, settings).rows == 0
        assert [rows(market, f"SELECT * FROM {table}") for table in tables] == before

    @pytest.mark.parametrize("status", [404, 405, 410, 422])
    def test_without_keyset_the_old_paging_reads_the_same(
        self, market: Database, clock: SettableClock, settings: Settings, status: int
    ) -> None:
        gamma = FakeGamma(*(bitcoin(str(place)) for place in range(1, 6)))
        gamma.failures["/events/keyset"] = VenueRefused("polymarket", "gone", status)
        run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2", "3", "4", "5"]
        assert gamma.paths().count("/events") == 4, "three pages and the empty one that ends them"

    def test_a_refusal_of_another_kind_is_a_failure(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = FakeGamma(bitcoin("1"))
        gamma.failures["/events/keyset"] = VenueRefused("polymarket", "forbidden", 403)
        with pytest.raises(VenueRefused):
            run("discovery", market, gamma, clock, settings)
        assert last_run(market, "discovery")[0] == "failed"

    def test_a_failure_in_the_middle_keeps_what_was_read(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = FakeGamma(*(bitcoin(str(place)) for place in range(1, 6)))
        gamma.failures["c4"] = VenueUnavailable("polymarket", "answered 503")
        with pytest.raises(VenueUnavailable):
            run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2", "3", "4"]
        status, _, covered, _, error = last_run(market, "discovery")
        assert (status, covered, error) == ("failed", 1, "VenueUnavailable: polymarket: answered 503")

    def test_pages_that_go_in_a_circle_are_stopped_with_a_reason(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = FakeGamma(*(bitcoin(str(place)) for place in range(1, 4)))
        gamma.repeats_cursor = True
        with pytest.raises(VenueMalformed, match="leads back"):
            run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2"]
        assert rejections(market) == {"crawl_circle": 1}
        assert gamma.paths().count("/events/keyset") == 2

    def test_a_market_that_closes_while_the_pages_are_read_is_dropped(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        """09 §6.6: it was open when the first page was answered, and is closed on the second, its event still open."""
        gamma = ChangingGamma(*(bitcoin(str(place)) for place in range(1, 6)))
        gamma.events[2]["markets"].append(raw_market("33", "Will Bitcoin be above $33,000?", end_at=NOW + HOUR_MS))
        gamma.after_page[1] = lambda: close(gamma.events[2]["markets"][0])
        report = run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2", "33", "4", "5"], "its neighbours in event and page stay"
        assert (report.rejected, last_run(market, "discovery")[0]) == (0, "ok")

    def test_one_that_was_read_and_then_closes_is_not_chosen(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        """Read open on the first page, closed before the second: the choice asks again, and drops it."""
        gamma = ChangingGamma(bitcoin("1"), bitcoin("2", 2 * HOUR_MS), bitcoin("3", 3 * HOUR_MS), bitcoin("4", DAY_MS))
        gamma.after_page[1] = lambda: close(gamma.events[0]["markets"][0])
        run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2", "3", "4"]
        assert run("immediate", market, gamma, clock, settings).covered == 1
        with market.read() as connection:
            chosen = [found.market_id for found in reading.selections(connection, "immediate", "BTC")]
        assert chosen == ["2"]
        assert rows(market, "SELECT market_id FROM polymarket_markets WHERE is_closed") == [("1",)]

    def test_an_event_pushed_off_its_page_by_one_that_closed_is_found_by_the_next_crawl(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        """Pages by position move up when an event before them closes, and one event falls between two of them."""
        gamma = ChangingGamma(*(bitcoin(str(place)) for place in range(1, 6)))
        gamma.after_page[1] = lambda: close(gamma.events[0])
        run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2", "4", "5"]
        run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1", "2", "3", "4", "5"]

    def test_endless_pages_are_stopped(self, market: Database, clock: SettableClock, settings: Settings) -> None:
        gamma = FakeGamma(*(bitcoin(str(place)) for place in range(1, 9)))
        short = settings.model_copy(update={"polymarket_max_pages": 2})
        with pytest.raises(VenueMalformed, match="more than 2 pages"):
            run("discovery", market, gamma, clock, short)
        assert rejections(market) == {"crawl_endless": 1}

    def test_bad_entries_are_counted_and_their_neighbours_kept(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = FakeGamma(bitcoin("1"), bitcoin("2", outcomePrices='["0.5"]'), bitcoin("3", slug="a/b"))
        report = run("discovery", market, gamma, clock, settings)
        assert (ids(market), report.rejected) == (["1"], 2)
        assert rejections(market) == {"market_prices": 1, "market_slug": 1}

    def test_a_closed_market_is_dropped_and_a_known_one_marked(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = FakeGamma(bitcoin("1"), bitcoin("2", closed=True))
        run("discovery", market, gamma, clock, settings)
        assert ids(market) == ["1"]
        gamma.events[0]["markets"][0]["closed"] = True
        clock.advance(MINUTE_MS)
        run("discovery", market, gamma, clock, settings)
        assert rows(market, "SELECT is_closed FROM polymarket_markets") == [(1,)]

    def test_assets_without_a_market_are_searched_for(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = FakeGamma(bitcoin("1"))
        found = raw_event("z", "Zebracoin above $1?", raw_market("9", "Zebracoin above $1?", end_at=NOW + HOUR_MS))
        gamma.found["zebracoin"] = [found]
        report = run("discovery", market, gamma, clock, settings)
        asked = [query["q"] for path, query in gamma.asked if path == "/public-search"]
        assert asked == ["ethereum", "zebracoin"]
        assert report.covered == 2

    def test_a_search_that_is_refused_does_not_end_the_others(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = FakeGamma(bitcoin("1"))
        gamma.failures["/public-search"] = VenueRefused("polymarket", "no", 422)
        assert run("discovery", market, gamma, clock, settings).rejected == 2
        assert rejections(market) == {"search_refused": 2}

    def test_searches_take_turns(self) -> None:
        names = ["a", "b", "c", "d", "e"]
        assert [turn(names, hour, 2) for hour in range(3)] == [["a", "b"], ["c", "d"], ["e", "a"]]
        assert turn([], 3, 2) == turn(names, 3, 0) == []


class TestChoosing:
    def prepared(self, market: Database, clock: SettableClock, settings: Settings, *events: Any) -> FakeGamma:
        gamma = FakeGamma(*events)
        run("discovery", market, gamma, clock, settings)
        gamma.asked.clear()
        return gamma

    def chosen(self, market: Database, symbol: str = "BTC") -> tuple[str | None, str | None]:
        with market.read() as connection:
            found = reading.read(connection, symbol, as_of=NOW + 5 * MINUTE_MS)
        return (found.immediate and found.immediate.market_id, found.later and found.later.market_id)

    def test_the_live_market_that_ends_soonest_and_the_liquid_one_after_it(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = self.prepared(
            market, clock, settings, bitcoin("1", 2 * HOUR_MS), bitcoin("2"), bitcoin("3", 9 * DAY_MS, liquidityNum=999)
        )
        assert run("immediate", market, gamma, clock, settings) == (2, 0, 1, 1, None)
        assert run("later", market, gamma, clock, settings).covered == 1
        assert self.chosen(market) == ("2", "3")

    def test_the_window_of_the_moment_is_looked_up_by_its_slug(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        start = NOW - NOW % (5 * MINUTE_MS)
        slug = f"btc-updown-5m-{start // 1_000}"
        gamma = self.prepared(market, clock, settings, bitcoin("2"))
        window = raw_market("77", "Bitcoin Up or Down", slug=slug, end_at=start + 5 * MINUTE_MS)
        gamma.events.append(raw_event("w", "Bitcoin Up or Down", window, tags=()))
        run("immediate", market, gamma, clock, settings)
        with market.read() as connection:
            assert reading.selections(connection, "immediate", "BTC")[0].market_id == "77"
            assert reading.linked(connection, "BTC")[0].matched == "window: btc"
        assert f"/markets/slug/{slug}" in gamma.paths()

    def test_a_choice_that_turns_out_closed_is_replaced(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = self.prepared(
            market, clock, settings, bitcoin("1"), bitcoin("2", 2 * HOUR_MS), bitcoin("3", 3 * HOUR_MS)
        )
        gamma.events[0]["markets"][0]["closed"] = True
        gamma.events[1] = bitcoin("other")  # the second is not known to the venue any more
        assert run("immediate", market, gamma, clock, settings).covered == 1
        assert self.chosen(market)[0] == "3"
        assert rows(market, "SELECT market_id FROM polymarket_markets WHERE is_closed ORDER BY 1") == [("1",), ("2",)]

    def test_quotes_take_bid_and_ask_from_the_book_and_flag_odd_sums(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = self.prepared(market, clock, settings, bitcoin("1", outcomePrices='["0.9", "0.4"]'))
        gamma.books["11"] = {
            "bids": [{"price": "0.01"}, {"price": "0.57"}],
            "asks": [{"price": ".98"}, {"price": "0.6"}],
        }
        run("immediate", market, gamma, clock, settings)
        quote = "SELECT prices, best_bid, best_ask, last_price, is_flagged, book FROM polymarket_quotes"
        assert rows(market, quote) == [('["0.9", "0.4"]', "0.57", "0.6", "0.6", 1, "clob")]

    @pytest.mark.parametrize("book", ["malformed", None, {"bids": [{"price": "7"}], "asks": []}])
    def test_without_a_book_gammas_quote_stands(
        self, market: Database, clock: SettableClock, settings: Settings, book: Any
    ) -> None:
        gamma = self.prepared(market, clock, settings, bitcoin("1"))
        gamma.books["11"] = book
        assert run("immediate", market, gamma, clock, settings).covered == 1
        assert rows(market, "SELECT best_bid, best_ask, book FROM polymarket_quotes") == [("0.59", "0.61", "gamma")]

    def test_what_cannot_be_asked_for_is_a_failure_and_the_others_are_written(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        ether = raw_event("e9", "Ethereum?", raw_market("9", "Ethereum above $9?", end_at=NOW + HOUR_MS))
        gamma = self.prepared(market, clock, settings, bitcoin("1"), ether)
        gamma.failures["/markets/slug/market-1"] = VenueUnavailable("polymarket", "timed out")
        with pytest.raises(VenueUnavailable, match="1 immediate markets"):
            run("immediate", market, gamma, clock, settings)
        assert self.chosen(market) == (None, None)
        assert self.chosen(market, "ETH")[0] == "9"
        assert last_run(market, "immediate")[:4] == ("failed", 0, 1, 2)

    def test_a_venue_that_is_down_is_not_asked_for_every_market(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = self.prepared(market, clock, settings, bitcoin("1"))
        gamma.failures["/markets"] = VenueUnavailable("polymarket", "connection refused")
        with pytest.raises(VenueUnavailable):
            run("immediate", market, gamma, clock, settings)
        assert len(gamma.asked) == 3

    def test_twice_in_a_minute_is_once(self, market: Database, clock: SettableClock, settings: Settings) -> None:
        gamma = self.prepared(market, clock, settings, bitcoin("1"))
        run("immediate", market, gamma, clock, settings)
        tables = ("polymarket_immediate_markets", "polymarket_quotes", "polymarket_markets")
        before = [rows(market, f"SELECT * FROM {table}") for table in tables]
        clock.advance(5)
        assert run("immediate", market, gamma, clock, settings).rows == 0
        assert [rows(market, f"SELECT * FROM {table}") for table in tables] == before

    def test_reads_as_of_see_what_was_known_then(
        self, market: Database, clock: SettableClock, settings: Settings
    ) -> None:
        gamma = self.prepared(market, clock, settings, bitcoin("1"), bitcoin("2", 2 * HOUR_MS))
        run("immediate", market, gamma, clock, settings)
        clock.advance(10 * MINUTE_MS)
        gamma.events[0]["markets"][0] |= {"closed": True, "question": "Will Bitcoin have been above?"}
        run("immediate", market, gamma, clock, settings)
        with market.read() as connection:
            then = reading.read(connection, "BTC", as_of=NOW + MINUTE_MS)
            now = reading.read(connection, "BTC")
            before = reading.read(connection, "BTC", as_of=NOW - 1)
            ended = reading.read(connection, "BTC", as_of=NOW + 3 * HOUR_MS)
        assert then.immediate is not None
        assert (then.immediate.market_id, [known.question for known in then.linked]) == (
            "1",
            ["Will Bitcoin be above $1,000?", "Will Bitcoin be above $2,000?"],
        )
        assert now.immediate is not None
        assert (now.immediate.market_id, [known.market_id for known in now.linked]) == ("2", ["2"])
        assert before.missing == {"immediate": "none_known", "later": "none_known", "linked": "none_known"}
        assert ended.missing == {"immediate": "ended", "later": "none_known", "linked": "none_known"}

    def test_a_changed_text_ends_a_link(self, market: Database, clock: SettableClock, settings: Settings) -> None:
        gamma = self.prepared(market, clock, settings, bitcoin("1"))
        gamma.events[0] |= {"title": "Ethereum above $1?"}
        gamma.events[0]["markets"][0]["question"] = "Will Ethereum be above $1,000?"
        clock.advance(HOUR_MS)
        run("discovery", market, gamma, clock, settings)
        with market.read() as connection:
            assert [reading.linked(connection, symbol, as_of=NOW) != () for symbol in ("BTC", "ETH")] == [True, False]
            assert [reading.linked(connection, symbol) != () for symbol in ("BTC", "ETH")] == [False, True]


def test_a_failure_is_never_an_empty_success(market: Database, clock: SettableClock, settings: Settings) -> None:
    """The negative control: an empty venue is ok and covers nothing, a failing one is failed."""
    assert run("discovery", market, FakeGamma(), clock, settings) == (0, 0, 0, None, None)
    gamma = FakeGamma()
    gamma.failures["/"] = VenueUnavailable("polymarket", "down")
    with pytest.raises(VenueError):
        run("discovery", market, gamma, clock, settings)
    assert last_run(market, "discovery")[0] == "failed"
