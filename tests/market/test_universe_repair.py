"""09 D3 through the product's own queue: an hour of 400 assets, most needed first, within what the venue allows."""

import asyncio
import random
from collections.abc import Mapping

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market import gaps
from clash_pipeline.market.http import VenueError
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest, snapshot_weight
from clash_pipeline.market.repair import Repairer
from clash_pipeline.market.weights import WeightBudget
from clash_pipeline.storage.sqlite import Database
from tests.fakes.hyperliquid_info import WeighedInfo
from tests.fakes.virtual_time import VirtualTime

NOW = 1_753_100_040_000
FROM_T, TO_T = NOW - 2 * HOUR_MS, NOW - HOUR_MS
LIMIT, VENUE_LIMIT = 1_100, 1_200
RANKS = {0: 10, 1: 20, 2: 30, gaps.REST_RANK: 340}
"""How many coins there are of each: open positions, due decisions, the race universe, the rest."""
ROWS_ASKED = 62
"""The hour, the minute before it (a silence needs its left edge) and the one after it (and its right one)."""


def universe(seed: int) -> dict[str, int]:
    """Coins by rank; their names say nothing about it."""
    names = [f"C{number:03}" for number in range(sum(RANKS.values()))]
    random.Random(seed).shuffle(names)
    ranks = [rank for rank, count in RANKS.items() for _ in range(count)]
    return dict(zip(names, ranks, strict=True))


def miss_an_hour(market: Database, coins: Mapping[str, int]) -> None:
    with market.write() as connection:
        for coin in sorted(coins):
            gaps.enqueue(connection, coin, FROM_T, TO_T, "disconnect", now_ms=NOW)


async def work_off(market: Database, rest: HyperliquidRest, time: VirtualTime, rank: gaps.Rank) -> None:
    """The ingester's loop: one request after the other, until nothing is open."""
    repairer = Repairer(market, rest)
    while True:
        with market.read() as connection:
            if not gaps.open_gaps(connection):
                return
        request = repairer.next_request(rank, time.now_ms())
        if request is None:
            await time.sleep(0.5)
            continue
        try:
            await repairer.repair(request, time.now_ms)
        except VenueError:
            await time.sleep(0.5)


def repair_the_universe(
    market: Database, coins: Mapping[str, int], *, limit: int = LIMIT, rank: gaps.Rank | None = None
) -> tuple[WeighedInfo, int]:
    """The venue afterwards, and how long it took in ms."""
    time = VirtualTime(NOW)
    venue = WeighedInfo(time.now_ms, time.sleep)
    budget = WeightBudget(market, "hyperliquid", limit, time, sleep=time.sleep)
    rest = HyperliquidRest(venue, budget, "http://venue", time)  # type: ignore[arg-type]
    miss_an_hour(market, coins)
    asyncio.run(time.run(work_off(market, rest, time, rank or gaps.by_rank(coins))))
    return venue, time.now_ms() - NOW


def assert_as_agreed(market: Database, coins: Mapping[str, int], venue: WeighedInfo, took_ms: int) -> None:
    assert venue.refused == 0
    assert venue.peak <= VENUE_LIMIT
    assert sorted(venue.asked) == sorted(coins), "each coin once"
    assert venue.total == len(coins) * snapshot_weight(ROWS_ASKED), "and nothing but what it needs"
    assert took_ms <= 1.1 * venue.total / VENUE_LIMIT * MINUTE_MS
    asked = [coins[coin] for coin in venue.asked]
    assert asked == sorted(asked), "most needed first"
    with market.read() as connection:
        finals = connection.execute(
            "SELECT count(*) FROM hyperliquid_candles WHERE final = 1 AND t >= ? AND t < ?", (FROM_T, TO_T)
        ).fetchone()[0]
        states = {row[0] for row in connection.execute("SELECT state FROM candle_gaps")}
    assert finals == len(coins) * 60
    assert states == {"repaired"}


def test_d3_the_queue_of_400_assets_is_worked_off_in_order_and_within_the_weight(market: Database) -> None:
    coins = universe(0)
    assert_as_agreed(market, coins, *repair_the_universe(market, coins))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 20))
def test_d3_soak_of_the_queue(market: Database, seed: int) -> None:
    coins = universe(seed)
    assert_as_agreed(market, coins, *repair_the_universe(market, coins))


def some(coins: Mapping[str, int], count: int) -> dict[str, int]:
    return dict(random.Random(1).sample(sorted(coins.items()), count))


def test_d3_negative_control_a_queue_without_ranks_is_noticed(market: Database) -> None:
    coins = some(universe(0), 40)
    repaired = repair_the_universe(market, coins, rank=lambda _: gaps.REST_RANK)
    with pytest.raises(AssertionError, match="most needed first"):
        assert_as_agreed(market, coins, *repaired)


def test_d3_negative_control_a_queue_without_a_budget_is_noticed(market: Database) -> None:
    coins = some(universe(0), 150)
    venue, _ = repair_the_universe(market, coins, limit=10**6)
    assert venue.refused > 0


def test_d3_negative_control_a_budget_that_is_too_careful_is_noticed(market: Database) -> None:
    coins = some(universe(0), 150)
    venue, took_ms = repair_the_universe(market, coins, limit=400)
    with pytest.raises(AssertionError):
        assert_as_agreed(market, coins, venue, took_ms)
