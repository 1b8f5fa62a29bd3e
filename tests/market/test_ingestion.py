"""How ingestion went: cycles, percentiles, rejections, and what is forgotten."""

import pytest

from clash_pipeline.clock import DAY_MS, SettableClock
from clash_pipeline.market import ingestion
from clash_pipeline.storage.sqlite import Database, one

SOURCE = "hyperliquid"


def count(market: Database, statement: str) -> int:
    with market.read() as connection:
        return int(one(connection, statement))


def test_a_cycle_that_went_well_says_what_it_did(market: Database, clock: SettableClock) -> None:
    with ingestion.run(market, SOURCE, "funding", clock, expected=3) as cycle:
        cycle.rows, cycle.covered, cycle.through_t, cycle.lags_ms = 2, 2, 60_000, [5, 1, 9]
        clock.advance(40)
    with market.read() as connection:
        row = connection.execute("SELECT * FROM ingestion_runs").fetchone()
        assert ingestion.through(connection, SOURCE, "funding") == 60_000
    assert (row["status"], row["rows_written"], row["covered"], row["expected"]) == ("ok", 2, 2, 3)
    assert (row["lag_p50_ms"], row["lag_p99_ms"], row["finished_at"] - row["started_at"]) == (5, 9, 40)


def test_a_cycle_that_raises_is_recorded_as_failed_and_goes_on_raising(market: Database, clock: SettableClock) -> None:
    def failing() -> None:
        with ingestion.run(market, SOURCE, "funding", clock) as cycle:
            cycle.through_t = 60_000
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        failing()
    with market.read() as connection:
        row = connection.execute("SELECT status, error FROM ingestion_runs").fetchone()
        assert ingestion.through(connection, SOURCE, "funding") is None
    assert tuple(row) == ("failed", "ValueError: no")


def test_rejections_of_a_day_are_one_counted_row_with_the_first_sample(market: Database) -> None:
    with market.write() as connection:
        for sample in (b"first \xff", "second"):
            ingestion.reject(connection, SOURCE, "candles_1m", "bad_price", sample, now_ms=DAY_MS + 5)
        ingestion.reject(connection, SOURCE, "candles_1m", "bad_price", "x" * 9_000, now_ms=3 * DAY_MS, count=4)
    with market.read() as connection:
        rows = connection.execute("SELECT day, count, sample FROM ingestion_rejections ORDER BY day").fetchall()
    assert [(row["day"], row["count"], len(row["sample"])) for row in rows] == [(DAY_MS, 2, 7), (3 * DAY_MS, 4, 2_000)]


def test_what_is_old_is_forgotten_in_bounded_steps(market: Database) -> None:
    with market.write() as connection:
        for day in range(4):
            at = day * DAY_MS
            ingestion.record(connection, SOURCE, "mids", ingestion.Cycle(), started_at=at, finished_at=at)
            ingestion.reject(connection, SOURCE, "mids", "bad_price", "x", now_ms=at)
    assert ingestion.forget(market, before_ms=2 * DAY_MS, most=1) == 2
    assert ingestion.forget(market, before_ms=2 * DAY_MS) == 2
    assert ingestion.forget(market, before_ms=2 * DAY_MS) == 0
    assert count(market, "SELECT count(*) FROM ingestion_runs WHERE started_at >= 172800000") == 2


@pytest.mark.parametrize(
    ("lags", "expected"), [([], (None, None)), ([7], (7, 7)), (list(range(1, 101)), (50, 100)), ([3, 1], (1, 3))]
)
def test_percentiles_by_nearest_rank(lags: list[int], expected: tuple[int | None, int | None]) -> None:
    assert ingestion.lag_percentiles(lags) == expected
