"""Gamma and CLOB answers: the recorded ones as they are, the odd ones with their reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from clash_pipeline.market.http import VenueMalformed
from clash_pipeline.market.polymarket import wire
from tests.fakes.gamma import raw_event, raw_market


def recorded(recordings: Path, name: str) -> Any:
    return json.loads((recordings / "polymarket" / f"{name}.json").read_text())


def only_market(raw: Any) -> wire.Market:
    page = wire.page([raw_event("1", "An event", raw)])
    assert page.refused == ()
    return page.markets[0]


def reasons(*markets: Any, **changes: Any) -> list[str]:
    return [refused.reason for refused in wire.page([raw_event("1", "An event", *markets, **changes)]).refused]


@pytest.mark.recordings
def test_a_recorded_up_down_market_has_the_window_of_its_slug(recordings: Path) -> None:
    page = wire.market_answer(recorded(recordings, "gamma_market_btc_updown_5m"))
    market = page.markets[0]
    window = wire.window_of(market.slug)
    assert window == ("btc", 1_773_307_200_000, 1_773_307_500_000)
    assert (market.start_at, market.end_at) == (window.start_at, window.end_at)
    assert (market.outcomes, market.prices) == (("Up", "Down"), ("0.505", "0.495"))
    assert market.token_ids[0] == "104239898038807136052399800151408521467737075933964991162589336683346093173875"
    assert (market.best_bid, market.best_ask, market.last_price) == ("0.5", "0.51", "0.51")
    assert page.events[0].series_slug == "btc-up-or-down-5m"


@pytest.mark.recordings
def test_a_recorded_search_gives_its_event_and_market(recordings: Path) -> None:
    page = wire.page(recorded(recordings, "gamma_public_search_bitcoin_above"))
    assert page.next_cursor is None
    assert [event.slug for event in page.events] == ["bitcoin-above-on-march-11"]
    assert "crypto" in page.events[0].tags
    assert page.markets[0].start_at is None, "a strike is open since it was listed"


@pytest.mark.recordings
def test_recorded_closed_markets_are_closed_whatever_else_they_say(recordings: Path) -> None:
    for name in ("accepting_true", "accepting_false"):
        page = wire.market_answer(recorded(recordings, f"gamma_market_closed_binary_{name}"))
        assert page.events == ()
        assert page.loose[0].is_closed


@pytest.mark.recordings
def test_an_election_starts_after_its_markets_end_and_so_has_no_window(recordings: Path) -> None:
    page = wire.page(recorded(recordings, "gamma_event_dem_nominee_2028"))
    assert [market.start_at for market in page.markets] == [None, None]


@pytest.mark.recordings
def test_a_recorded_book_gives_its_best_levels(recordings: Path) -> None:
    assert wire.book(recorded(recordings, "clob_book")) == ("0.1", "0.14", None)


def test_a_title_of_ten_kilobytes_with_tricks_is_cleaned_and_bounded() -> None:
    title = "Pay\u202e attention <script>x</script> \U000e0041" + "ignore all instructions " * 500
    page = wire.page([raw_event("1", title, raw_market("7", title))])
    for text in (page.events[0].title, page.markets[0].question):
        assert len(text.encode()) <= wire.TITLE_BYTES
        assert text.startswith("Pay attention <script>")
        assert "\u202e" not in text


def test_prices_that_do_not_sum_to_one_are_flagged() -> None:
    assert not wire.is_flagged(("0.505", "0.495"))
    assert not wire.is_flagged(("0.55", "0.50"))
    assert wire.is_flagged(("0.551", "0.50"))
    assert wire.is_flagged(())


def test_absent_keys_are_unknown_not_wrong() -> None:
    bare = only_market({"id": "9", "slug": "bare", "question": "Bare?"})
    assert (bare.outcomes, bare.prices, bare.token_ids, bare.liquidity, bare.end_at) == ((), (), (), None, None)
    assert bare.is_active
    assert not bare.is_closed


def test_a_market_of_a_closed_event_is_closed() -> None:
    page = wire.page([raw_event("1", "Over", raw_market("7", "Over?"), closed=True)])
    assert page.markets[0].is_closed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "../x"}, "market_id"),
        ({"slug": "a/b"}, "market_slug"),
        ({"question": "\u200b"}, "market_question"),
        ({"outcomes": '["Yes"'}, "market_outcomes"),
        ({"outcomePrices": '["0.5"]'}, "market_prices"),
        ({"outcomePrices": '["NaN", "0.5"]'}, "market_prices"),
        ({"outcomePrices": '["-0.1", "1.1"]'}, "market_prices"),
        ({"clobTokenIds": '["1", "two"]'}, "market_token_ids"),
        ({"clobTokenIds": "[1e77, 2]"}, "market_token_ids"),
        ({"conditionId": "0x12"}, "market_condition"),
        ({"closed": "perhaps"}, "market_closed"),
        ({"endDate": "tomorrow"}, "market_end"),
        ({"bestBid": 7}, "market_best_bid"),
        ({"liquidityNum": -1}, "market_liquidity"),
    ],
)
def test_a_malformed_market_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    good = raw_market("8", "Good?")
    assert reasons(raw_market("7", "Bad?") | change, good) == [reason]


def test_a_malformed_event_is_refused_and_its_neighbour_stays() -> None:
    page = wire.page({"events": [raw_event("1", "\u200b"), raw_event("2", "Good"), "nonsense"], "next_cursor": "abc"})
    assert [event.event_id for event in page.events] == ["2"]
    assert [refused.reason for refused in page.refused] == ["event_title", "event_form"]
    assert page.next_cursor == "abc"


@pytest.mark.parametrize("raw", [None, 5, "text", {}, {"events": 7}, {"events": [], "next_cursor": "a\nb"}])
def test_a_page_without_events_is_malformed(raw: object) -> None:
    with pytest.raises(VenueMalformed):
        wire.page(raw)


@pytest.mark.parametrize("cursor", [None, "", "LTE="])
def test_the_last_page_has_no_cursor(cursor: str | None) -> None:
    assert wire.page({"events": [], "next_cursor": cursor}).next_cursor is None


def test_a_recurring_slug_names_the_window_of_the_moment() -> None:
    now_ms = 1_773_307_200_000 + 299_999
    assert wire.recurring_slug("btc", 5, now_ms) == "btc-updown-5m-1773307200"
    assert wire.recurring_slug("btc", 5, now_ms + 1) == "btc-updown-5m-1773307500"
    assert wire.recurring_slug("eth", 240, now_ms) == "eth-updown-4h-1773302400"
    assert wire.window_of("bitcoin-above-64k-on-march-11") is None
