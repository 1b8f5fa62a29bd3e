"""A sane candle is recognised, an insane one is named; and the table takes them in any order, any number of times."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market import candles
from clash_pipeline.market.candles import Candle, Written
from clash_pipeline.storage.sqlite import Database, IntegrityError
from clash_pipeline.units import Grid, Rounding, scaled_text

T = 1_753_099_980_000
BTC = Grid("perp", 5)


def minute(t: int = T, o="100.0", h="110.0", l="90.0", c="105.0", v="1.5", n=3, symbol="BTC") -> Candle:  # noqa: E741
    return Candle(symbol, t, o, h, l, c, v, n)


@pytest.mark.parametrize(
    ("candle", "code"),
    [
        (minute(l="0"), "not_positive"),
        (minute(l="-1"), "bad_price"),
        (minute(c="NaN"), "bad_price"),
        (minute(c="1e-9"), "bad_price"),
        (minute(c=""), "bad_price"),
        (minute(c="1_0"), "bad_price"),
        (minute(c="١٠٠"), "bad_price"),
        (minute(o="1 2", h=""), "bad_price"),
        (minute(c="1" * 30), "price_too_long"),
        (minute(c="100." + "0" * 30), "price_too_long"),
        (minute(h="89", o="89", c="89"), "high_below_low"),
        (minute(o="111"), "outside_range"),
        (minute(c="89.9"), "outside_range"),
        (minute(c="100.05"), "off_tick"),
        (minute(o="99.123", h="100", l="99", c="99.1"), "off_tick"),
        (minute(v="-1"), "bad_volume"),
        (minute(v="1e5"), "bad_volume"),
        (minute(n=-1), "bad_count"),
        (minute(t=T + 1), "off_interval"),
        (minute(t=-60_000), "off_interval"),
    ],
)
def test_each_kind_of_nonsense_has_its_own_code(candle: Candle, code: str) -> None:
    assert candles.problem(candle, grid=BTC) == code


@given(
    st.sampled_from(["100.0", "105.0", "110.0", "90.0", "95.5", "111.0", "NaN", "100.05", ""]),
    st.sampled_from(["1.5", "2.25", "-1", "1e3", ""]),
    st.sampled_from(["110.0", "112.0", "x"]),
    st.sampled_from([3, 4, -1]),
)
def test_a_later_state_is_judged_as_if_it_were_the_first(close: str, volume: str, high: str, n: int) -> None:
    candle = minute(c=close, v=volume, h=high, n=n)
    found = candles.problem_after(candle, minute(), grid=BTC)
    assert (found is None) == (candles.problem(candle, grid=BTC) is None)


@pytest.mark.parametrize(
    "candle",
    [
        minute(),
        minute(v="3495670.8399999999"),
        minute(o="100000", h="123456.0", l="1", c="100000.0"),  # whole prices are always on the grid
        minute(o="5", h="5", l="5", c="5", v="0", n=0),
    ],
)
def test_what_the_venue_really_sends_is_sane(candle: Candle) -> None:
    assert candles.problem(candle, grid=BTC) is None


@given(st.integers(1, 10**7), st.integers(0, 5))
def test_the_tick_rule_on_text_agrees_with_the_grid_in_integers(scaled: int, sz_decimals: int) -> None:
    grid = Grid("perp", sz_decimals)
    text = scaled_text(scaled, grid.px_decimals)
    assert candles.is_on_tick(text, grid) == grid.on_tick(scaled)
    rounded = grid.round_price(scaled, Rounding.CEIL)
    assert candles.is_on_tick(scaled_text(rounded, grid.px_decimals), grid)


def write(market: Database, *rows: Candle, final=False, known_at=T, origin="stream", interval="1m") -> Written:
    with market.write() as connection:
        return candles.store(connection, rows, interval=interval, origin=origin, final=final, known_at=known_at)


def stored(market: Database, **question) -> list[candles.StoredCandle]:
    with market.read() as connection:
        return candles.read(connection, "BTC", interval="1m", from_t=T, to_t=T + 10 * MINUTE_MS, **question)


def test_storing_twice_leaves_one_row(market: Database) -> None:
    assert write(market, minute()) == Written(1, 0, 0, (), ())
    assert write(market, minute()) == Written(0, 0, 1, (), ())
    assert [row.candle for row in stored(market)] == [minute()]


def test_running_totals_grow_and_an_older_state_is_ignored(market: Database) -> None:
    newer = minute(c="106.0", v="2", n=4)
    assert write(market, minute(), newer).changed == 1
    assert write(market, minute()).unchanged == 1
    assert [row.candle for row in stored(market)] == [newer]


def test_a_final_row_never_changes_and_the_differing_candle_comes_back(market: Database) -> None:
    write(market, minute(), final=True)
    other = minute(c="106.0", n=4)
    assert write(market, other, final=True).conflicts == (other,)
    assert write(market, other).conflicts == (other,)
    assert [(row.candle, row.final) for row in stored(market)] == [(minute(), 1)]


def test_an_older_running_state_is_no_conflict_with_a_final_row(market: Database) -> None:
    write(market, minute(n=5), final=True)
    assert write(market, minute(n=4, c="101.0")) == Written(0, 0, 1, (), ())


def test_the_schema_itself_refuses_to_change_a_final_row(market: Database) -> None:
    write(market, minute(), final=True)
    with pytest.raises(IntegrityError, match="final candle never changes"), market.write() as connection:
        connection.execute("UPDATE hyperliquid_candles SET c = '1'")


def test_becoming_final_is_a_change_that_keeps_the_time_it_was_known(market: Database) -> None:
    write(market, minute(), known_at=T + 1)
    assert write(market, minute(v="1.50"), final=True, known_at=T + 9, origin="rest") == Written(0, 1, 0, (), ())
    assert write(market, minute(), known_at=T + 12) == Written(0, 0, 1, (), ())
    (row,) = stored(market)
    assert (row.final, row.known_at, row.origin, row.v) == (1, T + 1, "rest", "1.5")


def test_a_confirmation_with_other_values_wins_over_a_row_that_is_not_final(market: Database) -> None:
    write(market, minute(n=9), known_at=T + 1)
    write(market, minute(n=8), final=True, known_at=T + 2, origin="rest")
    assert [(row.n, row.final, row.known_at) for row in stored(market)] == [(8, 1, T + 2)]


def test_reading_as_of_sees_what_was_known_then(market: Database) -> None:
    write(market, minute(n=3), known_at=T + 100)
    write(market, minute(n=5, c="99.0"), known_at=T + 200)
    write(market, minute(t=T + MINUTE_MS), known_at=T + 300)
    assert stored(market, as_of=T + 99) == []
    assert [row.n for row in stored(market, as_of=T + 100)] == [3]
    assert [row.n for row in stored(market, as_of=T + 199)] == [3]
    assert [row.n for row in stored(market, as_of=T + 200)] == [5]
    assert [row.t - T for row in stored(market, as_of=T + 300)] == [0, MINUTE_MS]


def test_a_volume_written_another_way_is_no_conflict(market: Database) -> None:
    write(market, minute(v="3495670.8399999999"), final=True)
    assert write(market, minute(v="3495670.84"), final=True).conflicts == ()


def test_every_order_of_the_same_states_ends_in_the_same_row(market: Database) -> None:
    """Two running states and the confirmed one: six orders, one outcome (D6 in small)."""
    states = [(minute(n=1), False), (minute(n=2, v="2"), False), (minute(n=3, v="3"), True)]
    for index, order in enumerate(itertools.permutations(states)):
        for candle, final in order:
            write(market, candle._replace(symbol=f"S{index}"), final=final)
    with market.read() as connection:
        rows = candles.frame(connection, interval="1m", from_t=T, to_t=T + 1).select("n", "v", "final").unique().rows()
    assert rows == [(3, "3", 1)]


def test_a_frame_covers_all_symbols_or_those_asked_for(market: Database) -> None:
    write(market, minute(symbol="ETH"), minute(), minute(t=T + MINUTE_MS), known_at=T)
    write(market, minute(t=T + 2 * MINUTE_MS), final=True, known_at=T + 5)
    write(market, minute(n=7), known_at=T + 9)
    span = {"interval": "1m", "from_t": T, "to_t": T + 3 * MINUTE_MS}
    with market.read() as connection:
        everything = candles.frame(connection, **span)
        assert everything.columns == list(candles.StoredCandle._fields)
        assert everything["symbol"].to_list() == ["BTC", "BTC", "BTC", "ETH"]
        assert candles.frame(connection, **span, symbols=["ETH"]).height == 1
        assert candles.frame(connection, **span, symbols=[]).height == 0
        assert candles.frame(connection, **span, final_only=True)["t"].to_list() == [T + 2 * MINUTE_MS]
        then = candles.frame(connection, **span, as_of=T + 4)
        assert then.select("symbol", "n").rows() == [("BTC", 3), ("BTC", 3), ("ETH", 3)]
        assert candles.followed(connection) == ["BTC", "ETH"]


def test_the_running_hour_is_replaced_even_by_fewer_trades(market: Database) -> None:
    """A corrected minute can make the hour's count fall; the rollup is always the newer word."""
    hour = minute(t=T - T % 3_600_000, n=50)
    write(market, hour, interval="1h", origin="rollup")
    assert write(market, hour._replace(n=49), interval="1h", origin="rollup").changed == 1


def test_a_page_that_overlaps_in_places_is_counted_row_by_row(market: Database) -> None:
    """Of six minutes the first is there unchanged, the third running, and the last final with other values."""
    page = [minute(t=T + number * MINUTE_MS, n=5) for number in range(6)]
    write(market, page[0], final=True)
    write(market, page[2]._replace(n=4))
    write(market, page[5]._replace(c="106.0"), final=True)
    assert write(market, *page, final=True, origin="rest") == Written(3, 1, 1, (page[5],), (page[2],))
    assert [(row.n, row.c, row.final) for row in stored(market)] == [(5, "105.0", 1)] * 5 + [(5, "106.0", 1)]
