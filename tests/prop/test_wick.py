"""D8: a spike of 60 s and ±30 % on one asset just before an end changes no rank, no stop and no liquidation.

Three race accounts hold different books; one race has the spike, its twin of the same seed has not. The spike is in
what is traded: mids and the close of one minute. The venue's own mark does not follow it, smoothed by construction
(10 §1); where there is none, the median of five closes stands in. At the fixing, one whole mark may be wrong as well.
"""

import random
from dataclasses import dataclass
from typing import Self

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, hour_of
from clash_pipeline.prop import marks, results, venue
from clash_pipeline.prop.audit import audit
from clash_pipeline.prop.fixing import SETTLE_MS
from clash_pipeline.prop.policy import Policy
from clash_pipeline.prop.pricing import Quote, Reference
from clash_pipeline.prop.proposal import Proposal
from clash_pipeline.units import RATE
from tests.fakes import market_rows
from tests.fakes.desk import Desk

ASSETS = ("BTC", "ETH")
BOOKS = (15, 35, 60)
"""Percent of equity in BTC, one account each; ETH is the same for all, so that BTC alone decides the ranks."""
MINUTES = 6
SEEDS, SOAK_SEEDS = range(10), range(10, 210)
TERMS = {"fixing_ms": 240_000, "oracle_after_ms": 600_000, "drawdown_basis": "static", "max_drawdown": RATE // 20}
Finish = list[tuple[int, str, int]]
"""In the order of finish: which book, its final state, how many stops fired."""


@dataclass(frozen=True)
class Scenario:
    """A seed's race: where prices drift to, and what the spike hits."""

    steps: dict[str, float]
    sides: tuple[str, ...]
    symbol: str
    minute: int
    factor: float
    feed: str

    @classmethod
    def of(cls, seed: int) -> Self:
        """Prices that drift by 0.15 to 0.3 % a minute, and a spike in one of the last three minutes."""
        source = random.Random(seed)
        return cls(
            steps={symbol: source.choice((-1, 1)) * source.uniform(0.0015, 0.003) for symbol in ASSETS},
            sides=tuple(source.choice(("open_long", "open_short")) for _ in ASSETS),
            symbol=source.choice(ASSETS),
            minute=source.choice((MINUTES - 2, MINUTES - 1, MINUTES)),
            factor=source.choice((0.7, 1.3)),
            feed=source.choice(("venue marks", "no venue marks", "one venue mark is wrong")),
        )

    def prices(self, symbol: str, minute: int, *, is_spiked: bool) -> tuple[str, str]:
        """What is traded and what the venue says the mark is, at a minute; a mark of 0 is none."""
        calm = 100 * (1 + self.steps[symbol] * minute)
        is_hit = is_spiked and (symbol, minute) == (self.symbol, self.minute)
        wild = calm * self.factor if is_hit else calm
        mark = wild if self.feed == "one venue mark is wrong" else calm
        return f"{wild:.2f}", "0" if self.feed == "no venue marks" else f"{mark:.2f}"


def finish(desk: Desk, scenario: Scenario, *, is_spiked: bool) -> Finish:
    """Run the race in the hour to come."""
    ends_at = hour_of(desk.clock.now_ms()) + 2 * HOUR_MS
    start = ends_at - MINUTES * MINUTE_MS
    desk.clock.set(start)
    for symbol in ASSETS:
        market_rows.closes(desk.market, symbol, start, ["100"] * 5)
        publish(desk, symbol, "100", "100")
    racers = [enter(desk, scenario, share, ends_at) for share in BOOKS]
    for minute in range(1, MINUTES + 1):
        closes_at = start + minute * MINUTE_MS
        desk.clock.set(closes_at - 5_000)
        for symbol in ASSETS:
            traded, mark = scenario.prices(symbol, minute, is_spiked=is_spiked)
            publish(desk, symbol, traded, mark)
            market_rows.candle(desk.market, symbol, closes_at - MINUTE_MS, traded, known_at=closes_at + 2_000)
        if (scenario.feed, minute) != ("one venue mark is wrong", scenario.minute):
            marks.mark_all(desk.clash, desk.venue, racers, desk.clock.now_ms())
    desk.clock.set(ends_at + SETTLE_MS)
    marks.mark_all(desk.clash, desk.venue, racers, desk.clock.now_ms())
    return order_of_finish(desk, racers)


def enter(desk: Desk, scenario: Scenario, share: int, ends_at: int) -> int:
    """A race account with its book."""
    desk.open(kind="race", ends_at=ends_at, **TERMS)
    for symbol, side, size in zip(ASSETS, scenario.sides, (share, 25), strict=True):
        desk.run_id += 1
        (result,) = desk.submit(Proposal(symbol, side, str(size), 2, "4.5", None))
        assert result.status == "filled", result
    return desk.account_id


def publish(desk: Desk, symbol: str, traded: str, mark: str) -> None:
    """A mid and a context, 5 s before the minute."""
    now_ms = desk.clock.now_ms()
    market_rows.mid(desk.market, symbol, traded, now_ms)
    market_rows.context(desk.market, symbol, now_ms, mark=mark, mid_px=traded, impact=(traded, traded))
    market_rows.oracle(desk.market, symbol, now_ms, traded, rate_e10=0)


def order_of_finish(desk: Desk, racers: list[int]) -> Finish:
    with desk.clash.read() as connection:
        ended = [result for one in racers if (result := results.get(connection, one))]
        rows = connection.execute("SELECT account_id FROM prop_orders WHERE origin = 'stop'").fetchall()
    assert len(ended) == len(racers)
    stops = [row["account_id"] for row in rows]
    ranked = sorted(ended, key=lambda result: (result.state == "liquidated", -result.final_equity))
    return [(racers.index(one.account_id), one.state, stops.count(one.account_id)) for one in ranked]


def differing(desk: Desk, seeds: range) -> list[int]:
    """The seeds whose race ends otherwise because of the spike."""
    market_rows.list_asset(desk.market, "ETH", sz_decimals=2)
    scenarios = {seed: Scenario.of(seed) for seed in seeds}
    return [
        seed
        for seed, scenario in scenarios.items()
        if finish(desk, scenario, is_spiked=True) != finish(desk, scenario, is_spiked=False)
    ]


def test_a_wick_before_the_end_decides_nothing(desk: Desk) -> None:
    assert differing(desk, SEEDS) == []
    assert audit(desk.clash).is_clean


@pytest.mark.soak
def test_a_wick_before_the_end_decides_nothing_soak(desk: Desk) -> None:
    assert differing(desk, SOAK_SEEDS) == []


def test_control_marks_at_the_last_close_would_let_it_decide(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule of 11 (6) the spike liquidates and stops."""

    def newest_close(quote: Quote, policy: Policy, now_ms: int) -> Reference | None:
        return quote.closes_mark

    monkeypatch.setattr(venue, "MARK_CLOSES", 1)
    monkeypatch.setattr(Quote, "mark", newest_close)
    assert differing(desk, range(7, 9)) != []
