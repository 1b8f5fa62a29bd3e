"""Hours made of minutes: who votes, exact sums, finality, and what a refresh writes."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market import candles, rollup
from clash_pipeline.market.candles import Candle, flat
from clash_pipeline.storage.sqlite import Database
from tests.market.made_up import put, walk

HOUR = 1_753_099_200_000
"""2025-07-21T12:00Z."""
FIELDS = {"symbol": pl.String, "t": pl.Int64, "o": pl.String, "h": pl.String, "l": pl.String, "c": pl.String,
          "v": pl.String, "n": pl.Int64, "final": pl.Int64}  # fmt: skip


def minute(k: int, o: str, h: str, l: str, c: str, v: str, n: int) -> Candle:  # noqa: E741
    return Candle("BTC", HOUR + k * MINUTE_MS, o, h, l, c, v, n)


def made(minutes: list[Candle], final: int = 1) -> list[tuple[object, ...]]:
    frame = pl.DataFrame([(*candle, final) for candle in minutes], schema=FIELDS, orient="row")
    return rollup.hours(frame).rows()


def test_open_first_high_max_low_min_close_last_and_sums() -> None:
    minutes = [
        minute(0, "10.5", "11.0", "10.0", "10.8", "1.25", 3),
        minute(1, "10.8", "12.5", "10.7", "12.0", "0.75", 2),
        minute(2, "12.0", "12.1", "9.5", "9.9", "2", 4),
    ]
    assert made(minutes) == [("BTC", HOUR, "10.5", "12.5", "9.5", "9.9", "4.0", 9, 0)]


def test_minutes_come_in_any_order() -> None:
    minutes = walk("BTC", HOUR, 60, seed=3) + walk("ETH", HOUR, 60, seed=4)
    assert made(minutes[::-1]) == made(minutes)


def test_a_minute_without_a_trade_does_not_vote() -> None:
    """The first minute repeats a close that nobody traded at within the hour."""
    minutes = [flat("BTC", HOUR, "20.0"), minute(1, "10.0", "11.0", "9.0", "10.5", "1.0", 1)]
    assert made(minutes) == [("BTC", HOUR, "10.0", "11.0", "9.0", "10.5", "1.0", 1, 0)]


def test_an_hour_without_any_trade_is_flat_and_final() -> None:
    minutes = [flat("BTC", HOUR + k * MINUTE_MS, "20.0") for k in range(60)]
    assert made(minutes) == [("BTC", HOUR, "20.0", "20.0", "20.0", "20.0", "0.0", 0, 1)]


def test_a_recording_without_counts_votes_by_volume() -> None:
    minutes = [flat("BTC", HOUR, "20.0"), minute(1, "10.0", "11.0", "9.0", "10.5", "1.0", 0)]
    assert made(minutes)[0][2] == "10.0"


def test_volumes_are_summed_as_decimals() -> None:
    texts = ["0.1", "0.2", "3495670.8399999999", "0.00000001"]
    minutes = [minute(k, "1.0", "1.0", "1.0", "1.0", text, 1) for k, text in enumerate(texts)]
    assert made(minutes)[0][6] == "3495671.1400000099"


def test_the_text_of_the_chosen_minute_is_kept() -> None:
    minutes = [minute(0, "1.50", "1.50", "1.5", "1.5", "1.0", 1), minute(1, "1.5", "1.5", "1.500", "1.500", "1.0", 1)]
    assert made(minutes)[0][2:6] == ("1.50", "1.50", "1.5", "1.500")


@pytest.mark.parametrize("count", [59, 60])
def test_an_hour_is_final_with_sixty_final_minutes(count: int) -> None:
    minutes = walk("BTC", HOUR, count, seed=1)
    assert made(minutes)[0][8] == (count == 60)
    assert made(minutes, final=0)[0][8] == 0


prices = st.decimals(min_value="0.0001", max_value="99999", places=4).map(str)
traded = st.tuples(prices, prices, prices, prices, st.decimals(min_value="0.001", max_value="1e9", places=3).map(str))


@given(st.lists(st.one_of(traded, prices), min_size=1, max_size=60))
def test_an_hour_equals_what_sixty_decimals_make(shapes: list[tuple[str, ...] | str]) -> None:
    minutes = [
        flat("BTC", HOUR + k * MINUTE_MS, shape)
        if isinstance(shape, str)
        else minute(k, shape[0], max(shape[:4], key=Decimal), min(shape[:4], key=Decimal), shape[3], shape[4], 2)
        for k, shape in enumerate(shapes)
    ]
    assert [row[:8] for row in made(minutes)] == [oracle(minutes)]


@pytest.mark.recordings
@pytest.mark.parametrize("name", ["perp_top40", "perp_other133", "spot"])
def test_every_recorded_hour_equals_what_its_minutes_make(recordings: Path, name: str) -> None:
    number = ("o", "h", "l", "c", "v")
    frame = pl.read_parquet(recordings / "hyperliquid" / f"candles_1m_{name}_2025-07.parquet").select(
        "t", *(pl.col(field).cast(pl.String) for field in number), symbol="coin",
        n=(pl.col("v") > 0).cast(pl.Int64), final=pl.lit(1, pl.Int64),
    ).select(*FIELDS)  # fmt: skip
    by_hour: dict[tuple[str, int], list[Candle]] = defaultdict(list)
    for *row, _ in frame.sort("symbol", "t").iter_rows():
        by_hour[row[0], row[1] - row[1] % HOUR_MS].append(Candle._make(row))
    rows = rollup.hours(frame).rows()
    assert len(rows) == len(by_hour)
    for row in rows:
        minutes = by_hour[row[0], row[1]]
        assert row[:8] == oracle(minutes)
        assert row[8] == (len(minutes) == 60)


def oracle(minutes: list[Candle]) -> tuple[object, ...]:
    """One hour, the slow and plain way."""
    votes = [candle for candle in minutes if candle.n or Decimal(candle.v)] or minutes
    volume = sum((Decimal(candle.v) for candle in minutes), Decimal(0)).normalize()
    text = f"{volume:f}"
    return (
        minutes[0].symbol, minutes[0].t - minutes[0].t % HOUR_MS, votes[0].o,
        max((candle.h for candle in votes), key=Decimal), min((candle.l for candle in votes), key=Decimal),
        votes[-1].c, text if "." in text else f"{text}.0", sum(candle.n for candle in minutes),
    )  # fmt: skip


# rows


def refresh(market: Database, known_at: int, hour_t: int = HOUR) -> int:
    with market.write() as connection:
        return rollup.refresh(connection, hour_t=hour_t, known_at=known_at)


def stored(market: Database, as_of: int | None = None) -> list[candles.StoredCandle]:
    with market.read() as connection:
        return candles.read(connection, "BTC", interval="1h", from_t=HOUR, to_t=HOUR + HOUR_MS, as_of=as_of)


def test_the_running_hour_grows_and_turns_final(market: Database) -> None:
    minutes = walk("BTC", HOUR, 60, seed=2, quiet=0)
    put(market, minutes[:30], known_at=1, final=True)
    assert refresh(market, 10) == 1
    assert [(row.c, row.final, row.origin) for row in stored(market)] == [(minutes[29].c, 0, "rollup")]
    put(market, minutes[30:], known_at=20, final=True)
    assert refresh(market, 30) == 1
    assert [(row.c, row.final, row.n, row.known_at) for row in stored(market)] == [(minutes[59].c, 1, 180, 30)]
    assert refresh(market, 40) == 0
    assert stored(market)[0].known_at == 30


def test_only_final_minutes_count(market: Database) -> None:
    minutes = walk("BTC", HOUR, 10, seed=2, quiet=0)
    put(market, minutes[:4], known_at=1, final=True)
    put(market, minutes[4:], known_at=1)
    refresh(market, 10)
    assert stored(market)[0].c == minutes[3].c
    put(market, minutes[4:], known_at=2, final=True)
    refresh(market, 20)
    assert stored(market)[0].c == minutes[9].c


def test_hours_are_the_same_in_whatever_order_minutes_and_refreshes_come(market: Database) -> None:
    minutes = walk("BTC", HOUR, 60, seed=2)
    for part in (minutes[40:], minutes[:10], minutes[10:40]):
        put(market, part, known_at=1, final=True)
        refresh(market, 10)
    assert stored(market)[0].candle == Candle(*oracle(minutes))
    assert stored(market)[0].final == 1


def test_symbols_may_be_chosen(market: Database) -> None:
    put(market, walk("BTC", HOUR, 60, seed=1) + walk("ETH", HOUR, 60, seed=1), known_at=1, final=True)
    with market.write() as connection:
        assert rollup.refresh(connection, hour_t=HOUR, known_at=2, symbols={"ETH"}) == 1
    assert stored(market) == []


def test_a_backfill_gives_the_rows_of_its_hours(market: Database) -> None:
    for symbol in ("BTC", "ETH", "@107", "PURR/USDC"):
        put(market, walk(symbol, HOUR, 150, seed=1), known_at=1, final=True)
    assert rollup.backfill(market, from_t=HOUR, to_t=HOUR + 3 * HOUR_MS, known_at=2) == 12
    assert sum(refresh(market, 3, HOUR + k * HOUR_MS) for k in range(3)) == 0


def test_a_time_inside_an_hour_is_refused(market: Database) -> None:
    with market.write() as connection, pytest.raises(ValueError, match="not at 1753099200001"):
        rollup.refresh(connection, hour_t=HOUR + 1, known_at=1)


def test_nothing_stored_gives_no_hours(market: Database) -> None:
    assert refresh(market, 1) == 0
