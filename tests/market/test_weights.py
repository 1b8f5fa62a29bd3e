"""09 D3: never above the weight limit in any 60 s, across processes and restarts, and hardly slower than it allows."""

import asyncio
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clash_pipeline.clock import SettableClock
from clash_pipeline.market.http import VenueUnavailable
from clash_pipeline.market.hyperliquid.rest import HyperliquidRest
from clash_pipeline.market.weights import OverBudget, WeightBudget
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import migrate_all, open_market
from clash_pipeline.storage.sqlite import Database
from tests.fakes.hyperliquid_info import WeighedInfo
from tests.fakes.virtual_time import VirtualTime

T0 = 1_753_100_040_000
HOUR_MS = 3_600_000
LIMIT = 1_100
VENUE_LIMIT = 1_200


@pytest.fixture
def budget(market: Database, clock: SettableClock) -> WeightBudget:
    return WeightBudget(market, "hyperliquid", 100, clock)


def test_weight_within_the_limit_is_spent_at_once(budget: WeightBudget) -> None:
    assert budget.try_spend(60) == 0
    assert budget.try_spend(40) == 0
    assert budget.spent() == 100


def test_what_does_not_fit_waits_until_enough_has_left_the_window(budget: WeightBudget, clock: SettableClock) -> None:
    budget.try_spend(60)
    clock.advance(10_000)
    budget.try_spend(40)
    assert budget.try_spend(1) == 50_001
    clock.advance(50_000)  # exactly 60 s old still counts
    assert budget.try_spend(1) == 1
    clock.advance(1)
    assert budget.try_spend(60) == 0
    assert budget.try_spend(1) == 10_000


def test_a_request_heavier_than_the_window_is_refused_for_good(budget: WeightBudget) -> None:
    with pytest.raises(OverBudget, match="weight 101 does not fit 100 per minute"):
        budget.try_spend(101)


def test_another_process_and_a_restarted_one_share_the_window(settings: Settings, budget: WeightBudget) -> None:
    budget.try_spend(90)
    other_process = open_market(settings)
    restarted = WeightBudget(other_process, "hyperliquid", 100, SettableClock(1_753_100_000_500))
    assert restarted.try_spend(20) > 0
    assert restarted.try_spend(10) == 0
    assert WeightBudget(other_process, "polymarket", 100, SettableClock(1_753_100_000_500)).try_spend(100) == 0
    other_process.close()


def test_a_reservation_is_trued_up_to_what_the_answer_cost(budget: WeightBudget, clock: SettableClock) -> None:
    async def ask() -> None:
        async with budget.reserve(90) as reservation:
            assert budget.spent() == 90
            clock.advance(3_000)
            reservation.weight = 21

    asyncio.run(ask())
    assert budget.spent() == 21
    clock.advance(60_000)
    assert budget.spent() == 21, "it counts from the answer, not from the question"
    clock.advance(1)
    assert budget.spent() == 0


KILLED_IN_FLIGHT = """
import asyncio, os, signal, sys
from pathlib import Path
from clash_pipeline.clock import SettableClock
from clash_pipeline.market.weights import WeightBudget
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import open_market

async def ask(budget):
    async with budget.reserve(90):
        os.kill(os.getpid(), signal.SIGKILL)

market = open_market(Settings(home=Path(sys.argv[1])))
asyncio.run(ask(WeightBudget(market, "hyperliquid", 100, SettableClock(int(sys.argv[2])))))
"""


def test_a_request_whose_process_was_killed_counts_for_as_long_as_it_may_still_arrive(
    settings: Settings, budget: WeightBudget, clock: SettableClock
) -> None:
    command = [sys.executable, "-c", KILLED_IN_FLIGHT, str(settings.home), str(clock.now_ms())]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    clock.advance(65_000)
    assert budget.try_spend(20) > 0
    clock.advance(5_001)
    assert budget.try_spend(20) == 0


def test_a_429_holds_everybody_as_long_as_the_venue_says(budget: WeightBudget, clock: SettableClock) -> None:
    budget.hold(5_000)
    assert budget.try_spend(2) == 5_001
    clock.advance(5_001)
    assert budget.try_spend(2) == 0


def test_a_clock_that_was_set_back_costs_a_minute_not_an_hour(budget: WeightBudget, clock: SettableClock) -> None:
    budget.try_spend(100)
    clock.advance(-3_600_000)
    assert 0 < budget.try_spend(1) <= 60_001
    clock.advance(60_001)
    assert budget.try_spend(1) == 0


@given(steps=st.lists(st.tuples(st.integers(1, 100), st.integers(0, 40_000)), min_size=1, max_size=60))
@hypothesis_settings(max_examples=40)
def test_no_window_of_60_s_ever_holds_more_than_the_limit(migrated_home: Path, steps: list[tuple[int, int]]) -> None:
    with budget_of_its_own(migrated_home) as (budget, clock):
        granted: list[tuple[int, int]] = []
        for weight, pause_ms in steps:
            if budget.try_spend(weight) == 0:
                granted.append((clock.now_ms(), weight))
            clock.advance(pause_ms)
        for start, _ in granted:
            assert sum(weight for at, weight in granted if start <= at <= start + 60_000) <= 100


# --- D3 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0])
def test_d3_repair_of_400_assets_stays_under_the_limit_and_near_the_bound(settings: Settings, seed: int) -> None:
    repair_the_universe(settings, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_d3_soak(settings: Settings, seed: int) -> None:
    repair_the_universe(settings, seed)


def repair_the_universe(settings: Settings, seed: int) -> None:
    """400 assets, one hour each, by three processes that also poll, one of which is replaced half-way."""
    time = VirtualTime(T0)
    venue = WeighedInfo(time.now_ms, time.sleep, seed=seed)
    files = [open_market(settings) for _ in range(4)]
    coins = [f"COIN{index}" for index in range(400)]
    random.Random(seed).shuffle(coins)

    asyncio.run(
        time.run(
            snapshots(venue, files[0], time, coins[:150]),
            snapshots(venue, files[1], time, coins[150:250]),
            snapshots(venue, files[2], time, coins[250:300]),
            snapshots(venue, files[3], time, coins[300:], delay_sec=90),
        )
    )

    assert sorted(venue.asked) == sorted(coins)
    assert venue.refused == 0
    assert venue.peak <= VENUE_LIMIT
    assert venue.total == 400 * 21
    bound_ms = venue.total / VENUE_LIMIT * 60_000
    assert time.now_ms() - T0 <= 1.1 * bound_ms
    for file in files:
        file.close()


@pytest.mark.parametrize("broken", ["no limit", "not shared"])
def test_d3_negative_control_a_broken_budget_is_noticed(settings: Settings, tmp_path: Path, broken: str) -> None:
    time = VirtualTime(T0)
    venue = WeighedInfo(time.now_ms, time.sleep)
    first, second = open_market(settings), Settings(home=tmp_path / "other")
    migrate_all(second)
    other = open_market(second) if broken == "not shared" else first
    limit = 10**6 if broken == "no limit" else LIMIT
    coins = [f"COIN{index}" for index in range(200)]
    with pytest.raises(VenueUnavailable, match="429"):
        asyncio.run(
            time.run(
                snapshots(venue, first, time, coins[:100], limit=limit),
                snapshots(venue, other, time, coins[100:], limit=limit),
            )
        )
    assert venue.refused > 0
    first.close()
    other.close()


def test_the_first_to_wait_is_the_first_to_ask(market: Database) -> None:
    """The order of the repair queue (open positions, due decisions, race universe, rest) survives the waiting."""
    time = VirtualTime(T0)
    venue = WeighedInfo(time.now_ms, time.sleep, latency_ms=1)
    wanted = [f"POSITION{i}" for i in range(30)] + [f"REST{i}" for i in range(60)]

    async def all_at_once() -> None:
        rest = client(venue, market, time)
        await asyncio.gather(*(rest.candle_snapshot(coin, "1m", T0 - HOUR_MS, T0) for coin in wanted))

    asyncio.run(time.run(all_at_once()))
    assert [coin.startswith("POSITION") for coin in venue.asked].index(False) >= 29


@contextmanager
def budget_of_its_own(migrated_home: Path) -> Iterator[tuple[WeightBudget, SettableClock]]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(shutil.copytree(migrated_home, folder, dirs_exist_ok=True)))
        market, clock = open_market(settings), SettableClock(T0)
        yield WeightBudget(market, "hyperliquid", 100, clock), clock
        market.close()


async def snapshots(
    venue: WeighedInfo, market: Database, time: VirtualTime, coins: list[str], *, delay_sec: int = 0, limit: int = LIMIT
) -> None:
    if delay_sec:
        await time.sleep(delay_sec)
    rest = client(venue, market, time, limit)
    for coin in coins:
        rows = await rest.candle_snapshot(coin, "1m", T0 - HOUR_MS, T0)
        assert len(rows) == 60


def client(venue: WeighedInfo, market: Database, time: VirtualTime, limit: int = LIMIT) -> HyperliquidRest:
    budget = WeightBudget(market, "hyperliquid", limit, time, sleep=time.sleep)
    return HyperliquidRest(venue, budget, "http://venue", time)  # type: ignore[arg-type]
