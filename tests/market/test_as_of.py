"""Reading as of a moment shows what was known then and nothing that came later, also when our clock jumped (09 D7)."""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market import candles
from clash_pipeline.market.candles import Candle, StoredCandle
from clash_pipeline.storage.sqlite import Connection, Database

pytestmark = pytest.mark.goal

T = 1_753_056_000_000
END = T + 6 * MINUTE_MS
SYMBOLS = ("BTC", "ETH")

Read = Callable[[Connection, int], list[StoredCandle]]


class Seen(NamedTuple):
    """What the table said right after something was written at `known_at`."""

    known_at: int
    rows: list[tuple[Candle, int]]


def by_symbol(connection: Connection, as_of: int | None) -> list[StoredCandle]:
    return [
        row
        for symbol in SYMBOLS
        for row in candles.read(connection, symbol, interval="1m", from_t=T, to_t=END, as_of=as_of)
    ]


def as_frame(connection: Connection, as_of: int) -> list[StoredCandle]:
    frame = candles.frame(connection, interval="1m", from_t=T, to_t=END, as_of=as_of)
    return [StoredCandle._make(row) for row in frame.rows()]


def live(market: Database, seed: int, *, steps: int = 60) -> list[Seen]:
    """Let minutes grow, be revised and become final in any order; remembers the table at each moment."""
    chance = random.Random(seed)
    seen: list[Seen] = []
    for known_at in moments(chance, steps):
        minute = Candle(
            chance.choice(SYMBOLS), chance.randrange(T, END, MINUTE_MS), "100.0", "110.0", "90.0",
            f"{chance.randint(95, 105)}.0", "1.5", chance.randint(1, 9),
        )  # fmt: skip
        is_final = chance.random() < 0.15
        with market.write() as connection:
            candles.store(connection, [minute], origin="stream", final=is_final, known_at=known_at)
        with market.read() as connection:
            seen.append(Seen(known_at, values(by_symbol(connection, None))))
    return seen


def moments(chance: random.Random, steps: int) -> Iterator[int]:
    at = T
    for _ in range(steps):
        at += chance.randint(1, 20_000)
        yield at


def values(rows: list[StoredCandle]) -> list[tuple[Candle, int]]:
    """Finality is evidence about values that were known already, so it is not part of what was known."""
    return [(row.candle, row.known_at) for row in rows]


def assert_shows_the_past(market: Database, seen: list[Seen], read: Read) -> None:
    with market.read() as connection:
        for then, following in zip(seen, [*seen[1:], Seen(seen[-1].known_at + 2, [])], strict=True):
            for as_of in (then.known_at, following.known_at - 1):
                assert values(read(connection, as_of)) == then.rows
        assert read(connection, seen[0].known_at - 1) == []


@pytest.mark.parametrize("read", [by_symbol, as_frame])
@pytest.mark.parametrize("seed", range(8))
def test_reading_as_of_any_moment_shows_the_table_of_that_moment(market: Database, seed: int, read: Read) -> None:
    assert_shows_the_past(market, live(market, seed), read)


def forgets_known_at(connection: Connection, as_of: int) -> list[StoredCandle]:
    return by_symbol(connection, None)


def forgets_versions(connection: Connection, as_of: int) -> list[StoredCandle]:
    return [row for row in by_symbol(connection, None) if row.known_at <= as_of]


def is_a_moment_early(connection: Connection, as_of: int) -> list[StoredCandle]:
    return by_symbol(connection, as_of + 1)


@pytest.mark.parametrize("careless", [forgets_known_at, forgets_versions, is_a_moment_early])
def test_d7_negative_control_a_careless_read_is_noticed(market: Database, careless: Read) -> None:
    """Negative control of D7: what leaks the future, or loses the past."""
    with pytest.raises(AssertionError):
        assert_shows_the_past(market, live(market, 0), careless)


def jump(market: Database, off_ms: int) -> None:
    """A minute is known, our clock jumps, and the minute is revised."""
    for n, known_at in ((1, T + 40_000), (2, T + 45_000), (3, T + 50_000 + off_ms)):
        row = Candle("BTC", T, "100.0", "110.0", "90.0", "105.0", f"{n}.0", n)
        with market.write() as connection:
            candles.store(connection, [row], origin="stream", final=False, known_at=known_at)


def leaks(market: Database, read: Read) -> list[StoredCandle]:
    with market.read() as connection:
        return [row for as_of in range(T, T + 90_000, 500) for row in read(connection, as_of) if row.known_at > as_of]


@pytest.mark.parametrize("off_ms", [30_000, -30_000])
def test_no_row_known_later_leaks_when_our_clock_jumps(market: Database, off_ms: int) -> None:
    jump(market, off_ms)
    assert leaks(market, by_symbol) == []
    assert leaks(market, as_frame) == []
    assert leaks(market, forgets_known_at) != [], "negative control"
