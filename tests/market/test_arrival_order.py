"""Candles, hours and indicators end the same, in whatever order live minutes, backfill and restarts come (09 D6)."""

import random
from collections.abc import Mapping, Sequence

import pytest

from clash_pipeline.clock import MINUTE_MS, SettableClock
from clash_pipeline.market import candles, gaps
from clash_pipeline.market.candles import Candle, Written
from clash_pipeline.market.derivation import Derivation, Stale
from clash_pipeline.market.hyperliquid.arrivals import Arrivals, ArrivalWriter
from clash_pipeline.market.hyperliquid.coin import ClosedMinute
from clash_pipeline.market.repair import settle
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import open_market
from clash_pipeline.storage.leases import acquire
from clash_pipeline.storage.sqlite import Connection
from tests.fakes.candle_truth import CandleTruth

EVENING = 1_753_138_800_000
"""2025-07-21T23:00Z, an hour before midnight, so that the anchor of the indicators moves on the way."""
ARRIVING_MINUTES = 80
LIVE, BACKFILL = "live", "backfill"
RESTART: "Event" = ("restart", 0, 0)
HALF = EVENING + ARRIVING_MINUTES // 2 * MINUTE_MS
END = EVENING + ARRIVING_MINUTES * MINUTE_MS
Event = tuple[str, int, int]
EVENTS: tuple[Event, ...] = (
    (LIVE, EVENING, HALF), (LIVE, HALF, END), (BACKFILL, EVENING, HALF), (BACKFILL, HALF, END), RESTART
)  # fmt: skip
State = dict[str, list[tuple[object, ...]]]


class Memory:
    """An ingester's writer, repair and derivation; `happen` takes the next event of each coin at once."""

    def __init__(self, settings: Settings, truth: CandleTruth) -> None:
        self.market = open_market(settings)
        self.truth = truth
        self.clock = SettableClock(END + MINUTE_MS)
        self.lease = acquire(self.market, "ingester", "test", now_ms=1, ttl_ms=10**15)
        self.derivation = Derivation(self.market, self.clock, self.lease)

    def happen(self, events: Mapping[str, Event]) -> None:
        """Store what arrives for each coin (named `coin` or `copy.coin`), then derive; one restart restarts all."""
        if RESTART in events.values():
            self.derivation = Derivation(self.market, self.clock, self.lease)
        arrived, stale = Arrivals(), Stale()
        for name, (kind, from_t, to_t) in events.items():
            rows = [row._replace(symbol=name) for row in self.truth.candles(name.split(".")[-1], from_t, to_t)]
            if kind == LIVE:
                arrived.minutes += [self.seen_live(row) for row in rows]
            elif kind == BACKFILL:
                with self.market.write() as connection:
                    request = gaps.Request(name, from_t, to_t, ())
                    settle(connection, request, rows, asked_at=END + MINUTE_MS, now_ms=self.clock.now_ms())
            for row in rows:
                stale.add(name, row.t, row.t + MINUTE_MS, values=True)
        ArrivalWriter(self.market, self.clock, self.lease).write(arrived, expected=0)
        self.derivation.recompute(stale, END)

    def seen_live(self, row: Candle) -> ClosedMinute:
        """A third of the traded minutes is proven; a seventh of all was last seen before its last trade."""
        coin = row.symbol.split(".")[-1]
        early = self.truth.early_state(row._replace(symbol=coin))._replace(symbol=row.symbol)
        seen = early if row.t // MINUTE_MS % 7 == 0 else row
        is_final = row.n > 0 and seen == row and row.t // MINUTE_MS % 3 == 0
        return ClosedMinute(seen, "stream" if seen.n else "flat", is_final)

    def state(self) -> dict[str, State]:
        """Candles, hours and indicators by copy, known-at and origin aside."""
        found: dict[str, State] = {}
        with self.market.read() as connection:
            for table, question in QUESTIONS.items():
                for symbol, *row in connection.execute(question):
                    copy, _, coin = symbol.rpartition(".")
                    found.setdefault(copy, {}).setdefault(table, []).append((coin, *row))
        return found

    def clear(self) -> None:
        """Empty the tables for the next copies."""
        with self.market.write() as connection:
            for statement in EMPTY:
                connection.execute(statement)
        self.market.close()


QUESTIONS = {
    "candles": "SELECT symbol, interval, t, o, h, l, c, v, n, final FROM hyperliquid_candles ORDER BY 1, 2, 3",
    "indicators": """
        SELECT symbol, t, rsi14, bb_upper, bb_middle, bb_lower, sma20, ema20, macd, macd_signal, macd_hist
        FROM hyperliquid_technical_indicators ORDER BY 1, 2
    """,
}
EMPTY = (
    "DELETE FROM hyperliquid_candles",
    "DELETE FROM hyperliquid_candle_versions",
    "DELETE FROM hyperliquid_technical_indicators",
    "DELETE FROM hyperliquid_technical_indicator_versions",
)
COPIES_AT_ONCE = 30


def play(settings: Settings, truth: CandleTruth, orders: Mapping[str, Sequence[Event]]) -> dict[str, State]:
    """The state each copy of the market ends in, every copy with its own order of events."""
    memory = Memory(settings, truth)
    for step in range(max(len(order) for order in orders.values())):
        memory.happen(
            {
                f"{copy}.{coin}": order[step]
                for copy, order in orders.items()
                if step < len(order)
                for coin in truth.symbols[:2]
            }
        )
    state = memory.state()
    memory.clear()
    return state


def shuffled(count: int) -> list[tuple[Event, ...]]:
    """Distinct orders of the events, some of them with events that come twice."""
    chance = random.Random(6)
    found: dict[tuple[Event, ...], None] = {}
    while len(found) < count:
        order = [*EVENTS, *chance.choices(EVENTS, k=chance.randint(0, 3))]
        chance.shuffle(order)
        found[tuple(order)] = None
    return list(found)


def assert_order_does_not_matter(settings: Settings, count: int) -> None:
    truth = CandleTruth(6, symbols=4, start_t=EVENING, minutes=ARRIVING_MINUTES)
    wanted = play(settings, truth, {"plain": EVENTS})["plain"]
    assert len(wanted["indicators"]) == 2 * ARRIVING_MINUTES
    assert [row for row in wanted["candles"] if row[1] == "1h" and row[-1]]
    orders = shuffled(count)
    for start in range(0, count, COPIES_AT_ONCE):
        copies = {f"P{number}": order for number, order in enumerate(orders[start : start + COPIES_AT_ONCE], start)}
        for copy, state in play(settings, truth, copies).items():
            assert state == wanted, copies[copy]


def test_any_order_of_live_backfill_and_restart_ends_in_the_same_rows(settings: Settings) -> None:
    """D6 at CI size."""
    assert_order_does_not_matter(settings, 300)


def test_d6_negative_control_a_missing_backfill_is_noticed(settings: Settings) -> None:
    """Negative control of D6."""
    truth = CandleTruth(6, symbols=4, start_t=EVENING, minutes=ARRIVING_MINUTES)
    states = play(settings, truth, {"whole": EVENTS, "cut": EVENTS[:3]})
    assert states["cut"] != states["whole"]


def test_d6_negative_control_a_store_whose_last_writer_wins_is_noticed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control of D6: every event arrives, and a running state that comes late undoes the final row."""

    def replace(
        connection: Connection, rows: Sequence[Candle], *, interval: str = "1m", origin: str, final: bool, known_at: int
    ) -> Written:
        connection.executemany(
            "INSERT OR REPLACE INTO hyperliquid_candles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(row.symbol, interval, *row[1:], origin, int(final), known_at) for row in rows],
        )
        return Written(len(rows), 0, 0, (), ())

    monkeypatch.setattr(candles, "store", replace)
    with pytest.raises(AssertionError, match=r"\('(live|backfill|restart)'"):
        assert_order_does_not_matter(settings, 12)


@pytest.mark.soak
def test_ten_thousand_orders_end_in_the_same_rows(settings: Settings) -> None:
    """D6 at soak size."""
    assert_order_does_not_matter(settings, 10_000)
