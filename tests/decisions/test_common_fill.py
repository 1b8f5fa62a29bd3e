"""The common instant of races and auditions: decided after t, filled at the final close of [t, t + 60 s) (11, 1)."""

import asyncio

import pytest

from clash_pipeline.clock import MINUTE_MS, SECOND_MS, minute_of
from clash_pipeline.decisions import claims, grid, waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.decisions.replaying import replayer
from clash_pipeline.decisions.runs import Ended
from clash_pipeline.prop import accounts
from tests.fakes import market_rows
from tests.fakes.answers import answer, decided
from tests.fakes.world import RISING, World

STEP_MS = 300 * SECOND_MS


@pytest.fixture
def raced(world: World) -> int:
    """A clone in a race, its sandbox paused; the clock stands 10 s after a tick of the common grid."""
    clone_id, sandbox = world.clone("BTC", "ETH")
    accounts.move(world.clash, sandbox, "paused", now_ms=1, actor="a", reason="r")
    account_id = world.race(clone_id)
    world.clock.set(grid.tick_of(world.clock.now_ms(), 300, 0) + STEP_MS + 10 * SECOND_MS)
    prices(world)
    return account_id


def prices(world: World, *symbols: str) -> None:
    for symbol in symbols or ("BTC", "ETH"):
        world.minute(symbol, "100", hist=0.5, hist_before=0.3, **RISING)


def tick(world: World) -> int:
    return grid.tick_of(world.clock.now_ms(), 300, 0)


def close_minute(world: World, symbol: str, close: str, *, final: bool = True, volume: str = "10") -> None:
    """The common minute of the present tick closes five seconds after its end."""
    t = tick(world)
    market_rows.candle(
        world.market, symbol, t, close, final=final, volume=volume, known_at=t + MINUTE_MS + 5 * SECOND_MS
    )


def waiting_until(world: World) -> list[tuple[str, str, int]]:
    with world.clash.read() as connection:
        rows = connection.execute("SELECT state, reason, claimed_until FROM decision_runs ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


def fills(world: World) -> list[tuple[str, int]]:
    with world.clash.read() as connection:
        rows = connection.execute("SELECT reference_price, filled_at FROM prop_fills ORDER BY id").fetchall()
    return [tuple(row) for row in rows]


def said(ended: list[Ended]) -> list[tuple[str, str, str]]:
    return [(run.symbol, run.state, run.reason) for run in ended]


def test_a_race_decides_on_the_common_grid_whatever_its_account(world: World, raced: int) -> None:
    found = waves.due(world)
    assert {(due.account_id, due.tick, due.fill_at) for due in found} == {(raced, tick(world), tick(world) + MINUTE_MS)}


def test_a_slower_prompt_keeps_to_the_steps_of_the_grid() -> None:
    """The cadence is rounded up to whole steps: everybody's ticks lie on the one grid."""
    assert [grid.cadence_of(sec, "race", 300) for sec in (60, 300, 301, 900)] == [300, 300, 600, 900]
    assert [grid.cadence_of(sec, "sandbox", 60) for sec in (60, 301)] == [60, 301]


def test_every_run_of_a_tick_is_filled_at_the_same_close(world: World, raced: int) -> None:
    """Nothing happens before t + 60 s; then the final close of the minute, not the newest price."""
    made = decided(world, waves.due(world), answer("open_long"))
    assert waves.apply(world, made) == []
    instant = tick(world) + MINUTE_MS
    assert waiting_until(world) == [("running", "waiting_for_fill_instant", instant - 1)] * 2
    assert waves.undelivered(world, worker="fill") == []
    world.clock.set(instant)
    assert waves.deliverable(world) == []  # nobody knows the minute yet
    close_minute(world, "BTC", "101.5")
    close_minute(world, "ETH", "99", final=False)
    world.clock.set(instant + 5 * SECOND_MS)
    assert [due.symbol for due in waves.deliverable(world)] == ["BTC"]
    assert said(waves.apply(world, waves.undelivered(world, worker="fill"))) == [("BTC", "completed", "filled")]
    assert fills(world) == [("101.5", instant + 5 * SECOND_MS)]
    close_minute(world, "ETH", "98")
    assert said(list(waves.run_once(world).ended)) == [("ETH", "completed", "filled")]
    assert [price for price, _ in fills(world)] == ["101.5", "98"]
    assert audit(world.clash, world.store).is_clean
    with replayer(world.clash, world.store) as replaying:
        assert [replaying.replay(run_id).differences for run_id in (1, 2)] == [(), ()]
    assert raced


def test_a_minute_that_is_known_and_not_final_is_waited_for(world: World, raced: int) -> None:
    """An apply that comes before the proof puts the run back for a moment, and claims nothing."""
    made = decided(world, waves.due(world, account_id=raced), answer("open_long"))
    close_minute(world, "BTC", "101", final=False)
    close_minute(world, "ETH", "101", final=False)
    world.clock.set(tick(world) + MINUTE_MS + 6 * SECOND_MS)
    assert waves.apply(world, made) == []
    assert {reason for _, reason, _ in waiting_until(world)} == {"waiting_for_final_minute"}


def test_an_answer_after_the_instant_is_a_failed_run(world: World, raced: int) -> None:
    """t + 60 s itself is still in time; a millisecond later is late."""
    found = waves.due(world, account_id=raced)
    prepared, _ = waves.prepare(world, found, worker="w")
    made = asyncio.run(waves.decide(world.store, prepared))
    world.clock.set(tick(world) + MINUTE_MS)
    waves.record(world, made[:1])
    world.clock.advance(1)
    waves.record(world, made[1:])
    for symbol in ("BTC", "ETH"):
        close_minute(world, symbol, "100")
    world.clock.advance(5 * SECOND_MS)
    ended = waves.apply(world, made)
    assert [(run.symbol, run.reason) for run in ended if run.reason == "late"] == [("ETH", "late")]
    assert audit(world.clash).is_clean


def test_control_without_the_instant_the_newest_price_would_fill_at_once(world: World) -> None:
    """A sandbox of the same clone at the same moment does not wait."""
    world.clone("BTC")
    world.clock.advance(2 * STEP_MS)
    prices(world, "BTC")
    ended = waves.apply(world, decided(world, waves.due(world), answer("open_long")))
    assert said(ended) == [("BTC", "completed", "filled")]


def test_a_minute_that_never_settles_ends_with_the_decision(world: World, raced: int) -> None:
    made = decided(world, waves.due(world, account_id=raced), answer("open_long"))
    waves.apply(world, made)
    at = tick(world)
    world.clock.set(at + 2 * STEP_MS - 1)
    assert waves.deliverable(world) == []
    world.clock.set(at + 2 * STEP_MS)
    late = waves.apply(world, waves.undelivered(world, worker="fill"))
    assert [(run.state, run.reason) for run in late] == [("failed", "expired")] * 2


def test_a_minute_without_a_trade_is_refused_at_once(world: World, raced: int) -> None:
    made = decided(world, waves.due(world, account_id=raced), answer("open_long"))
    waves.apply(world, made)
    for symbol in ("BTC", "ETH"):
        close_minute(world, symbol, "100", volume="0")
    world.clock.set(tick(world) + MINUTE_MS + 5 * SECOND_MS)
    ended = waves.apply(world, waves.undelivered(world, worker="fill"))
    assert {run.reason for run in ended} == {"rejected: price_unavailable"}


def test_a_forced_run_reaches_no_race(world: World, raced: int) -> None:
    with pytest.raises(waves.ForcedRefused, match=f"account {raced} is a race account: no forced run reaches it"):
        waves.due(world, account_id=raced, force=True)
    assert {due.account_id for due in waves.due(world, clone_id=1, force=True)} == {1}  # its sandbox alone


def test_ticks_outside_the_window_are_not_due(world: World, raced: int) -> None:
    with world.clash.read() as connection:
        ends_at = connection.execute("SELECT ends_at FROM prop_accounts WHERE id = ?", (raced,)).fetchone()[0]
    world.clock.set(minute_of(ends_at) + 2 * STEP_MS)
    assert waves.due(world, account_id=raced) == []


def test_waiting_costs_no_attempt_that_counts(world: World, raced: int) -> None:
    """However often workers look, only a delivery that can happen is claimed."""
    made = decided(world, waves.due(world, account_id=raced), answer("open_long"))
    waves.apply(world, made)
    for _ in range(20):
        world.clock.advance(2 * SECOND_MS)
        waves.run_once(world, account_id=raced)
    with world.clash.read() as connection:
        attempts = {row[0] for row in connection.execute("SELECT attempts FROM decision_runs")}
        assert not claims.has_parked(connection, now_ms=world.clock.now_ms())
    assert attempts == {1}
