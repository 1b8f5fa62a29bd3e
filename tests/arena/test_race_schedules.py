"""W4 for races: whatever the clock does, each arrow of a race is taken once, at the first look at which it is due."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from clash_pipeline.arena import course, flags, market_state, race_audit, races
from clash_pipeline.arena.field import let_go
from clash_pipeline.arena.market_state import Silence
from clash_pipeline.arena.parts import ARENA, Parts
from clash_pipeline.arena.races import Race
from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.economy import pools
from clash_pipeline.settings import Settings
from tests.fakes.circuit import Circuit

LOOKS = 3
WATCHED_MS = 10 * MINUTE_MS
"""Without a chain a pool is known so long after its close."""
Owed = list[tuple[int, str]]


@dataclass
class Way:
    """One race as it should go."""

    number: int
    starts: int
    ends: int
    closes: int
    late: int
    state: str = "accumulating"
    settled: int = 0


@dataclass
class Timetable:
    """What is owed at each look: the pages of 05 and 11 again, without the product's code."""

    ways: list[Way] = field(default_factory=list)

    def owed(self, settings: Settings, now: int) -> Owed:
        found: Owed = []
        for way in self.ways:
            while (state := self._next(way, settings, now)) is not None:
                way.state = state
                way.settled = now if state == "settled" else way.settled
                found.append((way.number, state))
        self.ways = [way for way in self.ways if way.state not in {"archived", "cancelled"} or way is self.ways[-1]]
        return found + self._opened(settings, now)

    def _next(self, way: Way, settings: Settings, now: int) -> str | None:
        if way.state == "accumulating":
            return "launching" if now >= way.closes else None
        if way.state == "launching":
            if now >= way.starts + way.late:
                return "cancelled"
            return "live" if now >= max(way.starts, way.closes + WATCHED_MS) else None
        if way.state == "live":
            return "settling" if now >= way.ends else None
        if way.state == "settling":
            return "settled"
        is_old = now >= way.settled + settings.race_archive_after_sec * SECOND_MS
        return "archived" if way.state == "settled" and is_old else None

    def _opened(self, settings: Settings, now: int) -> Owed:
        """The next window of the grid that sells for long enough, once the race before it is on its way."""
        last = self.ways[-1] if self.ways else None
        if last and (last.state in {"accumulating", "launching"} or now < last.starts):
            return []
        length, before = settings.race_length_sec * SECOND_MS, settings.race_sales_close_before_sec * SECOND_MS
        starts = now - now % length
        while starts < now + settings.race_least_sales_sec * SECOND_MS + before:
            starts += length
        starts = max(starts, last.starts + length) if last else starts
        number, late = last.number + 1 if last else 1, settings.race_late_sec * SECOND_MS
        self.ways.append(Way(number, starts, starts + length, starts - before, late))
        return [(number, "accumulating")]

    def next_moment(self, chance: random.Random, now: int) -> int:
        """About a second around one of the next two moments at which something of a race is due."""
        due = {at for way in self.ways for at in (way.closes, way.starts, way.starts + way.late, way.ends)}
        ahead = sorted(at for at in due if at > now + SECOND_MS) or [now + HOUR_MS]
        return chance.choice(ahead[:1] * 4 + ahead[:2]) + chance.randint(-SECOND_MS, SECOND_MS)


def later(chance: random.Random, table: Timetable, now: int) -> int:
    """What a clock shows next: it runs, jumps an hour, is stepped back, repeats a second, or comes to a month's end."""
    kind = chance.randrange(20)
    if kind < 11:
        return table.next_moment(chance, now)
    if kind < 15:
        return now + chance.choice((HOUR_MS, -HOUR_MS))
    if kind < 17:
        return now - chance.randrange(1, 2 * SECOND_MS)  # a step of NTP
    if kind < 19:
        return now - now % SECOND_MS  # a leap second: the same second again
    return month_end(now) + chance.randint(-SECOND_MS, SECOND_MS)


def month_end(now: int) -> int:
    at = datetime.fromtimestamp(now / 1_000, UTC)
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1_000)


def drawn(chance: random.Random, settings: Settings) -> Settings:
    """Figures of a schedule, which hold from the next race on."""
    length = chance.choice((2, 3, 6, 12, 24)) * HOUR_MS // SECOND_MS
    figures = {
        "race_length_sec": length, "race_sales_close_before_sec": chance.choice((60, 300, 900)),
        "race_least_sales_sec": chance.choice((600, 3_600)), "race_late_sec": chance.choice((1_200, 1_800, 7_200)),
        "race_archive_after_sec": chance.choice((0, 600, 3_600)),
    }  # fmt: skip
    return settings.model_copy(update=figures)


@pytest.fixture
def light(circuit: Circuit, monkeypatch: pytest.MonkeyPatch) -> Circuit:
    """Races without accounts and money: arrows, windows and fields are the product's, the market always speaks."""
    monkeypatch.setattr(market_state, "universe", lambda *_: ("BTC",))
    monkeypatch.setattr(market_state, "silence", lambda *_: Silence(2**62))
    monkeypatch.setattr(
        course, "_start", lambda connection, race, now: pools.close_pool(connection, race.id, now_ms=now)
    )
    monkeypatch.setattr(course, "finish", finish)
    monkeypatch.setattr(flags, "alike", lambda *_: [])
    monkeypatch.setattr(race_audit, "of_race", lambda *_: [])
    circuit.enter(houses=4)
    circuit.is_heard = False
    return circuit


def finish(parts: Parts, race: Race, now_ms: int) -> bool:
    with parts.clash.write() as connection:
        let_go(connection, race.id, races.entrants(connection, race.id), now_ms=now_ms)
        return races.move(connection, race, "settled", now_ms=now_ms, actor=ARENA, result_hash="0" * 64)


def watched(
    circuit: Circuit, schedules: int, seed: int, look: Callable[[Circuit], Owed]
) -> tuple[list[str], Counter[str]]:
    """Each look at which something else was done than was owed, and how often a race came to each state."""
    chance, table, usual = random.Random(seed), Timetable(), circuit.settings
    wrong: list[str] = []
    ways = Counter[str]()
    with circuit.clash.together():
        for _ in range(schedules):
            circuit.settings = drawn(chance, usual)
            for _ in range(LOOKS):
                owed = table.owed(circuit.settings, circuit.now)
                if (done := look(circuit)) != owed:
                    wrong.append(f"at {circuit.now}: {done}, not {owed}")
                ways.update(state for _, state in done)
                circuit.clock.set(later(chance, table, circuit.now))
    return wrong, ways


def advanced(circuit: Circuit) -> Owed:
    return [(moved.id, moved.state) for moved in circuit.advance()]


def assert_as_owed(circuit: Circuit, seed: int) -> None:
    wrong, ways = watched(circuit, 1_000, seed, advanced)
    assert wrong == []
    assert min(ways[state] for state in races.ORDER) >= 100, ways


def test_a_thousand_schedules_skip_no_arrow_and_take_none_twice(light: Circuit) -> None:
    assert_as_owed(light, 4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 20))
def test_ten_thousand_schedules_skip_no_arrow_and_take_none_twice(light: Circuit, seed: int) -> None:
    assert_as_owed(light, seed)


def test_control_looks_that_are_left_out_are_noticed(light: Circuit) -> None:
    looks = iter(range(10**6))
    wrong, _ = watched(light, 20, 4, lambda circuit: [] if next(looks) % 3 == 0 else advanced(circuit))
    assert wrong != []
