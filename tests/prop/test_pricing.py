"""Prices of memory: the common fill instant, what a mark rests on, spread classes by volume rank, one pass for many."""

import pytest

from clash_pipeline.prop import pricing
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.case import Instant
from clash_pipeline.prop.policy import BASIS_POINT, SPREAD_CLASSES, race
from clash_pipeline.prop.pricing import Liquidity
from clash_pipeline.units import USD
from tests.fakes import market_rows
from tests.fakes.desk import Desk

MINUTE = 60_000


def racing(desk: Desk) -> int:
    """A race account; returns the tick whose minute has closed five seconds ago, with fresh mids far from its close."""
    tick = desk.clock.now_ms() // MINUTE * MINUTE
    desk.clock.set(tick + MINUTE + 5_000)
    desk.open(kind="race", terms=race(desk.settings), ends_at=tick + 21_600_000)
    desk.price("BTC", "110")
    return tick


def test_every_run_of_a_tick_is_filled_at_the_final_close_of_its_minute(desk: Desk) -> None:
    """Tick t, minute [t, t + 60 s), close 100: 0.5 bp + 2.7 bp, whoever is applied when; the mid of 110 is nothing."""
    tick = racing(desk)
    market_rows.candle(desk.market, "BTC", tick, "100", volume="1000")
    first = desk.order("open_long", size_pct="5", instant=Instant(tick))
    desk.open(kind="race", terms=race(desk.settings))
    desk.clock.advance(30_000)
    desk.price("BTC", "120")
    second = desk.order("open_long", size_pct="5", instant=Instant(tick))
    assert [result.fills[0].price for result in (first, second)] == ["100.03", "100.03"]
    assert [result.fills[0].price_age_ms for result in (first, second)] == [5_000, 35_000]
    assert first.figures["fill_minute"] == tick
    assert first.figures["price_source"] == "candle"
    assert audit(desk.clash).is_clean


@pytest.mark.parametrize(
    ("candle", "why"),
    [({}, "no candle"), ({"final": False}, "not final"), ({"volume": "0.0"}, "no trade"), (None, "no tick")],
)
def test_a_minute_that_is_missing_open_or_without_a_trade_refuses(
    desk: Desk, candle: dict[str, object] | None, why: str
) -> None:
    tick = racing(desk)
    if candle:
        market_rows.candle(desk.market, "BTC", tick, "100", **candle)  # type: ignore[arg-type]
    market_rows.candle(desk.market, "BTC", tick - MINUTE, "100")
    result = desk.order("open_long", instant=Instant(None if why == "no tick" else tick))
    assert result.reject_code == "price_unavailable"
    assert (result.figures["why"], result.figures["symbol"]) == (why, "BTC")
    assert desk.view()["fills"] == []


def test_waiting_helps_only_until_the_minute_is_final(desk: Desk) -> None:
    """What the fill sensor asks: a flat final minute is settled, an open or missing one is not."""
    tick, now = desk.clock.now_ms() // MINUTE * MINUTE - MINUTE, desk.clock.now_ms()

    def common() -> pricing.CommonClose | None:
        return desk.venue.quotes(["BTC"], now, fill_minute=tick)["BTC"].common

    found = common()
    assert found is not None
    assert not found.is_settled
    for final, volume, is_settled in ((False, "1", False), (True, "0.0", True)):
        market_rows.candle(desk.market, "BTC", tick, "100", final=final, volume=volume)
        found = common()
        assert found is not None
        assert found.is_settled is is_settled


def test_a_price_older_than_the_newest_datum_of_the_packet_refuses(desk: Desk) -> None:
    tick = racing(desk)
    market_rows.candle(desk.market, "BTC", tick, "100", volume="1000")
    late = desk.order("open_long", size_pct="5", instant=Instant(tick, newest_datum_at=tick + MINUTE + 1))
    assert (late.reject_code, late.figures["price_at"]) == ("price_stale", tick + MINUTE)
    fine = desk.order("open_long", size_pct="5", instant=Instant(tick, newest_datum_at=tick + MINUTE))
    assert fine.status == "filled"


def test_a_common_close_is_stale_after_the_age_of_a_candle(desk: Desk) -> None:
    tick = racing(desk)
    market_rows.candle(desk.market, "BTC", tick, "100", volume="1000")
    desk.clock.set(tick + MINUTE + 75_000)
    assert desk.order("open_long", size_pct="5", instant=Instant(tick)).status == "filled"
    desk.clock.advance(1)
    assert desk.order("close", instant=Instant(tick)).reject_code == "price_stale"


def test_a_correction_known_later_is_not_seen_earlier(desk: Desk) -> None:
    tick = racing(desk)
    market_rows.candle(desk.market, "BTC", tick, "100", known_at=desk.clock.now_ms() + 1)
    assert desk.order("open_long", instant=Instant(tick)).figures["why"] == "no candle"


@pytest.mark.parametrize(
    ("rank", "tenths_of_bp"),
    [(1, 5), (5, 5), (6, 17), (20, 17), (21, 48), (50, 48), (51, 63), (100, 63), (101, 170), (None, 170)],
)
def test_half_spreads_by_volume_rank(rank: int | None, tenths_of_bp: int) -> None:
    unknown = Liquidity(None, 2_000_000, 10**9 * USD, 168, "context", rank)
    assert pricing.half_spread(unknown) == tenths_of_bp * BASIS_POINT // 10
    assert [found.last_rank for found in SPREAD_CLASSES] == sorted(found.last_rank for found in SPREAD_CLASSES)


def test_a_known_spread_is_taken_but_not_below_half_a_basis_point() -> None:
    assert pricing.half_spread(Liquidity(0, None, None, 0, None, 101)) == BASIS_POINT // 2
    assert pricing.half_spread(Liquidity(90_000, None, None, 0, None, 1)) == 90_000


def test_ranks_count_the_perps_with_more_volume(desk: Desk) -> None:
    """Spot and delisted assets are no rungs; equal volumes share the better rank."""
    now = desk.clock.now_ms()
    for symbol, volume, more in (
        ("AAA", "500", {}), ("BBB", "400", {}), ("CCC", "400", {}), ("OLD", "900", {"delisted": True}),
        ("USDH", "950", {"kind": "spot"}),
    ):  # fmt: skip
        market_rows.list_asset(desk.market, symbol, **more)  # type: ignore[arg-type]
        market_rows.context(desk.market, symbol, now, mark="1", day_volume=volume)
    quotes = desk.venue.quotes(["AAA", "BBB", "CCC", "BTC"], now)
    ranks = {symbol: quote.liquidity.volume_rank for symbol, quote in quotes.items()}
    assert ranks == {"AAA": 2, "BBB": 3, "CCC": 3, "BTC": None}  # BTC's spread is known, nobody asks for its rank


def test_an_old_context_says_nothing_about_liquidity(desk: Desk) -> None:
    now = desk.clock.now_ms()
    assert desk.venue.quotes(["BTC"], now + 600_000)["BTC"].liquidity.day_volume == 10**9 * USD
    assert desk.venue.quotes(["BTC"], now + 600_001)["BTC"].liquidity == Liquidity(None, None, None, 0, None)


def test_the_mark_is_the_venues_for_ninety_seconds_then_the_median_of_five_final_closes(desk: Desk) -> None:
    now, terms = desk.clock.now_ms(), race(desk.settings)
    for number, price in enumerate(["101", "99", "500", "100", "98", "97"]):
        market_rows.candle(desk.market, "BTC", now // MINUTE * MINUTE - (6 - number) * MINUTE, price, final=number != 5)
    quote = desk.venue.quotes(["BTC"], now)["BTC"]
    for later, source, text in ((90_000, "venue", "100"), (90_001, "closes", "100")):
        mark = quote.mark(terms, now + later)
        assert mark is not None
        assert (mark.source, mark.text) == (source, text)
    last = now // MINUTE * MINUTE - MINUTE
    assert quote.mark(terms, last + 600_000) is not None
    assert quote.mark(terms, last + 600_001) is None


def test_a_mid_that_jumped_is_not_traded_on(desk: Desk) -> None:
    """20 % from the last close is still trusted, more is not (09 §5.1.6)."""
    now = desk.clock.now_ms()
    market_rows.candle(desk.market, "BTC", now // MINUTE * MINUTE - MINUTE, "100")
    for mid, source in (("120", "mid"), ("120.01", "candle"), ("80", "mid"), ("79.99", "candle")):
        market_rows.mid(desk.market, "BTC", mid, now)
        reference = desk.venue.quotes(["BTC"], now)["BTC"].reference(race(desk.settings), now)
        assert reference is not None
        assert reference.source == source


def test_a_trade_among_quiet_minutes_is_found(desk: Desk) -> None:
    """Seven minutes without a trade: the pass looks further back than its first few."""
    now = desk.clock.now_ms()
    market_rows.list_asset(desk.market, "ETH")
    market_rows.closes(desk.market, "ETH", now - 10 * MINUTE, ["2000"])
    market_rows.closes(desk.market, "ETH", now, ["2000"] * 10, volume="0.0")
    (reference,) = desk.venue.quotes(["ETH"], now)["ETH"].references
    assert reference.at == now // MINUTE * MINUTE - 10 * MINUTE


def test_one_pass_for_many_says_what_many_passes_say(desk: Desk) -> None:
    now = desk.clock.now_ms()
    for number in range(12):
        symbol = f"X{number}"
        market_rows.list_asset(desk.market, symbol)
        market_rows.closes(desk.market, symbol, now, [str(100 + number)] * (number + 1))
        if number % 3:
            desk.price(symbol, str(100 + number), day_volume=str(10**6 * number))
    wanted = [f"X{number}" for number in range(12)] + ["BTC", "PURR/USDC", "NOPE"]
    minute = now // MINUTE * MINUTE - MINUTE
    together = desk.venue.quotes(wanted, now, fill_minute=minute)
    assert together == {symbol: desk.venue.quotes([symbol], now, fill_minute=minute)[symbol] for symbol in wanted}
    assert together["NOPE"].asset is None
