"""What is due: a grid without drift, one phase an account, no missed tick replayed, force that moves no cadence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.clones import clones
from clash_pipeline.clones.clones import CloneError
from clash_pipeline.decisions import grid, waves
from clash_pipeline.prop import accounts
from clash_pipeline.prop.accounts import AccountUnknown
from clash_pipeline.storage.sqlite import one
from tests.fakes.world import RISING, World

CADENCE_MS = 300 * SECOND_MS


@given(st.integers(0, 2 * 10**12), st.integers(60, 86_400), st.integers(1, 10**6))
def test_ticks_lie_on_the_grid_of_the_contract(now_ms: int, cadence_sec: int, account_id: int) -> None:
    """tick = floor((now − phase) / cadence) × cadence + phase, phase = account id modulo the cadence in minutes."""
    phase = grid.phase_of(account_id, "sandbox", cadence_sec)
    tick = grid.tick_of(now_ms, cadence_sec, phase)
    assert phase == account_id % (cadence_sec // 60) * MINUTE_MS
    assert 0 <= now_ms - tick < cadence_sec * 1_000
    assert (tick - phase) % (cadence_sec * 1_000) == 0
    assert grid.tick_of(tick + cadence_sec * 1_000 - 1, cadence_sec, phase) == tick


@pytest.mark.parametrize("kind", ["race", "audition"])
def test_races_and_auditions_share_one_grid(kind: str) -> None:
    assert {grid.phase_of(account_id, kind, 300) for account_id in range(20)} == {0}


def test_a_tick_is_due_once_and_a_late_one_does_not_drift(world: World) -> None:
    clone_id, account_id = world.clone("BTC", engine="hold")
    assert waves.due(world) == []  # the account did not exist at the last tick
    phase = grid.phase_of(account_id, "sandbox", 300)
    tick = grid.tick_of(world.clock.now_ms(), 300, phase) + CADENCE_MS
    world.clock.set(tick + 100 * SECOND_MS)
    world.minute("BTC", "100", **RISING)
    assert [(due.tick, due.kind, due.symbol) for due in waves.due(world)] == [(tick, "due", "BTC")]
    assert waves.run_once(world).count("completed") == 1
    assert waves.due(world) == []
    world.clock.set(tick + 4 * CADENCE_MS + 7)
    assert [due.tick for due in waves.due(world)] == [tick + 4 * CADENCE_MS]  # three missed ticks are not replayed
    assert [due.clone_id for due in waves.due(world, clone_id=clone_id)] == [clone_id]


def test_a_forced_run_is_now_and_moves_no_cadence(world: World) -> None:
    clone_id, _ = world.clone("BTC", engine="hold")
    world.minute("BTC", "100", **RISING)
    forced = waves.due(world, clone_id=clone_id, force=True)
    assert [(due.tick, due.kind) for due in forced] == [(world.clock.now_ms(), "forced")]
    waves.run_once(world, clone_id=clone_id, force=True)
    world.clock.advance(CADENCE_MS)
    assert [due.kind for due in waves.due(world)] == ["due"]


def test_force_ignores_neither_the_toggle_nor_the_account_nor_the_entitlement(world: World) -> None:
    clone_id, account_id = world.clone("BTC", "ETH", engine="hold")
    now = world.clock.now_ms()
    accounts.move(world.clash, account_id, "paused", now_ms=now, actor="a", reason="r")
    report = waves.run_once(world, clone_id=clone_id, force=True)
    assert {(run.state, run.reason) for run in report.ended} == {("skipped", "account_paused")}
    accounts.move(world.clash, account_id, "active", now_ms=now, actor="a", reason="r")
    clones.set_trading(world.clash, clone_id, False, now_ms=now)
    world.clock.advance(1)
    report = waves.run_once(world, clone_id=clone_id, force=True)
    assert {(run.state, run.reason) for run in report.ended} == {("skipped", "trading_off")}
    assert waves.due(world) == []


def test_paused_accounts_and_clones_that_do_not_trade_are_not_due(world: World) -> None:
    _, account_id = world.clone("BTC")
    world.clock.advance(2 * CADENCE_MS)
    assert len(waves.due(world)) == 1
    accounts.move(world.clash, account_id, "paused", now_ms=1, actor="a", reason="r")
    assert waves.due(world) == []


def test_unknown_clones_and_accounts_are_said(world: World) -> None:
    with pytest.raises(CloneError, match="no clone 9"):
        waves.due(world, clone_id=9)
    with pytest.raises(AccountUnknown, match="no prop account 9"):
        waves.due(world, account_id=9)


def test_candidates_are_open_positions_first_and_the_rest_says_why_not(world: World) -> None:
    """ETH is held and decided about without fresh data; BTC has none and is skipped with the reason."""
    clone_id, _ = world.clone("BTC", "ETH")
    world.minute("ETH", "100", hist=0.5, hist_before=0.3, **RISING)
    first = waves.run_once(world, clone_id=clone_id, force=True)
    assert {run.symbol: (run.state, run.reason) for run in first.ended} == {
        "BTC": ("skipped", "no_fresh_data"), "ETH": ("completed", "filled"),
    }  # fmt: skip
    world.clock.advance(20 * MINUTE_MS)
    later = waves.run_once(world, clone_id=clone_id, force=True)
    assert {run.symbol: run.reason for run in later.ended} == {"BTC": "no_fresh_data", "ETH": "hold"}


def test_only_the_first_ticks_row_exists(world: World) -> None:
    """Two looks at the same tick by two callers make one row."""
    world.clone("BTC", engine="hold")
    world.clock.advance(2 * CADENCE_MS)
    world.minute("BTC", "100", **RISING)
    found = waves.due(world)
    first, _ = waves.prepare(world, found, worker="one")
    second, _ = waves.prepare(world, found, worker="two")
    assert (len(first), second) == (1, [])
    with world.clash.read() as connection:
        assert one(connection, "SELECT count(*) FROM decision_runs") == 1
