"""The replayed Polymarket: discovery, prices consistent with the replayed market, history."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, iso, parse_time
from clash_pipeline.replay import gamma, odds
from clash_pipeline.replay.clob import Clob
from clash_pipeline.replay.gamma import BadQuery, Gamma
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.questions import Question, Questions, eastern, noon_eastern
from clash_pipeline.replay.recorded_answers import RecordedAnswers
from clash_pipeline.replay.synthetic import DEFAULT_START_MS as NOW
from clash_pipeline.replay.synthetic import SyntheticMarket

CRYPTO = {"closed": "false", "tag_slug": "crypto"}


class _Polymarket:
    def __init__(self, truth: SyntheticMarket, folder: Path | None = None) -> None:
        self.market = LiveMarket(truth)
        self.questions = Questions(self.market)
        recorded = RecordedAnswers(folder)
        self.gamma = Gamma(self.market, self.questions, recorded)
        self.clob = Clob(self.market, self.questions, recorded)

    def window(self, symbol: str, start: int) -> tuple[Question, dict[str, Any]]:
        slug = f"{symbol.lower()}-updown-5m-{start // 1000}"
        (item,) = self.gamma.markets({"slug": slug}, NOW)
        event = next(event for event in self.questions.listed(NOW) if event.slug == slug)
        return event.questions[0], item


@pytest.fixture
def polymarket(truth: SyntheticMarket) -> _Polymarket:
    return _Polymarket(truth)


@pytest.mark.recordings
def test_a_window_has_the_recorded_keys_and_types(polymarket: _Polymarket, recordings: Path) -> None:
    real = json.loads((recordings / "polymarket" / "gamma_market_btc_updown_5m.json").read_text())
    _, ours = polymarket.window("BTC", NOW)
    assert set(ours) == set(real)
    assert {k: type(v) for k, v in ours.items() if k not in ("competitive",)} == {
        k: type(v) for k, v in real.items() if k not in ("competitive",)
    }
    assert set(ours["events"][0]) == set(real["events"][0])
    assert set(ours["events"][0]["series"][0]) == set(real["events"][0]["series"][0])
    assert ours["events"][0]["series"][0]["id"] == "10684"


@pytest.mark.recordings
def test_strikes_and_search_have_the_recorded_keys(polymarket: _Polymarket, recordings: Path) -> None:
    real = json.loads((recordings / "polymarket" / "gamma_public_search_bitcoin_above.json").read_text())
    ours = polymarket.gamma.search({"q": "bitcoin above"}, NOW)
    assert set(ours["pagination"]) == set(real["pagination"])
    event, recorded = ours["events"][0], real["events"][0]
    assert set(event) == set(recorded)
    assert set(event["markets"][0]) == set(recorded["markets"][0])
    assert {"id", "label", "slug"} <= set(event["tags"][0])


def test_a_window_says_when_it_starts_and_ends(polymarket: _Polymarket) -> None:
    _, item = polymarket.window("BTC", NOW)
    assert (item["eventStartTime"], item["endDate"]) == (iso(NOW), iso(NOW + 5 * MINUTE_MS))
    assert parse_time(item["startDate"]) == NOW - DAY_MS
    assert json.loads(item["outcomes"]) == ["Up", "Down"]
    assert len(json.loads(item["clobTokenIds"])) == 2
    assert item["events"][0]["startTime"] == iso(NOW)


def test_general_lists_show_windows_two_hours_ahead_and_series_all_of_them(polymarket: _Polymarket) -> None:
    listed = [event["slug"] for event in polymarket.gamma.events(CRYPTO, NOW)]
    shown = [slug for slug in listed if slug.startswith("btc-updown-5m-")]
    assert len(shown) == 25
    whole = polymarket.gamma.events({"closed": "false", "series_id": "10684"}, NOW)
    assert len(whole) == 289, "a day ahead, and the running one"
    far = f"btc-updown-5m-{(NOW + 20 * HOUR_MS) // 1000}"
    assert far not in listed
    assert [event["slug"] for event in polymarket.gamma.events({"slug": far}, NOW)] == [far]


def test_tags_dates_and_order_filter(polymarket: _Polymarket) -> None:
    politics = polymarket.gamma.events({"tag_slug": "politics"}, NOW)
    assert [event["slug"] for event in politics] == ["election-winner-2026"]
    assert "election-winner-2026" not in [event["slug"] for event in polymarket.gamma.events(CRYPTO, NOW)]
    query = CRYPTO | {"end_date_min": iso(NOW), "end_date_max": iso(NOW + HOUR_MS), "order": "endDate"}
    ends = [event["endDate"] for event in polymarket.gamma.events(query, NOW)]
    assert ends == sorted(ends)
    assert set(ends) >= {iso(NOW + 5 * MINUTE_MS), iso(NOW + HOUR_MS)}
    assert polymarket.gamma.events({"tag_id": "235", "closed": "false"}, NOW)


def _pages(items: list[dict[str, Any]], size: int) -> Iterator[list[str]]:
    query = {"limit": str(size)}
    while True:
        body = gamma.page(items, "events", query, gamma.EVENTS_A_PAGE)
        yield [item["id"] for item in body["events"]]
        if "next_cursor" not in body:
            return
        query = {"limit": str(size), "after_cursor": body["next_cursor"]}


def test_keyset_pages_hold_everything_once_and_the_last_has_no_cursor(polymarket: _Polymarket) -> None:
    items = polymarket.gamma.events(CRYPTO, NOW)
    paged = list(_pages(items, 60))
    assert [ident for page in paged for ident in page] == [item["id"] for item in items]
    assert len({item["id"] for item in items}) == len(items)
    assert len(paged) > 3


def test_a_wrong_cursor_name_repeats_the_first_page_and_an_offset_is_refused(polymarket: _Polymarket) -> None:
    items = polymarket.gamma.events(CRYPTO, NOW)
    first = gamma.page(items, "events", {}, 500)
    assert gamma.page(items, "events", {"cursor": first["next_cursor"]}, 500) == first
    for query in ({"offset": "20"}, {"limit": "many"}, {"after_cursor": "?"}):
        with pytest.raises(BadQuery):
            gamma.page(items, "events", query, 500)
    assert gamma.offset_page(items, {"offset": "20", "limit": "5"}, 500) == items[20:25]


def test_prices_sum_to_one_and_follow_the_market(polymarket: _Polymarket, truth: SyntheticMarket) -> None:
    start = truth.minutes("BTC", NOW - MINUTE_MS, NOW).c[0]
    for minute in (1, 2, 3, 4):
        question, _ = polymarket.window("BTC", NOW)
        now = NOW + minute * MINUTE_MS + 30_000
        price = polymarket.market.price("BTC", now)
        quote = odds.quote(polymarket.market, question, now)
        up, down = map(float, quote.prices())
        assert up + down == pytest.approx(1)
        assert 0 < quote.bid < quote.ask < 10_000
        if abs(price / start - 1) > 3e-4:
            assert (up > 0.5) == (price > start)


def test_strikes_are_the_less_likely_the_higher(polymarket: _Polymarket) -> None:
    found = polymarket.gamma.search({"q": "bitcoin above july 25"}, NOW)["events"]
    (event,) = found
    markets = sorted(event["markets"], key=lambda item: float(item["groupItemTitle"].replace(",", "")))
    chances = [float(json.loads(item["outcomePrices"])[0]) for item in markets]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > chances[-1] + 0.3
    assert event["endDate"] == "2025-07-25T16:00:00Z", "noon in New York, in summer"


def test_a_closed_market_pays_exactly_one_outcome_and_up_wins_when_the_price_did_not_fall(
    polymarket: _Polymarket, truth: SyntheticMarket
) -> None:
    slugs = set()
    for place in range(1, 20):
        start = NOW - place * 5 * MINUTE_MS
        question, _ = polymarket.window("ETH", start)
        first, last = (truth.minutes("ETH", at - MINUTE_MS, at).c[0] for at in (start, start + 5 * MINUTE_MS))
        (item,) = polymarket.gamma.markets({"slug": question.slug}, NOW)
        assert item["closed"]
        assert json.loads(item["outcomePrices"]) == (["1", "0"] if last >= first else ["0", "1"])
        assert "closedTime" in item
        slugs.add(json.loads(item["outcomePrices"])[0])
        winners = [token["winner"] for token in polymarket.clob.market(question.condition_id, NOW)["tokens"]]  # type: ignore[index]
        assert winners == ([True, False] if last >= first else [False, True])
    assert slugs == {"0", "1"}


def test_strikes_and_ids_do_not_change_while_time_passes(truth: SyntheticMarket) -> None:
    def named(now: int) -> dict[str, str]:
        events = Questions(LiveMarket(truth)).listed(now)
        return {q.slug: q.market_id for event in events if event.family != "window" for q in event.questions}

    early, late = named(NOW), named(NOW + 6 * HOUR_MS)
    still_there = {slug for slug in early if "up-or-down" not in slug and "july-22" not in slug}
    assert still_there <= set(late)
    assert all(late[slug] == early[slug] for slug in still_there)
    assert len(set(early.values())) == len(early)


def test_a_book_has_its_best_levels_last_and_matches_gamma(polymarket: _Polymarket) -> None:
    question, item = polymarket.window("BTC", NOW)
    for place, token in enumerate(json.loads(item["clobTokenIds"])):
        book = polymarket.clob.book(token, NOW)
        assert book is not None
        bids, asks = ([float(level["price"]) for level in book[side]] for side in ("bids", "asks"))
        assert bids == sorted(bids)
        assert asks == sorted(asks, reverse=True)
        assert bids[-1] < asks[-1]
        middle = float(polymarket.clob.midpoint(token, NOW)["mid"])  # type: ignore[index]
        assert middle == pytest.approx(float(json.loads(item["outcomePrices"])[place]))
        assert float(polymarket.clob.price(token, "BUY", NOW)["price"]) == bids[-1]  # type: ignore[index]
        assert float(polymarket.clob.price(token, "SELL", NOW)["price"]) == asks[-1]  # type: ignore[index]
    assert book["market"] == question.condition_id
    assert polymarket.clob.book("17", NOW) is None
    assert polymarket.clob.book(token, NOW + 6 * MINUTE_MS) is None, "a decided market has no book"


@pytest.mark.recordings
def test_a_book_has_the_recorded_keys_and_the_newer_ones(truth: SyntheticMarket, recordings: Path) -> None:
    polymarket = _Polymarket(truth, recordings)
    real = json.loads((recordings / "polymarket" / "clob_book.json").read_text())
    assert polymarket.clob.book(real["asset_id"], NOW) == real, "the recorded token answers as recorded"
    question, _ = polymarket.window("BTC", NOW)
    ours = polymarket.clob.book(question.token_ids[0], NOW)
    assert ours is not None
    assert set(ours) == set(real) | {"min_order_size", "tick_size", "neg_risk", "last_trade_price"}
    assert len(ours["hash"]) == len(real["hash"])


def test_price_history_is_on_its_grid_and_too_fine_for_a_resolved_market(polymarket: _Polymarket) -> None:
    question, _ = polymarket.window("BTC", NOW)
    points = polymarket.clob.history(question.token_ids[0], NOW - HOUR_MS, NOW, 10, NOW)["history"]
    assert [point["t"] * 1000 for point in points] == list(range(NOW - HOUR_MS + 600_000, NOW + 1, 600_000))
    assert all(0 < point["p"] < 1 for point in points)
    assert polymarket.clob.history("17", 0, NOW, 10, NOW) == {"history": []}
    past, _ = polymarket.window("BTC", NOW - HOUR_MS)
    assert polymarket.clob.history(past.token_ids[0], 0, NOW, 10, NOW) == {"history": []}


@pytest.mark.recordings
def test_recorded_items_answer_by_name_and_are_listed_from_their_time_on(
    truth: SyntheticMarket, recordings: Path
) -> None:
    polymarket = _Polymarket(truth, recordings)
    slug = "btc-updown-5m-1773307200"
    real = json.loads((recordings / "polymarket" / "gamma_market_btc_updown_5m.json").read_text())
    assert polymarket.gamma.markets({"slug": slug}, NOW) == [real]
    everything = [event["slug"] for event in polymarket.gamma.events({"closed": "false"}, NOW)]
    assert "democratic-presidential-nominee-2028" in everything, "put up on 2025-07-11"
    assert "bitcoin-above-on-march-11" not in everything, "put up in 2026"
    assert "democratic-presidential-nominee-2028" not in [e["slug"] for e in polymarket.gamma.events(CRYPTO, NOW)]
    found = polymarket.gamma.search({"q": "bitcoin above march 11"}, NOW)["events"]
    assert [event["slug"] for event in found] == ["bitcoin-above-on-march-11"]


@pytest.mark.parametrize(
    ("day", "noon"),
    [("2025-07-23", "16:00"), ("2025-01-15", "17:00"), ("2025-03-08", "17:00"), ("2025-03-09", "16:00"),
     ("2025-11-01", "16:00"), ("2025-11-02", "17:00")],
)  # fmt: skip
def test_new_york_changes_its_clocks(day: str, noon: str) -> None:
    at = noon_eastern(parse_time(day))
    assert iso(at)[11:16] == noon
    assert eastern(at).hour == 12
