"""Live indicators: whatever way minutes arrive, the rows are the bits that a backfill of the same candles writes."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS
from clash_pipeline.market import candles, indicators
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.live_indicators import LiveIndicators
from clash_pipeline.settings import load
from clash_pipeline.storage.files import open_market
from clash_pipeline.storage.sqlite import Database
from tests.conftest import SOAK
from tests.market.made_up import put, walk

DAY = 1_753_056_000_000
SYMBOLS = ("BTC", "ETH", "@107", "PURR/USDC")
Rows = list[tuple[object, ...]]
Deliver = Callable[[list[Candle]], None]


class Ingesting:
    """A writer that stores candles and derives in one transaction, and can be restarted."""

    def __init__(self, market: Database) -> None:
        self.market, self.live, self.now = market, LiveIndicators(), 1_000

    def deliver(self, rows: list[Candle]) -> int:
        """Store candles live, and follow."""
        self.now += 1
        with self.market.write() as connection:
            candles.store(connection, rows, origin="stream", final=False, known_at=self.now)
            return self.live.apply(connection, rows, self.now)

    def restart(self) -> None:
        """Lose the memory."""
        self.live = LiveIndicators()

    def backfill(self, rows: list[Candle]) -> None:
        """Store candles from outside, without the live state knowing, and derive their days."""
        self.now += 1
        put(self.market, rows, known_at=self.now)
        with self.market.write() as connection:
            for day in sorted({day for row in rows for day in indicators.days_with(row.t)}):
                indicators.refresh_day(connection, day_t=day, known_at=self.now, symbols={row.symbol for row in rows})
        self.live.forget()


def shown(market: Database) -> Rows:
    """Every row, known-at aside."""
    with market.read() as connection:
        rows = connection.execute("SELECT * FROM hyperliquid_technical_indicators ORDER BY symbol, t")
        return [tuple(row)[:-1] for row in rows]


def made_again(market: Database) -> Rows:
    """Every row, as one backfill of all that is stored writes it."""
    with market.write() as connection:
        connection.execute("DELETE FROM hyperliquid_technical_indicators")
        times = connection.execute("SELECT min(t), max(t) FROM hyperliquid_candles").fetchone()
    indicators.backfill(market, from_t=times[0] - times[0] % DAY_MS, to_t=times[1] + MINUTE_MS, known_at=9)
    return shown(market)


def by_minute(rows: list[Candle]) -> list[list[Candle]]:
    return [[row for row in rows if row.t == t] for t in sorted({row.t for row in rows})]


def market_of(symbols: tuple[str, ...], from_t: int, minutes: int, seed: int = 7) -> list[Candle]:
    return [candle for symbol in symbols for candle in walk(symbol, from_t, minutes, seed)]


def test_minute_by_minute_from_nothing(market: Database) -> None:
    rows = market_of(SYMBOLS, DAY, 130)
    ingesting = Ingesting(market)
    assert [ingesting.deliver(minute) for minute in by_minute(rows)] == [4] * 130
    assert shown(market) == made_again(market)


def test_over_midnight_the_recursions_start_at_the_new_anchor(market: Database) -> None:
    rows = market_of(SYMBOLS[:2], DAY + 12 * HOUR_MS - 60 * MINUTE_MS, 14 * 60)
    early, live = [r for r in rows if r.t < DAY + 23 * HOUR_MS], [r for r in rows if r.t >= DAY + 23 * HOUR_MS]
    put(market, early, known_at=1)
    ingesting = Ingesting(market)
    for minute in by_minute(live):
        ingesting.deliver(minute)
    assert shown(market) == made_again(market)


def test_the_last_minute_of_a_day_may_come_after_the_first_of_the_next(market: Database) -> None:
    rows = {(r.symbol, r.t): r for r in market_of(SYMBOLS[:2], DAY + 22 * HOUR_MS, 130)}
    late = rows.pop(("ETH", DAY + DAY_MS - MINUTE_MS))
    ingesting = Ingesting(market)
    for minute in by_minute(list(rows.values())):
        ingesting.deliver(minute)
    assert ingesting.deliver([late]) > 1
    assert shown(market) == made_again(market)


def test_symbols_close_a_minute_at_different_moments(market: Database) -> None:
    rows = market_of(SYMBOLS, DAY + HOUR_MS, 80)
    rows.sort(key=lambda row: row.t + (3 if row.symbol == "ETH" else 0) * MINUTE_MS)
    ingesting = Ingesting(market)
    for row in rows:
        ingesting.deliver([row])
    assert shown(market) == made_again(market)


def test_a_correction_cascades_to_the_end_of_the_day_and_into_the_next(market: Database) -> None:
    rows = market_of(("BTC",), DAY + 20 * HOUR_MS, 5 * 60)
    ingesting = Ingesting(market)
    for minute in by_minute(rows):
        ingesting.deliver(minute)
    before = shown(market)
    wrong = rows[180]
    assert ingesting.deliver([wrong._replace(h="60.0", c="60.0", n=99)]) == 120
    after = shown(market)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True] * 180 + [False] * 120
    assert after == made_again(market)


def test_a_missing_minute_restarts_the_warm_up_until_it_is_repaired(market: Database) -> None:
    rows = market_of(SYMBOLS[:2], DAY + HOUR_MS, 200)
    hole = [row for row in rows if row.symbol == "BTC" and row.t == DAY + HOUR_MS + 100 * MINUTE_MS]
    ingesting = Ingesting(market)
    for minute in by_minute([row for row in rows if row not in hole]):
        ingesting.deliver(minute)
    with market.read() as connection:
        span = {"from_t": hole[0].t, "to_t": hole[0].t + 10 * MINUTE_MS}
        assert {row.ema20 for row in indicators.read(connection, "BTC", interval="1m", **span)} == {None}
    assert shown(market) == made_again(market)
    ingesting.restart()
    ingesting.deliver(hole)
    assert shown(market) == made_again(market)


def test_a_restart_writes_what_a_crash_left_unwritten(market: Database) -> None:
    rows = market_of(SYMBOLS[:2], DAY + HOUR_MS, 120)
    ingesting = Ingesting(market)
    for minute in by_minute(rows)[:100]:
        ingesting.deliver(minute)
    ingesting.restart()
    put(market, [row for minute in by_minute(rows)[100:119] for row in minute], known_at=2_000)
    ingesting.now = 3_000
    ingesting.deliver(by_minute(rows)[119])
    assert shown(market) == made_again(market)


def test_delivering_again_changes_nothing(market: Database) -> None:
    rows = market_of(SYMBOLS[:2], DAY + HOUR_MS, 60)
    ingesting = Ingesting(market)
    for minute in by_minute(rows):
        ingesting.deliver(minute)
    assert ingesting.deliver(rows) == 0
    ingesting.restart()
    assert ingesting.deliver(rows) == 0


def test_a_candle_that_was_not_stored_does_no_harm(market: Database) -> None:
    rows = by_minute(market_of(SYMBOLS[:2], DAY + HOUR_MS, 90))
    ingesting = Ingesting(market)
    for minute in rows:
        ingesting.deliver(minute)
        assert ingesting.deliver([row._replace(c=row.o, n=row.n - 1) for row in minute]) == 0
    assert shown(market) == made_again(market)


def test_close_minute_reads_the_stored_candles(market: Database) -> None:
    rows = market_of(SYMBOLS, DAY + HOUR_MS, 70)
    live = LiveIndicators()
    for minute in by_minute(rows):
        with market.write() as connection:
            candles.store(connection, minute, origin="stream", final=False, known_at=5)
            assert live.close_minute(connection, minute[0].t, 5) == 4
            assert live.close_minute(connection, minute[0].t + MINUTE_MS, 5) == 0
    assert shown(market) == made_again(market)


def test_a_new_listing_joins(market: Database) -> None:
    rows = market_of(SYMBOLS[:2], DAY + HOUR_MS, 90)
    ingesting = Ingesting(market)
    for minute in by_minute([r for r in rows if r.symbol == "BTC" or r.t >= DAY + 2 * HOUR_MS]):
        ingesting.deliver(minute)
    assert shown(market) == made_again(market)


def fail_half_way(ingesting: Ingesting, rows: list[Candle]) -> None:
    with ingesting.market.write() as connection:
        candles.store(connection, rows, origin="stream", final=False, known_at=1)
        ingesting.live.apply(connection, rows, 1)
        raise RuntimeError("disk")


def test_after_a_failed_transaction_the_state_is_loaded_again(market: Database) -> None:
    rows = by_minute(market_of(SYMBOLS[:2], DAY + HOUR_MS, 90))
    ingesting = Ingesting(market)
    for minute in rows[:80]:
        ingesting.deliver(minute)
    with pytest.raises(RuntimeError, match="disk"):
        fail_half_way(ingesting, rows[80])
    ingesting.live.forget()
    for minute in rows[80:]:
        ingesting.deliver(minute)
    assert shown(market) == made_again(market)


def test_a_memory_ahead_of_the_file_would_be_seen(market: Database) -> None:
    """Negative control of all of the above: without `forget`, the rolled-back minute has no row."""
    rows = by_minute(market_of(SYMBOLS[:2], DAY + HOUR_MS, 90))
    ingesting = Ingesting(market)
    for minute in rows[:80]:
        ingesting.deliver(minute)
    with pytest.raises(RuntimeError, match="disk"):
        fail_half_way(ingesting, rows[80])
    for minute in rows[80:]:
        ingesting.deliver(minute)
    assert shown(market) != made_again(market)


@settings(max_examples=1_000 if SOAK else 12)
@given(seed=st.integers(0, 2**32), start=st.sampled_from([3, 22, 23]), minutes=st.integers(60, 150))
def test_any_split_of_live_backfill_and_restart_gives_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, migrated_home: Path, seed: int, start: int, minutes: int
) -> None:
    """Candles in pieces: in order, late, twice, corrected, over midnight; some live, some backfilled, with restarts."""
    source = random.Random(seed)
    home = shutil.copytree(migrated_home, tmp_path_factory.mktemp("home") / "home")
    market = open_market(load({"CLASH_HOME": str(home)}))
    try:
        ingesting = Ingesting(market)
        for piece in pieces(market_of(SYMBOLS[:3], DAY + start * HOUR_MS, minutes, seed), source):
            source.choice([ingesting.deliver] * 6 + [ingesting.backfill])(piece)
            if source.random() < 0.05:
                ingesting.restart()
        assert shown(market) == made_again(market)
    finally:
        market.close()


def pieces(rows: list[Candle], source: random.Random) -> list[list[Candle]]:
    """A disordered delivery: most minutes in time, some late, some lost for good, some said wrongly first."""
    timed: list[tuple[float, Candle]] = []
    for row in rows:
        fate, minute = source.random(), row.t / MINUTE_MS
        if fate < 0.01:
            continue
        if fate < 0.03:
            timed.append((minute, row._replace(c=row.o, n=row.n - 1)))
        timed.append((minute + (source.random() * 40 if fate < 0.06 else 0.2 * source.random()), row))
        if fate > 0.98:
            timed.append((minute + 3, row))
    timed.sort(key=lambda item: item[0])
    cuts = sorted(source.sample(range(1, len(timed)), k=min(len(timed) - 1, 80)))
    found = [timed[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(timed)], strict=True)]
    return [[row for _, row in piece] for piece in found]


def test_five_hundred_symbols_step_in_one_pass() -> None:
    """Work bound: a minute of all symbols is one call of the kernel, whatever their number."""
    from clash_pipeline.market import indicator_math

    closes = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, (60, 500)), axis=0))
    whole, _ = indicator_math.indicators(closes)
    _, before = indicator_math.indicators(closes[:59], last=np.full(500, 58))
    lines, _ = indicator_math.advance(closes[40:60], 59, before)
    for one_row, all_rows in zip(lines, whole, strict=True):
        assert one_row.tobytes() == all_rows[59].tobytes()
