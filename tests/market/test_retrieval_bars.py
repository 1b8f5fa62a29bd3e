"""Bars made for a coarse read: exact, whole, and without the vote of idle minutes, as the venue's own bars are."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market import rollup
from clash_pipeline.market.reads import candles
from clash_pipeline.market.reads.candles import Candles

T = 1_753_099_200_000  # 2025-07-21T12:00:00Z
Minute = tuple[int, str, str, str, str, str, str]


def of(minutes: list[Minute]) -> Candles:
    t, o, h, l, c, v, traded = zip(*minutes, strict=True) if minutes else ((),) * 7  # noqa: E741
    starts = range(t[0], t[-1] + MINUTE_MS, MINUTE_MS) if t else range(0)
    gapless = len(starts) == len(t)
    return Candles(starts if gapless else t, o, h, l, c, v, "".join(traded))


def idle(t: int, price: str) -> Minute:
    return (t, price, price, price, price, "0.0", "0")


@st.composite
def minutes(draw: st.DrawFn) -> list[Minute]:
    """Up to forty minutes around a power of ten, some idle, some missing, on no particular step."""
    made: list[Minute] = []
    t = T + MINUTE_MS * draw(st.integers(0, 7))
    prices = st.integers(9_900, 10_100).map(lambda tenths: f"{tenths // 100}.{tenths % 100:02}")
    for kind in draw(st.lists(st.sampled_from(["traded", "traded", "idle", "missing"]), max_size=40)):
        if kind == "idle":
            made.append(idle(t, draw(prices)))
        elif kind == "traded":
            o, c, a, b = draw(st.tuples(prices, prices, prices, prices))
            ordered = sorted((o, c, a, b), key=Decimal)
            volume = f"{draw(st.integers(1, 10**12))}.{draw(st.integers(0, 999)):03}"
            made.append((t, o, ordered[-1], ordered[0], c, volume, "1"))
        t += MINUTE_MS
    return made


def model(rows: list[Minute], size: int) -> list[tuple[Any, ...]]:
    """Bars from their definition, one bucket at a time, in decimals."""
    found = []
    for start in sorted({row[0] - row[0] % (size * MINUTE_MS) for row in rows}):
        bucket = [row for row in rows if start <= row[0] < start + size * MINUTE_MS]
        if len(bucket) < size:
            continue
        votes = [row for row in bucket if row[6] == "1"] or bucket
        high, low = max(Decimal(row[2]) for row in votes), min(Decimal(row[3]) for row in votes)
        volume = sum((int(Decimal(row[5]) * 1_000) for row in bucket), 0)
        found.append((start, Decimal(votes[0][1]), high, low, Decimal(votes[-1][4]), Decimal(volume) / 1_000))
    return found


@given(rows=minutes(), size=st.integers(2, 15))
def test_bars_are_those_of_an_independent_model(rows: list[Minute], size: int) -> None:
    found = candles.bars(of(rows), size * MINUTE_MS, MINUTE_MS)
    assert [(bar[0], *map(Decimal, bar[1:])) for bar in found] == model(rows, size)


def test_texts_compare_as_numbers_do_across_a_power_of_ten() -> None:
    """As texts, 9.9 is more than 10.1."""
    rows = [(T, "9.9", "9.9", "9.8", "9.9", "1.5", "1"), (T + MINUTE_MS, "9.9", "10.1", "9.9", "10.1", "1.25", "1")]
    assert candles.bars(of(rows), 2 * MINUTE_MS, MINUTE_MS) == [(T, "9.9", "10.1", "9.8", "10.1", "2.75")]


def test_a_bar_with_a_missing_minute_is_left_out() -> None:
    rows = [idle(T + number * MINUTE_MS, "5.0") for number in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14)]
    assert [bar[0] for bar in candles.bars(of(rows), 5 * MINUTE_MS, MINUTE_MS)] == [T, T + 10 * MINUTE_MS]


def test_large_volumes_are_added_to_the_last_digit() -> None:
    rows = [(T + n * MINUTE_MS, "1.0", "1.0", "1.0", "1.0", "9007199254740993.00000001", "1") for n in range(3)]
    assert candles.bars(of(rows), 3 * MINUTE_MS, MINUTE_MS)[0][5] == "27021597764222979.00000003"


@pytest.mark.parametrize(
    ("step", "interval"),
    [(0, "1m"), (MINUTE_MS, "1m"), (HOUR_MS, "1h"), (4 * HOUR_MS, "1h"), (90 * MINUTE_MS, "1m")],
)
def test_bars_are_made_of_hours_only_where_hours_fill_them(step: int, interval: str) -> None:
    assert candles.interval_of(step) == interval


@pytest.mark.recordings
def test_an_hour_of_recorded_minutes_is_the_hour_of_the_rollup(recordings: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(recordings / "hyperliquid" / "candles_1m_spot_2025-07.parquet")
    symbols = ("PURR", "USDXL", "HYPE")
    texts = [pl.col(name).cast(pl.String) for name in ("o", "h", "l", "c", "v")]
    rows = frame.filter(pl.col("coin").is_in(symbols)).select(
        pl.col("coin").alias("symbol"), pl.col("t").cast(pl.Int64), *texts, n=(pl.col("v") > 0).cast(pl.Int64),
        final=pl.lit(1, pl.Int64),
    )  # fmt: skip
    expected = rollup.hours(rows).filter(pl.col("final") == 1)
    for symbol in symbols:
        own = rows.filter(pl.col("symbol") == symbol).sort("t").drop("symbol", "final").rows()
        made = candles.bars(of([(*row[:6], str(row[6])) for row in own]), HOUR_MS, MINUTE_MS)
        hours = expected.filter(pl.col("symbol") == symbol).sort("t").select("t", "o", "h", "l", "c", "v").rows()
        assert len(made) > 100
        assert [_numbers(bar) for bar in made] == [_numbers(hour) for hour in hours]


def _numbers(bar: tuple[Any, ...]) -> tuple[Any, ...]:
    return (bar[0], *map(Decimal, bar[1:]))
