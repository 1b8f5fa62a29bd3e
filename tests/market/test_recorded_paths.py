"""One recorded day of twenty coins: live, backfilled and restarted end in the same hours and indicators (09 D6)."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, hour_of, parse_time
from clash_pipeline.market import candles, indicators, rollup
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.live_indicators import LiveIndicators
from clash_pipeline.replay.recorded import RecordedMarket
from clash_pipeline.settings import load
from clash_pipeline.storage.files import migrate_all, open_market
from clash_pipeline.storage.sqlite import Connection, Database
from tests.conftest import RECORDINGS
from tests.fakes.recorded_venue import RecordedVenue

pytestmark = pytest.mark.recordings

DAY = parse_time("2025-07-23")
WARM_UP = DAY - 12 * HOUR_MS
END = DAY + DAY_MS
COINS = (
    "BTC", "ETH", "SOL", "HYPE", "DOGE", "XRP", "kPEPE", "FARTCOIN", "PUMP", "SUI", "FTT", "VVV", "AAVE", "ACE",
    "PURR/USDC", "@1", "@107", "@142", "@180", "@188",
)  # fmt: skip
GAPS: dict[str, tuple[tuple[int, int], ...]] = {
    "BTC": ((30, 31), (700, 745)), "HYPE": ((0, 3),), "kPEPE": ((59, 61),), "FTT": ((100, 340),),
    "VVV": ((1437, 1440),), "@107": ((13, 14), (15, 16), (900, 960)), "@180": ((600, 601),),
    "PUMP": ((-45, -15),), "SUI": ((-10, 25),),
}  # fmt: skip
"""Minutes of the day that were missed, by coin; negative ones belong to the warm-up."""
REPAIRED_AFTER = 11
"""So many minutes after its end a gap is repaired."""
RESTARTS = (7, 320, 703, 704, 1439)
"""Minutes of the day; two of them inside gaps, and two in a row."""
LOST_DERIVATIONS = (200, 756)
"""Minutes whose candles were written, and then the process was killed; the second time those of a repair as well."""

Rows = list[tuple[object, ...]]
Minutes = Mapping[int, list[Candle]]


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Minutes:
    """The candles of the day and its warm-up by minute, as they are stored when they came over the wire."""
    market = opened(tmp_path_factory.mktemp("home"))
    venue = RecordedVenue(RecordedMarket(RECORDINGS), market)
    asyncio.run(venue.backfill(market, dict.fromkeys(COINS, (WARM_UP, END))))
    found: dict[int, list[Candle]] = {t: [] for t in range(WARM_UP, END, MINUTE_MS)}
    with market.read() as connection:
        for coin in COINS:
            for row in candles.read(connection, coin, interval="1m", from_t=WARM_UP, to_t=END):
                found[row.t].append(row.candle)
    market.close()
    assert {len(rows) for rows in found.values()} == {len(COINS)}
    return found


@pytest.fixture(scope="module")
def backfilled(tmp_path_factory: pytest.TempPathFactory, minutes: Minutes) -> Rows:
    """What one backfill of everything derives."""
    market = opened(tmp_path_factory.mktemp("home"))
    with market.write() as connection:
        every = [row for rows in minutes.values() for row in rows]
        candles.store(connection, every, origin="rest", final=True, known_at=END)
    indicators.backfill(market, from_t=DAY, to_t=END, known_at=END)
    rollup.backfill(market, from_t=DAY, to_t=END, known_at=END)
    found = derived(market)
    market.close()
    return found


def opened(home: Path) -> Database:
    settings = load({"CLASH_HOME": str(home)})
    migrate_all(settings)
    return open_market(settings)


def derived(market: Database) -> Rows:
    """Indicators and hours of the day; floats as the text that tells every bit."""
    with market.read() as connection:
        return [tuple(map(repr, row)) for question in QUESTIONS for row in connection.execute(question, (DAY, END))]


QUESTIONS = (
    """
    SELECT symbol, t, rsi14, bb_upper, bb_middle, bb_lower, sma20, ema20, macd, macd_signal, macd_hist
    FROM hyperliquid_technical_indicators WHERE t >= ? AND t < ? ORDER BY symbol, t
    """,
    """
    SELECT symbol, t, o, h, l, c, v, n, final FROM hyperliquid_candles
    WHERE interval = '1h' AND t >= ? AND t < ? ORDER BY symbol, t
    """,
)


class Ingesting:
    """Minutes as they come: stored, derived, confirmed by the hour; the memory of the process can be lost."""

    def __init__(self, market: Database) -> None:
        self.market = market
        self.live = LiveIndicators()

    def restart(self) -> None:
        self.live = LiveIndicators()

    def store(self, rows: list[Candle], now_ms: int, *, final: bool = False, is_killed: bool = False) -> None:
        """Store a minute, or with `final` what a repair brought, and derive, unless the process is killed between."""
        with self.market.write() as connection:
            write(connection, rows, now_ms, final=final)
            if final:
                for hour_t in {hour_of(row.t) for row in rows}:
                    rollup.refresh(connection, hour_t=hour_t, known_at=now_ms)
        if is_killed:
            self.restart()
            return
        with self.market.write() as connection:
            self.live.apply(connection, rows, now_ms)

    def confirm(self, rows: list[Candle], hour_t: int, now_ms: int) -> None:
        """The venue says the same of an hour: its minutes are final."""
        with self.market.write() as connection:
            write(connection, rows, now_ms, final=True)
            rollup.refresh(connection, hour_t=hour_t, known_at=now_ms)


def write(connection: Connection, rows: list[Candle], now_ms: int, *, final: bool) -> None:
    candles.store(connection, rows, origin="rest" if final else "stream", final=final, known_at=now_ms)


def missed(row: Candle) -> tuple[int, int] | None:
    """The gap a candle fell into."""
    place = (row.t - DAY) // MINUTE_MS
    return next((gap for gap in GAPS.get(row.symbol, ()) if gap[0] <= place < gap[1]), None)


def live_through(
    market: Database,
    minutes: Minutes,
    coins: Iterable[str],
    *,
    restarts: tuple[int, ...] = (),
    killed: tuple[int, ...] = (),
    is_repaired: bool = True,
) -> Rows:
    """The day minute by minute, with its gaps and their repairs."""
    ingesting, wanted = Ingesting(market), frozenset(coins)
    repairs: dict[int, list[Candle]] = {}
    came: list[Candle] = []
    for t, rows in minutes.items():
        place, now_ms = (t - DAY) // MINUTE_MS, t + MINUTE_MS + 5_000
        arriving = []
        for row in rows:
            if row.symbol in wanted:
                gap = missed(row)
                (arriving if gap is None else repairs.setdefault(gap[1] + REPAIRED_AFTER, [])).append(row)
        came += arriving
        if place < 0:
            continue
        if place == 0:
            with market.write() as connection:  # what an ingester that started at midnight finds in its memory
                write(connection, [row for row in came if row.t < DAY], now_ms, final=True)
        if place in restarts:
            ingesting.restart()
        ingesting.store(arriving, now_ms, is_killed=place in killed)
        if (place + 1) % 60 == 0:
            hour_t = hour_of(t)
            ingesting.confirm([row for row in came if row.t >= hour_t], hour_t, now_ms)
            came.clear()
        if is_repaired and place in repairs:
            ingesting.store(repairs.pop(place), now_ms, final=True, is_killed=place in killed)
    for late in sorted(repairs) if is_repaired else ():
        ingesting.store(repairs[late], END + MINUTE_MS * late, final=True)
    return derived(market)


def apart(one: Rows, other: Rows) -> list[tuple[object, ...]]:
    """The keys of rows that differ in any bit, or are in one of the two only."""
    return sorted({row[:2] for row in set(one) ^ set(other)})


def test_minute_by_minute_gives_the_bits_of_a_backfill(market: Database, minutes: Minutes, backfilled: Rows) -> None:
    assert len(backfilled) == len(COINS) * (1_440 + 24)
    assert apart(live_through(market, minutes, COINS), backfilled) == []


def test_restarts_and_kills_give_the_bits_of_a_backfill(market: Database, minutes: Minutes, backfilled: Rows) -> None:
    found = live_through(market, minutes, COINS, restarts=RESTARTS, killed=LOST_DERIVATIONS)
    assert apart(found, backfilled) == []


def test_a_gap_that_nobody_repairs_is_seen(market: Database, minutes: Minutes, backfilled: Rows) -> None:
    """Negative control: exactly the coins with a gap differ."""
    found = live_through(market, minutes, ("ETH", "@107"), is_repaired=False)
    wanted = [row for row in backfilled if row[0] in ("'ETH'", "'@107'")]
    assert {symbol for symbol, _ in apart(found, wanted)} == {"'@107'"}
