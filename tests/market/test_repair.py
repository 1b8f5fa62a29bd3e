"""Repair: what an answer proves, what stays open, and how a failing venue is met (09 §6.6, D3's order)."""

from collections.abc import Sequence

import pytest

from clash_pipeline.clock import HOUR_MS, MINUTE_MS
from clash_pipeline.market import candles, gaps, health
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.gaps import OpenGap, Request
from clash_pipeline.market.health import ChannelHealth
from clash_pipeline.market.http import VenueUnavailable
from clash_pipeline.market.hyperliquid.wire import WireRejection
from clash_pipeline.market.repair import RECORDED_AS, Repaired, Repairer, RepairLog, read_answer, settle
from clash_pipeline.settings import Settings
from clash_pipeline.storage.errors import LeaseLost, StorageFull
from clash_pipeline.storage.leases import acquire
from clash_pipeline.storage.sqlite import Database
from tests.market.test_convergence import now

M = MINUTE_MS
T = 1_753_056_000_000
LATER = T + 60 * M


def row(minute: int, n: int = 3, c: str = "105.0") -> Candle:
    return Candle("BTC", T + minute * M, "100.0", "110.0", "90.0", c, "1.5" if n else "0.0", n)


def enqueue(
    market: Database, from_minute: int, to_minute: int, reason: str = "disconnect", symbol: str = "BTC"
) -> None:
    with market.write() as connection:
        gaps.enqueue(connection, symbol, T + from_minute * M, T + to_minute * M, reason, now_ms=LATER)


def queue(market: Database) -> list[tuple[int, int]]:
    with market.read() as connection:
        return [((gap.from_t - T) // M, (gap.to_t - T) // M) for gap in gaps.open_gaps(connection)]


def request_for(market: Database, from_minute: int, to_minute: int) -> Request:
    with market.read() as connection:
        return Request("BTC", T + from_minute * M, T + to_minute * M, tuple(gaps.open_gaps(connection)))


def answer(market: Database, request: Request, rows: Sequence[Candle], at: int = LATER) -> Repaired:
    with market.write() as connection:
        return settle(connection, request, rows, asked_at=at, now_ms=at)


def stored(market: Database) -> dict[int, candles.StoredCandle]:
    with market.read() as connection:
        rows = candles.read(connection, "BTC", interval="1m", from_t=T - HOUR_MS, to_t=T + 6 * HOUR_MS)
    return {(row.t - T) // M: row for row in rows}


def states(market: Database) -> dict[str, int]:
    with market.read() as connection:
        return dict(map(tuple, connection.execute("SELECT state, count(*) FROM candle_gaps GROUP BY state")))


def test_a_whole_answer_closes_the_gap_with_final_rows(market: Database) -> None:
    enqueue(market, 0, 3)
    repaired = answer(market, request_for(market, 0, 3), [row(0), row(1), row(2), row(3)])
    assert (repaired.closed, repaired.rows, repaired.conflicts) == (1, 4, 0)
    assert states(market) == {"repaired": 1}
    assert all(found.final and found.origin == "rest" for found in stored(market).values())


def test_a_minute_absent_between_two_rows_had_no_trades(market: Database) -> None:
    enqueue(market, 0, 4)
    answer(market, request_for(market, 0, 4), [row(0, c="101.0"), row(3)])
    assert stored(market)[1].candle == candles.flat("BTC", T + M, "101.0")
    assert stored(market)[2].final
    assert queue(market) == []


def test_minutes_absent_at_the_edges_prove_nothing_and_stay_in_the_queue(market: Database) -> None:
    enqueue(market, 0, 6)
    answer(market, request_for(market, 0, 6), [row(2), row(3)])
    assert sorted(stored(market)) == [2, 3]
    assert queue(market) == [(0, 2), (4, 6)]


def test_the_running_minute_and_one_within_the_grace_are_never_final(market: Database) -> None:
    enqueue(market, 0, 3)
    answer(market, request_for(market, 0, 3), [row(0), row(1), row(2)], at=T + 2 * M + 4_999)
    assert sorted(stored(market)) == [0]
    enqueue(market, 0, 3)
    answer(market, request_for(market, 1, 3), [row(1), row(2)], at=T + 2 * M + 5_000)
    assert sorted(stored(market)) == [0, 1]


def test_an_empty_answer_leaves_everything_for_a_later_try(market: Database) -> None:
    enqueue(market, 0, 3)
    answer(market, request_for(market, 0, 3), [])
    assert queue(market) == [(0, 3)]
    with market.read() as connection:
        assert gaps.open_gaps(connection, due_at=LATER + 59_000) == []
        assert len(gaps.open_gaps(connection, due_at=LATER + HOUR_MS)) == 1


def test_a_partial_answer_is_continued_where_it_ended(market: Database) -> None:
    enqueue(market, 0, 10)
    answer(market, request_for(market, 0, 10), [row(minute) for minute in range(5)])
    assert queue(market) == [(5, 10)]
    with market.read() as connection:
        assert len(gaps.open_gaps(connection, due_at=LATER)) == 1, "progress was made: at once"


def test_a_bad_row_is_counted_and_never_taken_for_silence(market: Database) -> None:
    enqueue(market, 0, 3)
    answer(market, request_for(market, 0, 3), [row(0), row(1, c="NaN"), row(2)])
    assert sorted(stored(market)) == [0, 2]
    assert queue(market) == [(1, 2)]
    with market.read() as connection:
        reasons = [tuple(r) for r in connection.execute("SELECT reason, count FROM ingestion_rejections")]
    assert reasons == [("bad_price", 1)]


def test_an_answer_with_unreadable_rows_fills_no_silence() -> None:
    assert sorted(read_answer([row(0), row(2)], settled_t=LATER, is_whole=False).final) == [T, T + 2 * M]


def test_a_contradicted_final_row_stays_and_is_reported(market: Database) -> None:
    with market.write() as connection:
        candles.store(connection, [row(0, n=5)], origin="stream", final=True, known_at=T + M)
    enqueue(market, 0, 2)
    repaired = answer(market, request_for(market, 0, 2), [row(0, n=6), row(1)])
    assert repaired.conflicts == 1
    assert stored(market)[0].n == 5


def test_trades_in_a_minute_taken_for_silent_are_a_surprise(market: Database) -> None:
    with market.write() as connection:
        candles.store(connection, [candles.flat("BTC", T, "99.0")], origin="flat", final=False, known_at=T + M)
    enqueue(market, 0, 1)
    repaired = answer(market, request_for(market, 0, 1), [row(0), row(1)])
    assert repaired.surprises == 1
    assert repaired.revalued == (row(0),)
    assert repaired.last == row(1)


class Snapshots:
    """A venue with a list of answers or failures, and the questions it was asked."""

    def __init__(self, *answers: list[Candle] | Exception | WireRejection) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int, int]] = []

    async def candle_snapshot(self, coin, interval, from_t, to_t, *, rejected=None):
        self.asked.append((coin, (from_t - T) // M, (to_t - T) // M))
        found = self.answers.pop(0)
        if isinstance(found, WireRejection):
            rejected.append(found)
            return []
        if isinstance(found, Exception):
            raise found
        return [candle for candle in found if from_t <= candle.t < to_t]


def work(market: Database, venue: Snapshots, *, at: int = LATER, ranks: dict[str, int] | None = None) -> int:
    """Work the queue off as far as it is due; returns the requests made."""
    repairer, rank, made = Repairer(market, venue), gaps.by_rank(ranks or {}), 0
    while (request := repairer.next_request(rank, at)) is not None:
        now(repairer.repair(request, lambda: at))
        made += 1
    return made


def test_the_request_starts_at_the_last_trade_before_and_ends_one_minute_after(market: Database) -> None:
    with market.write() as connection:
        candles.store(
            connection, [row(2), candles.flat("BTC", T + 3 * M, "105.0")], origin="stream", final=True, known_at=T
        )
    enqueue(market, 5, 8)
    venue = Snapshots([row(2), row(9)])
    assert work(market, venue) == 1
    assert venue.asked == [("BTC", 2, 9)]


def test_open_positions_come_first_then_decisions_then_races_then_the_rest(market: Database) -> None:
    for symbol in ("AAA", "POS", "RACE", "DUE"):
        enqueue(market, 0, 2, symbol=symbol)
    venue = Snapshots([], [], [], [])
    work(market, venue, ranks={"POS": 0, "DUE": 1, "RACE": 2})
    assert [coin for coin, _, _ in venue.asked] == ["POS", "DUE", "RACE", "AAA"]


def test_a_failing_venue_makes_the_gap_wait_longer_and_longer(market: Database) -> None:
    enqueue(market, 0, 2)
    repairer, at, waits = Repairer(market, Snapshots(*[VenueUnavailable("hyperliquid", "answered 503")] * 4)), LATER, []
    for _ in range(4):
        request = repairer.next_request(gaps.by_rank({}), at)
        assert request is not None
        with pytest.raises(VenueUnavailable):
            now(repairer.repair(request, lambda moment=at: moment))
        began = at
        while repairer.next_request(gaps.by_rank({}), at) is None:
            at += 1_000
        waits.append((at - began) // 1_000)
    assert waits == [15, 30, 60, 120]


def test_an_unreadable_row_is_counted(market: Database) -> None:
    enqueue(market, 0, 2)
    assert work(market, Snapshots(WireRejection("bad_candle", "{}"))) == 1
    with market.read() as connection:
        assert connection.execute("SELECT reason FROM ingestion_rejections").fetchone()[0] == "bad_candle"


def test_a_repair_without_the_lease_writes_nothing(market: Database) -> None:
    held = acquire(market, "ingester", "me", now_ms=1, ttl_ms=10)
    acquire(market, "ingester", "successor", now_ms=100, ttl_ms=10)
    enqueue(market, 0, 2)
    repairer = Repairer(market, Snapshots([row(0), row(1), row(2)]), lease=lambda: held)
    request = repairer.next_request(gaps.by_rank({}), LATER)
    assert request is not None
    with pytest.raises(LeaseLost):
        now(repairer.repair(request, lambda: LATER))
    assert stored(market) == {}


# what is recorded of it


def recorded(market: Database) -> list[tuple[object, ...]]:
    with market.read() as connection:
        statement = "SELECT status, rows_written, rejected, error FROM ingestion_runs WHERE channel = ? ORDER BY id"
        return [tuple(row) for row in connection.execute(statement, (RECORDED_AS,))]


def brought(rows: int, rejected: int = 0) -> Repaired:
    return Repaired("BTC", rows, rows, T, T, (), 0, None, 0, 0, rejected)


def health_of_repair(market: Database, settings: Settings) -> ChannelHealth:
    with market.read() as connection:
        return next(found for found in health.read(connection, settings, LATER) if found.channel == RECORDED_AS)


def test_the_repairs_of_a_minute_are_one_cycle(market: Database, settings: Settings) -> None:
    log = RepairLog()
    assert not log.is_due(LATER)
    log.answered(brought(60, 1), LATER)
    log.answered(brought(30), LATER + 59_000)
    assert [log.is_due(LATER + at) for at in (59_999, 60_000, -1)] == [False, True, True]
    log.record(market, LATER + 60_000)
    log.record(market, LATER + 61_000)
    assert recorded(market) == [("ok", 90, 1, None)]
    assert not log.is_due(LATER + 10**6), "and the next batch begins when something happens"
    found = health_of_repair(market, settings)
    assert (found.status, found.rows_written, found.kind) == ("ok", 90, "on_demand")


@pytest.mark.parametrize("ends_well", [True, False])
def test_questions_that_failed_are_recorded_and_the_newest_says_how_repair_stands(
    market: Database, settings: Settings, ends_well: bool
) -> None:
    log = RepairLog()
    down, full = VenueUnavailable("hyperliquid", "answered 503"), StorageFull("market.db", "full")
    steps = [lambda: log.failed(full, LATER), lambda: log.failed(down, LATER), lambda: log.answered(brought(7), LATER)]
    for step in steps if ends_well else reversed(steps[1:]):
        step()
    log.record(market, LATER + M)
    failures = "2 of 3" if ends_well else "1 of 2"
    error = f"{failures} questions failed, the last with VenueUnavailable: hyperliquid: answered 503"
    cycles = [("failed", 0, 0, error), ("ok", 7, 0, None)]
    assert recorded(market) == (cycles if ends_well else cycles[::-1])
    found = health_of_repair(market, settings)
    assert (found.status, found.last_error) == ("ok" if ends_well else "failed", error)


def test_refused_rows_are_counted_once(market: Database) -> None:
    enqueue(market, 0, 2)
    repairer = Repairer(market, Snapshots(WireRejection("bad_candle", "{}")))
    request = repairer.next_request(gaps.by_rank({}), LATER)
    assert request is not None
    assert now(repairer.repair(request, lambda: LATER)).rejected == 1


# the queue


def test_touching_gaps_of_a_coin_become_one(market: Database) -> None:
    enqueue(market, 0, 2)
    enqueue(market, 4, 6)
    enqueue(market, 2, 4)
    enqueue(market, 1, 3)
    assert queue(market) == [(0, 6)]


def plan(*found: tuple[str, int, int], at: int = LATER, **ranks: int) -> list[tuple[str, int, int]]:
    listed = [OpenGap(i, s, T + a * M, T + b * M, "test", T, 0) for i, (s, a, b) in enumerate(found)]
    requests = gaps.plan(listed, gaps.by_rank(ranks), now_ms=at)
    return [(request.symbol, (request.from_t - T) // M, (request.to_t - T) // M) for request in requests]


def test_near_gaps_share_a_request_and_far_ones_do_not() -> None:
    later = T + 4_000 * M
    assert plan(("BTC", 0, 2), ("BTC", 900, 901), at=later) == [("BTC", 0, 901)]
    assert plan(("BTC", 0, 2), ("BTC", 1_300, 1_301), at=later) == [("BTC", 1_300, 1_301), ("BTC", 0, 2)]
    assert plan(("BTC", 0, 2), ("ETH", 2, 3), at=later) == [("ETH", 2, 3), ("BTC", 0, 2)]


def test_a_long_gap_is_split_to_what_one_answer_can_hold_newest_first() -> None:
    parts = plan(("BTC", 0, 4_990), at=T + 4_990 * M + 6_000)
    assert [to - since for _, since, to in parts] == [350, 4_640]
    assert parts[0][2] == 4_990


def test_what_the_venue_cannot_have_yet_or_any_more_is_not_asked_for() -> None:
    assert plan(("BTC", 58, 62)) == [("BTC", 58, 59)], "the minute before now is still within its grace"
    assert plan(("BTC", -6_000, -5_500)) == []
    assert plan(("BTC", -6_000, 10), at=T + 20 * M)[0][2] == 10


def test_a_gap_is_lost_once_it_is_older_than_we_wait_and_than_the_venue_keeps(market: Database) -> None:
    enqueue(market, 0, 10)
    for hours, left in ((72, [(0, 10)]), (83, [(0, 10)])):
        with market.write() as connection:
            assert gaps.write_off(connection, now_ms=T + hours * HOUR_MS) == 0
        assert queue(market) == left
    with market.write() as connection:
        assert gaps.write_off(connection, now_ms=T + 5_004 * M) == 1
    assert queue(market) == [(4, 10)]
    assert states(market) == {"lost": 1, "open": 1}


def test_unproven_minutes_are_queued_by_the_hour_and_those_in_use_sooner(market: Database) -> None:
    with market.write() as connection:
        for symbol in ("BTC", "POS"):
            rows = [candles.flat(symbol, T + minute * M, "99.0") for minute in range(45)]
            candles.store(connection, rows, origin="flat", final=False, known_at=T)
        rank = gaps.by_rank({"POS": 0})
        assert gaps.enqueue_unproven(connection, rank, now_ms=T + 45 * M) == 1
        assert [(gap.symbol, (gap.to_t - T) // M) for gap in gaps.open_gaps(connection)] == [("POS", 40)]
        assert gaps.enqueue_unproven(connection, rank, now_ms=T + 62 * M) == 2
        assert [(gap.symbol, (gap.to_t - T) // M) for gap in gaps.open_gaps(connection)] == [("BTC", 45), ("POS", 45)]


def test_at_a_start_everything_needed_that_is_missing_is_queued(market: Database) -> None:
    """Minutes 0, 1 and 5 are there; the day before is needed as warm-up, and the rest of this one."""
    at = T + 8 * M + 30_000
    with market.write() as connection:
        candles.store(connection, [row(0), row(1), row(5)], origin="stream", final=True, known_at=T)
        seeds = gaps.enqueue_missing(connection, ["BTC", "NEW"], now_ms=at)
    assert seeds == {"BTC": (T + 8 * M, None), "NEW": (T + 8 * M, None)}
    assert queue(market) == [(-720, 0), (2, 5), (6, 8), (-720, 8)]
    with market.write() as connection:
        candles.store(connection, [row(7, c="107.0")], origin="stream", final=True, known_at=T)
        assert gaps.enqueue_missing(connection, ["BTC"], now_ms=at)["BTC"] == (T + 8 * M, "107.0")


def test_what_was_tried_least_comes_first_within_a_rank() -> None:
    tried = OpenGap(1, "AAA", T, T + M, "start", T, 3)
    new = OpenGap(2, "ZZZ", T, T + M, "start", T, 0)
    requests = gaps.plan([tried, new], gaps.by_rank({}), now_ms=LATER)
    assert [request.symbol for request in requests] == ["ZZZ", "AAA"]


def test_answers_without_the_minutes_make_the_gap_wait_a_minute_then_ten_then_an_hour(market: Database) -> None:
    enqueue(market, 0, 2)
    at, waits = LATER, []
    for _ in range(4):
        assert work(market, Snapshots([]), at=at) == 1
        began = at
        while not gaps_due(market, at):
            at += 30_000
        waits.append((at - began) // M)
    assert waits == [1, 10, 60, 60]


def gaps_due(market: Database, at: int) -> bool:
    with market.read() as connection:
        return bool(gaps.open_gaps(connection, due_at=at))
