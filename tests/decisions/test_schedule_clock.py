"""W4: whatever the clock does, every tick of the grid that it stands at is decided once, and none twice."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, parse_time
from clash_pipeline.decisions import claims, grid, runs
from tests.fakes.world import World

CADENCES = (60, 300, 420, 3_600, 86_400)
LEAP_SECOND = int(datetime(2017, 1, 1, tzinfo=UTC).timestamp() * 1_000)
Look = Callable[[int, int], list[int]]
"""The ticks that an account decides at a moment."""


def month_end(now_ms: int) -> int:
    """The first instant of the next month."""
    at = datetime.fromtimestamp(now_ms / 1_000, UTC)
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1_000)


def schedule(chance: random.Random, start: int) -> Iterator[int]:
    """Moments that a clock shows: it runs, jumps an hour, is stepped back, and stands around the end of a month."""
    now = start + chance.randrange(DAY_MS)
    for _ in range(6):
        yield now
        now = chance.choice(
            (
                lambda now: now + chance.randrange(1, 10 * MINUTE_MS),
                lambda now: now + HOUR_MS,
                lambda now: now - HOUR_MS,
                lambda now: now - chance.randrange(1, 2 * SECOND_MS),  # a step of NTP
                lambda now: now - now % SECOND_MS,  # a leap second: the same second again
                lambda now: month_end(now) + chance.randrange(-SECOND_MS, SECOND_MS),
            )
        )(now)


class Watch:
    """What an account decided, against the contract: tick = floor((now − phase) / cadence) × cadence + phase."""

    def __init__(self, look: Look, account_id: int, cadence_sec: int, kind: str) -> None:
        self.look = look
        self.account_id = account_id
        self.cadence_ms = cadence_sec * SECOND_MS
        self.phase = 0 if kind == "race" else account_id % max(cadence_sec // 60, 1) * MINUTE_MS
        self.seen: set[int] = set()
        self.wrong: list[str] = []

    def stand(self, now_ms: int) -> None:
        """One look; notes a tick off the grid, a second time, or missing."""
        tick = (now_ms - self.phase) // self.cadence_ms * self.cadence_ms + self.phase
        wanted = [] if tick in self.seen else [tick]
        found = self.look(self.account_id, now_ms)
        if found != wanted:
            self.wrong.append(f"at {now_ms}: {found}, not {wanted}")
        self.seen |= {tick, *found}


@pytest.fixture
def accounts(world: World) -> list[tuple[int, int, str]]:
    """A sandbox of every cadence, and a race account: (account, cadence, kind)."""
    made = []
    for cadence_sec in CADENCES:
        clone_id, account_id = world.clone("BTC", name=f"Every {cadence_sec}", cadence_sec=cadence_sec)
        made.append((account_id, cadence_sec, "sandbox"))
    race_id = world.race(clone_id, hours=24 * 365 * 200)
    return [*made, (race_id, 86_400, "race")]


def decide(world: World) -> Look:
    """Look as every worker does, claim, and end."""

    def look(account_id: int, now_ms: int) -> list[int]:
        with world.clash.read() as connection:
            found = grid.due(connection, now_ms=now_ms, account_id=account_id)
        with world.clash.write() as connection:
            taken = claims.claim_all(connection, found, worker="w", now_ms=now_ms, ttl_ms=60_000, dagster_run_id=None)
            for claim in taken:
                runs.end(connection, claim, "skipped", "looked", effective=None, now_ms=now_ms)
        return [claim.tick for claim in taken]

    return look


def by_elapsed_time() -> Look:
    """What the grid replaces: due when a cadence has passed since the last time."""
    last: dict[int, int] = {}

    def look(account_id: int, now_ms: int) -> list[int]:
        if abs(now_ms - last.get(account_id, 0)) < 60 * SECOND_MS:
            return []
        last[account_id] = now_ms
        return [now_ms]

    return look


def watched(look: Look, accounts: list[tuple[int, int, str]], start: int, schedules: int) -> list[str]:
    watches = [Watch(look, *each) for each in accounts]
    chance = random.Random(4)
    for number in range(schedules):
        watch = watches[number % len(watches)]
        for now_ms in schedule(chance, start + DAY_MS + number * 3 * DAY_MS):
            watch.stand(now_ms)
    return [wrong for watch in watches for wrong in watch.wrong]


def test_a_thousand_schedules_double_no_tick_and_miss_none(world: World, accounts: list[tuple[int, int, str]]) -> None:
    assert watched(decide(world), accounts, world.clock.now_ms(), 1_000) == []


@pytest.mark.soak
def test_ten_thousand_schedules_double_no_tick_and_miss_none(
    world: World, accounts: list[tuple[int, int, str]]
) -> None:
    assert watched(decide(world), accounts, world.clock.now_ms(), 10_000) == []


def test_control_a_schedule_by_elapsed_time_is_found_out() -> None:
    wrong = watched(by_elapsed_time(), [(1, 300, "sandbox")], LEAP_SECOND, 10)
    assert len(wrong) > 10


def test_a_claim_of_a_clock_that_went_back_an_hour_can_be_taken_up(world: World) -> None:
    """A worker dies, and the clock is set back: its claim seems to lie an hour and a minute ahead."""
    _, account_id = world.clone("BTC")
    now_ms = world.clock.now_ms() + 10 * MINUTE_MS
    with world.clash.write() as connection:
        found = grid.due(connection, now_ms=now_ms, account_id=account_id)
        claims.claim_all(connection, found, worker="gone", now_ms=now_ms, ttl_ms=60_000, dagster_run_id=None)
    with world.clash.read() as connection:
        assert claims.left_behind(connection, now_ms=now_ms) == []
        assert len(claims.left_behind(connection, now_ms=now_ms - HOUR_MS)) == 1


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "2016-12-31T23:59:60.5", "2025-02-30T00:00Z"])
def test_instants_that_do_not_exist_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: give"):
        parse_time(text)
