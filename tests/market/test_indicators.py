"""Indicators: TA-Lib's values, the same bits on every path, rows that change only where they must."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import talib

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.market import indicators
from clash_pipeline.market.candles import Candle, flat
from clash_pipeline.market.indicator_math import Lines
from clash_pipeline.market.indicator_math import indicators as work_out
from clash_pipeline.storage.sqlite import Database
from tests.market.made_up import put, walk

DAY = 1_753_056_000_000
"""2025-07-21T00:00Z."""
RECORDED = ("perp_top40", "perp_other133", "spot")
RELATIVE = 1e-9


def by_talib(closes: np.ndarray) -> list[np.ndarray]:
    """TA-Lib's five indicators of one series, in the order of our columns."""
    upper, middle, lower = talib.BBANDS(closes, 20, 2, 2, 0)
    macd = talib.MACD(closes, 12, 26, 9)
    return [talib.RSI(closes, 14), upper, middle, lower, talib.SMA(closes, 20), talib.EMA(closes, 20), *macd]


def differences(
    ours: Lines, column: int, theirs: list[np.ndarray], least: np.ndarray | float = 0.0
) -> dict[str, float]:
    """The largest difference of each line, relative to TA-Lib's value, or to `least` where a MACD line is smaller."""
    found = {}
    for name, line, other in zip(Lines._fields, ours, theirs, strict=True):
        mine = line[:, column]
        assert np.array_equal(np.isnan(mine), np.isnan(other)), name
        size = np.maximum(np.abs(other), least if name.startswith("macd") else 0.0)
        differs = ~np.isnan(other) & (mine != other)
        found[name] = float((np.abs(mine - other)[differs] / size[differs]).max(initial=0))
    return found


def series(rows: int = 400, columns: int = 7, seed: int = 1) -> np.ndarray:
    """Walks of quite different prices, one of them flat for an hour after a jump, one that never moves."""
    source = np.random.default_rng(seed)
    closes = np.exp(np.cumsum(source.normal(0, 2e-3, (rows, columns)), axis=0)) * 10.0 ** np.arange(columns - 2, -2, -1)
    closes[100:160, 2] = closes[99, 2] * 1.1
    closes[:, 3] = 7.25
    return closes.round(6)


def test_they_are_those_of_talib_from_the_first_value_on() -> None:
    closes = series()
    lines, _ = work_out(closes)
    for column in range(closes.shape[1]):
        worst = differences(lines, column, by_talib(closes[:, column].copy()))
        assert max(worst.values()) < RELATIVE, worst


def test_the_first_values_come_after_14_20_20_and_34_closes() -> None:
    lines, _ = work_out(series())
    first = {name: int(np.argmin(np.isnan(line[:, 0]))) for name, line in zip(Lines._fields, lines, strict=True)}
    assert first["rsi14"] == 14
    assert {first[name] for name in ("bb_upper", "bb_middle", "bb_lower", "sma20", "ema20")} == {19}
    assert {first[name] for name in ("macd", "macd_signal", "macd_hist")} == {33}


def test_a_price_that_never_moves_has_no_strength_and_no_width() -> None:
    lines, _ = work_out(series())
    assert set(lines.rsi14[14:, 3]) == {0.0}
    assert set(lines.bb_upper[19:, 3]) == set(lines.bb_lower[19:, 3]) == set(lines.bb_middle[19:, 3]) == {7.25}


def test_bands_of_a_flat_stretch_after_a_jump_are_exact() -> None:
    closes = series()
    lines, _ = work_out(closes)
    for row in range(100, 160):
        window = [Fraction(close) for close in closes[row - 19 : row + 1, 2]]
        mean = sum(window) / 20
        width = 2 * float(sum((close - mean) ** 2 for close in window) / 20) ** 0.5
        assert lines.bb_upper[row, 2] == pytest.approx(float(mean) + width, rel=1e-15)
        assert lines.bb_upper[row, 2] - lines.bb_lower[row, 2] == pytest.approx(2 * width, rel=1e-13, abs=1e-12)


def test_a_missing_minute_starts_the_warm_up_again() -> None:
    closes = series()
    broken = closes.copy()
    broken[200, 1] = np.nan
    after, _ = work_out(closes[201:, 1:2])
    for name, line, alone in zip(Lines._fields, work_out(broken)[0], after, strict=True):
        assert np.isnan(line[200, 1]), name
        shift = 201 + (
            20 - 201 % 20
        )  # bands are summed in groups of absolute rows: the same values, perhaps other bits
        assert np.allclose(line[shift:, 1], alone[shift - 201 :, 0], rtol=1e-13, equal_nan=True), name


def test_a_column_gives_the_same_bits_alone_and_among_others() -> None:
    closes = series(rows=333)
    closes[np.random.default_rng(5).random(closes.shape) < 0.01] = np.nan
    together, _ = work_out(closes)
    for column in range(closes.shape[1]):
        alone, _ = work_out(closes[:, column : column + 1])
        late, _ = work_out(closes, first_row=200)
        for line, single, partial in zip(together, alone, late, strict=True):
            assert line[:, column].tobytes() == single[:, 0].tobytes()
            assert line[200:].tobytes() == partial[200:].tobytes()


@pytest.mark.recordings
@pytest.mark.parametrize("name", RECORDED)
def test_they_agree_with_talib_on_every_recorded_candle(recordings: Path, name: str) -> None:
    """Each UTC day from its anchor: as TA-Lib from the same minute, and as TA-Lib that saw all that was before.

    Of a coin that stands still, averages that come from afar keep their last rounding for good: the MACD lines of the
    second comparison count as agreeing below a millionth of the price.
    """
    for symbol, start, closes in recorded(recordings, name):
        from_afar = by_talib(closes)
        for day_t in range(start - start % DAY_MS, start + len(closes) * MINUTE_MS, DAY_MS):
            anchor = max((day_t - indicators.WARM_UP_MS - start) // MINUTE_MS, 0)
            first = max((day_t - start) // MINUTE_MS, 0) - anchor
            window = closes[anchor : (day_t + DAY_MS - start) // MINUTE_MS]
            day, stop = work_out(window[:, None])[0].rows(first, len(window)), anchor + len(window)
            same_start = differences(day, 0, [line[first:] for line in by_talib(window)])
            whole = differences(day, 0, [line[anchor + first : stop] for line in from_afar], window[first:] * 1e-6)
            assert max(*same_start.values(), *whole.values()) < RELATIVE, (symbol, day_t, same_start, whole)


@pytest.mark.recordings
def test_less_warm_up_would_be_measurably_wrong(recordings: Path) -> None:
    """Negative control: the same comparison fails with an anchor 200 minutes before the day."""
    _, start, closes = recorded(recordings, "perp_top40")[0]
    begin = (DAY + 2 * DAY_MS - start) // MINUTE_MS
    lines, _ = work_out(closes[begin - 200 : begin + 60, None])
    theirs = [line[begin : begin + 60] for line in by_talib(closes)]
    assert differences(lines.rows(200, 260), 0, theirs)["rsi14"] > RELATIVE


def recorded(recordings: Path, name: str) -> list[tuple[str, int, np.ndarray]]:
    """(coin, first minute, closes) of each coin of a recording; none of them has a hole."""
    frame = pl.read_parquet(recordings / "hyperliquid" / f"candles_1m_{name}_2025-07.parquet").sort("coin", "t")
    parts = frame.partition_by("coin", maintain_order=True)
    return [(part["coin"][0], part["t"][0], part["c"].to_numpy().copy()) for part in parts]


# rows


def minutes(symbol: str, count: int, seed: int = 1, from_t: int = DAY - 12 * HOUR_MS) -> list[Candle]:
    return walk(symbol, from_t, count, seed)


def refresh(market: Database, day_t: int, known_at: int, symbols: list[str] | None = None) -> int:
    with market.write() as connection:
        return indicators.refresh_day(connection, day_t=day_t, known_at=known_at, symbols=symbols)


def shown(
    market: Database, interval: str = "1m", from_t: int = DAY, to_t: int = DAY + DAY_MS, as_of: int | None = None
) -> list[indicators.Indicators]:
    with market.read() as connection:
        return indicators.read(connection, "BTC", interval=interval, from_t=from_t, to_t=to_t, as_of=as_of)


def test_a_day_is_written_once(market: Database) -> None:
    put(market, minutes("BTC", 900) + minutes("ETH", 900), known_at=1)
    assert refresh(market, DAY, 10) == 2 * 180
    assert refresh(market, DAY, 20) == 0
    assert {row.known_at for row in shown(market)} == {10}


def test_the_first_minutes_of_all_are_rows_without_values(market: Database) -> None:
    put(market, minutes("BTC", 40, from_t=DAY), known_at=1)
    refresh(market, DAY, 10)
    rows = shown(market)
    assert len(rows) == 40
    assert rows[0] == indicators.Indicators("BTC", DAY, *[None] * 9, 10)
    assert rows[13].rsi14 is None
    assert rows[14].rsi14 is not None
    assert rows[39].macd_hist is not None


def test_values_come_from_the_anchor_720_minutes_before(market: Database) -> None:
    longer = minutes("BTC", 1000, from_t=DAY - 900 * MINUTE_MS)
    put(market, longer, known_at=1)
    refresh(market, DAY, 10)
    closes = np.array([float(candle.c) for candle in longer[180:]])
    lines, _ = work_out(closes[:, None])
    assert [row.ema20 for row in shown(market)] == lines.ema20[720:, 0].tolist()
    assert [row.bb_upper for row in shown(market)] == lines.bb_upper[720:, 0].tolist()


def test_a_correction_changes_rows_from_its_minute_on_and_keeps_what_was_said(market: Database) -> None:
    put(market, minutes("BTC", 820), known_at=1)
    refresh(market, DAY, 10)
    before = shown(market)
    wrong = minutes("BTC", 820)[770]
    put(market, [wrong._replace(h="60.0", c="60.0", n=9)], known_at=20)
    assert refresh(market, DAY, 20) == 50
    after = shown(market)
    assert after[:50] == before[:50]
    assert all(new != old and new.known_at == 20 for new, old in zip(after[50:], before[50:], strict=True))
    assert shown(market, as_of=19) == before
    assert shown(market, as_of=20) == after
    assert shown(market, as_of=9) == []


def test_days_may_be_filled_in_any_order(market: Database, tmp_path: Path) -> None:
    both = minutes("BTC", 12 * 60 + 1440 + 200)
    first, second = [c for c in both if c.t < DAY + DAY_MS], [c for c in both if c.t >= DAY + DAY_MS]
    put(market, second, known_at=1)
    refresh(market, DAY + DAY_MS, 2)
    put(market, first, known_at=3)
    refresh(market, DAY, 4)
    backwards = [row[:-1] for row in shown(market, to_t=DAY + 2 * DAY_MS)]
    with market.write() as connection:
        connection.execute("DELETE FROM hyperliquid_technical_indicators")
    refresh(market, DAY, 5)
    refresh(market, DAY + DAY_MS, 5)
    assert backwards == [row[:-1] for row in shown(market, to_t=DAY + 2 * DAY_MS)]


def test_a_long_range_gives_the_rows_of_its_days(market: Database) -> None:
    put(market, minutes("BTC", 12 * 60 + 1440 + 200) + minutes("ETH", 900), known_at=1)
    indicators.backfill(market, from_t=DAY, to_t=DAY + 2 * DAY_MS, known_at=2)
    assert refresh(market, DAY, 3) + refresh(market, DAY + DAY_MS, 3) == 0


def test_through_a_minute_means_that_minute_too(market: Database) -> None:
    put(market, minutes("BTC", 800), known_at=1)
    with market.write() as connection:
        indicators.refresh_day(connection, day_t=DAY, known_at=2, through_t=DAY + 9 * MINUTE_MS)
    assert [row.t for row in shown(market)] == [DAY + k * MINUTE_MS for k in range(10)]


def test_an_hour_shows_its_last_closed_minute(market: Database) -> None:
    put(market, minutes("BTC", 720 + 60 + 25), known_at=1)
    refresh(market, DAY, 2)
    rows = shown(market)
    assert shown(market, "1h") == [rows[59]._replace(t=DAY), rows[84]._replace(t=DAY + HOUR_MS)]
    assert shown(market, "1h", DAY + 1, DAY + HOUR_MS + 1) == [rows[84]._replace(t=DAY + HOUR_MS)]
    with market.read() as connection, pytest.raises(ValueError, match="1m or 1h, not '5m'"):
        indicators.read(connection, "BTC", interval="5m", from_t=0, to_t=1)


def test_a_frame_holds_the_rows_of_all_symbols(market: Database) -> None:
    put(market, minutes("BTC", 730) + minutes("ETH", 725), known_at=1)
    refresh(market, DAY, 2)
    with market.read() as connection:
        whole = indicators.frame(connection, interval="1m", from_t=DAY, to_t=DAY + DAY_MS)
        early = indicators.frame(connection, interval="1m", from_t=DAY, to_t=DAY + DAY_MS, as_of=1)
    assert whole.columns == list(indicators.Indicators._fields)
    assert whole["symbol"].to_list() == ["BTC"] * 10 + ["ETH"] * 5
    assert [tuple(row) for row in shown(market)] == whole.filter(pl.col("symbol") == "BTC").rows()
    assert early.is_empty()


def test_minutes_that_warm_up_the_next_day_belong_to_two_days() -> None:
    assert indicators.days_with(DAY) == [DAY]
    assert indicators.days_with(DAY + 12 * HOUR_MS - 1) == [DAY]
    assert indicators.days_with(DAY + 12 * HOUR_MS) == [DAY, DAY + DAY_MS]


def test_a_day_that_starts_elsewhere_is_refused(market: Database) -> None:
    with market.write() as connection, pytest.raises(ValueError, match="not at 1753056000001"):
        indicators.refresh_day(connection, day_t=DAY + 1, known_at=1)


def test_nothing_stored_gives_no_rows(market: Database) -> None:
    assert refresh(market, DAY, 1) == 0
    put(market, [flat("BTC", DAY - DAY_MS, "1.0")], known_at=1)
    assert refresh(market, DAY, 1) == 0
