"""Five indicators over 500 symbols and a day of minutes; and of one live minute of 500 symbols."""

from functools import cache, partial
from typing import Any

import numpy as np

from bench.harness import Bench, Contender
from bench.markets import closes

MINUTES, SYMBOLS = 1_440, 500
TALIPP_SYMBOLS = 5
"""talipp is a thousand times slower; it gets fewer symbols, its rows per second are what counts."""
WINDOW = 200
"""Minutes that TA-Lib and the like see again for each live minute; still short of the warm-up of 720."""


def benches(quick: bool) -> tuple[Bench, ...]:
    """A whole day at once, and minute by minute."""
    minutes, symbols = (400, 50) if quick else (MINUTES, SYMBOLS)
    size = f"{symbols} symbols × {minutes:,} minutes"
    series = partial(day_of, minutes, symbols)
    whole = (
        Contender("write nine columns", "floor", series, copy_nine),
        Contender("clash indicators", "ours", series, ours),
        Contender("TA-Lib", "peer", partial(by_symbol, minutes, symbols), talib_day),
        Contender("polars-talib", "peer", partial(as_frame, minutes, symbols), polars_talib_day),
        Contender("talipp", "peer", partial(by_symbol, minutes, TALIPP_SYMBOLS), talipp_day),
    )
    live = (
        Contender("copy a row", "floor", partial(warm, symbols), copy_row),
        Contender("clash live step", "ours", partial(warm, symbols), our_minute),
        Contender(f"TA-Lib over {WINDOW} minutes", "peer", partial(warm_talib, symbols), talib_minute),
        Contender("talipp, one value more", "peer", partial(warm_talipp, symbols), talipp_minute),
    )
    return (
        Bench("indicators", f"Five indicators, {size}", "rows", whole, 9, aim=1.0, aim_of="TA-Lib"),
        Bench("indicators, live", f"Five indicators of one live minute of {symbols} symbols", "rows", live, 9),
    )


@cache
def day_of(minutes: int, symbols: int) -> Any:
    """Closes, (minutes, symbols)."""
    return closes(minutes, symbols)


@cache
def by_symbol(minutes: int, symbols: int) -> Any:
    """The same as one contiguous series for each symbol."""
    import talib  # noqa: F401  imported before the clock starts

    return np.ascontiguousarray(day_of(minutes, SYMBOLS)[:, :symbols].T)


@cache
def as_frame(minutes: int, symbols: int) -> Any:
    """The same as a long frame."""
    import polars as pl
    import polars_talib  # noqa: F401

    names = np.repeat(np.arange(symbols), minutes)
    return pl.DataFrame({"symbol": names, "close": np.ascontiguousarray(day_of(minutes, symbols).T).ravel()})


def copy_nine(series: Any) -> int:
    """What cannot be avoided: nine results of each row are written."""
    out = np.empty((9, *series.shape))
    out[:] = series
    return int(series.size)


def ours(series: Any) -> int:
    """The product's kernel."""
    from clash_pipeline.market.indicator_math import indicators

    indicators(series)
    return int(series.size)


def talib_day(series: Any) -> int:
    """Five calls for each symbol."""
    results = [five_of_talib(each) for each in series]
    return len(results) * series.shape[1]


def five_of_talib(series: Any) -> Any:
    """RSI, Bollinger, SMA, EMA, MACD of one series."""
    import talib

    bands, macd = talib.BBANDS(series, 20, 2, 2, 0), talib.MACD(series, 12, 26, 9)
    return talib.RSI(series, 14), *bands, talib.SMA(series, 20), talib.EMA(series, 20), *macd


def polars_talib_day(frame: Any) -> int:
    """One expression for each indicator, over each symbol."""
    import polars as pl
    import polars_talib as ta

    close = pl.col("close")
    bands, macd = ta.bbands(close, 20, 2.0, 2.0, 0), ta.macd(close, 12, 26, 9)
    made = (ta.rsi(close, 14), bands, ta.sma(close, 20), ta.ema(close, 20), macd)
    names = ("rsi", "bands", "sma", "ema", "macd")
    out = frame.with_columns(each.over("symbol").alias(name) for name, each in zip(names, made, strict=True))
    return int(out.height)


def talipp_day(series: Any) -> int:
    """Its incremental objects, fed a whole series."""
    for each in series:
        new_talipp(each.tolist())
    return int(series.size)


def new_talipp(values: list[float]) -> Any:
    """Its five indicators of one series."""
    from talipp.indicators import BB, EMA, MACD, RSI, SMA

    return (
        RSI(14, input_values=values), BB(20, 2, input_values=values), SMA(20, input_values=values),
        EMA(20, input_values=values), MACD(12, 26, 9, input_values=values),
    )  # fmt: skip


# one live minute, repeated so that the clock can see it

REPEATS = 100


@cache
def warm(symbols: int) -> Any:
    """The last twenty rows and the recursions before the last one."""
    from clash_pipeline.market.indicator_math import indicators

    series = closes(WINDOW, symbols)
    _, averages = indicators(series[:-1], last=np.full(symbols, WINDOW - 2))
    return series[-20:], averages


@cache
def warm_talib(symbols: int) -> Any:
    """What TA-Lib recomputes for each minute."""
    import talib  # noqa: F401

    return np.ascontiguousarray(closes(WINDOW, symbols).T)


@cache
def warm_talipp(symbols: int) -> Any:
    """Its objects, warmed up."""
    return [(new_talipp(series.tolist()), float(series[-1])) for series in closes(WINDOW, symbols).T]


def copy_row(state: Any) -> int:
    """A row of closes, nine times."""
    window, _ = state
    for _ in range(REPEATS):
        np.tile(window[-1], (9, 1))
    return REPEATS * int(window.shape[1])


def our_minute(state: Any) -> int:
    """The product's step."""
    from clash_pipeline.market.indicator_math import advance

    window, averages = state
    for _ in range(REPEATS):
        advance(window, WINDOW - 1, averages)
    return REPEATS * int(window.shape[1])


def talib_minute(series: Any) -> int:
    """All of it again."""
    for each in series:
        five_of_talib(each)
    return len(series)


def talipp_minute(objects: Any) -> int:
    """One value more."""
    for five, value in objects:
        for each in five:
            each.add(value)
    return len(objects)
