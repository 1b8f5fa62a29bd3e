"""Apply: one account's trouble stays its own (W5), runs go in order, what fails is put back and parked in the end."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.decisions import apply as applying
from clash_pipeline.decisions import claims, submission, waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.decisions.submission import ApplyInput, Asked
from clash_pipeline.prop.accounts import AccountMoved
from tests.fakes.answers import answer, decided, wave
from tests.fakes.world import RISING, World

CADENCE_MS = 300 * SECOND_MS
submit = submission.submit


def states(world: World, account_id: int) -> list[tuple[str, str]]:
    with world.clash.read() as connection:
        rows = connection.execute(
            "SELECT state, reason FROM decision_runs WHERE account_id = ? ORDER BY id", (account_id,)
        ).fetchall()
    return [tuple(row) for row in rows]


def poison(monkeypatch: pytest.MonkeyPatch, account_id: int, error: Exception) -> None:
    """Every submission of one account fails."""

    def failing(services: World, asked: list[Asked], given: ApplyInput) -> object:
        if given.account.id == account_id:
            raise error
        return submit(services, asked, given)

    monkeypatch.setattr(submission, "submit", failing)


def minutes_pass(world: World, minutes: int) -> None:
    """A worker looks every minute."""
    for _ in range(minutes):
        world.clock.advance(MINUTE_MS)
        for symbol in ("BTC", "ETH"):
            world.minute(symbol, "100", hist=0.5, hist_before=0.3, **RISING)
        waves.run_once(world)


def test_a_task_that_always_fails_is_parked_while_others_keep_their_cadence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W5: five attempts with growing pauses, then its reason; the other clone decides every tick of two cadences."""
    _, poisoned = world.clone("BTC", name="Ada", cadence_sec=3_600)
    _, healthy = world.clone("BTC", name="Bea")
    world.clock.set(world.clock.now_ms() // (3_600 * SECOND_MS) * 3_600 * SECOND_MS + 3_600 * SECOND_MS)
    poison(monkeypatch, poisoned, RuntimeError("a defect"))
    minutes_pass(world, 15)
    assert states(world, poisoned)[0] == ("failed", "gave_up_after_5_attempts: apply_failed: RuntimeError")
    with world.clash.read() as connection:
        ticks = connection.execute(
            "SELECT tick, state FROM decision_runs WHERE account_id = ? ORDER BY tick", (healthy,)
        ).fetchall()
    first = ticks[0]["tick"]
    assert [tuple(row) for row in ticks] == [(first + n * CADENCE_MS, "completed") for n in range(len(ticks))]
    assert len(ticks) >= 3
    assert audit(world.clash).is_clean


def test_control_trouble_of_the_machine_is_nobodys_defect_and_stops_the_wave(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, poisoned = world.clone("BTC", name="Ada")
    _, healthy = world.clone("BTC", name="Bea")
    poison(monkeypatch, poisoned, OSError(5, "input/output error"))
    world.clock.advance(2 * CADENCE_MS)
    with pytest.raises(OSError, match="input/output error"):
        minutes_pass(world, 1)
    assert states(world, healthy)[0][0] == "running"


def test_one_run_of_an_account_that_fails_leaves_its_others_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone_id, account_id = world.clone("BTC", "ETH")
    for symbol in ("BTC", "ETH"):
        world.minute(symbol, "100", **RISING)

    def failing(services: World, asked: list[Asked], given: ApplyInput) -> object:
        if any(one.claim.symbol == "BTC" for one in asked):
            raise ValueError("not this one")
        return submit(services, asked, given)

    monkeypatch.setattr(submission, "submit", failing)
    ended = wave(world, answer("open_long"), clone_id=clone_id, force=True)
    assert [(run.symbol, run.reason) for run in ended] == [("ETH", "filled")]
    assert states(world, account_id) == [("running", "apply_failed: ValueError"), ("completed", "filled")]


def test_an_account_that_moves_between_looking_and_writing_is_looked_at_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone_id, account_id = world.clone("BTC")
    world.minute("BTC", "100", **RISING)
    looks = []

    def moving(services: World, asked: list[Asked], given: ApplyInput) -> object:
        looks.append(given.account.revision)
        if len(looks) < 3:
            with services.clash.write() as connection:
                connection.execute("UPDATE prop_accounts SET revision = revision + 1 WHERE id = ?", (account_id,))
        return submit(services, asked, given)

    monkeypatch.setattr(submission, "submit", moving)
    assert [run.reason for run in wave(world, answer("open_long"), clone_id=clone_id, force=True)] == ["filled"]
    assert looks == [1, 2, 3]


def test_a_price_does_not_grow_old_while_the_store_is_slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: what is filled is what memory says when the transaction opens, not when the input was put into the store."""
    clone_id, _ = world.clone("BTC")
    world.minute("BTC", "100", **RISING)
    made = decided(world, waves.due(world, clone_id=clone_id, force=True), answer("open_long"))

    def slow(point: str) -> None:
        if point == submission.AFTER_INPUT_STORED and world.clock.now_ms() < late:
            world.clock.set(late)
            world.minute("BTC", "90", **RISING)

    late = world.clock.now_ms() + 2 * MINUTE_MS
    monkeypatch.setattr(submission, "fault", slow)
    assert [run.reason for run in waves.apply(world, made)] == ["filled"]
    with world.clash.read() as connection:
        fill = connection.execute("SELECT reference_price, filled_at FROM prop_fills").fetchone()
    assert tuple(fill) == ("90", late)


def test_an_account_that_never_stands_still_is_left_for_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clone_id, account_id = world.clone("BTC")
    world.minute("BTC", "100", **RISING)
    poison(monkeypatch, account_id, AccountMoved("again"))
    assert wave(world, answer("open_long"), clone_id=clone_id, force=True) == []
    assert states(world, account_id) == [("running", "account_busy")]


def test_the_actions_of_an_account_are_taken_in_the_order_of_their_symbols(world: World) -> None:
    """One submission of both; the second sees what the first left."""
    clone_id, _ = world.clone("BTC", "ETH")
    for symbol in ("BTC", "ETH"):
        world.minute(symbol, "100", **RISING)
    ended = wave(world, answer("open_long", "90"), clone_id=clone_id, force=True)
    assert [(run.symbol, run.reason) for run in ended] == [
        ("BTC", "filled"), ("ETH", "rejected: insufficient_margin"),
    ]  # fmt: skip
    with world.clash.read() as connection:
        inputs = connection.execute(
            "SELECT count(*), count(DISTINCT sha256) FROM decision_artifacts WHERE kind = 'apply_input'"
        ).fetchone()
    assert tuple(inputs) == (2, 1)


def test_a_wave_of_more_accounts_than_one_look_takes_is_applied_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "ACCOUNTS_AT_ONCE", 2)
    for number in range(5):
        world.clone("BTC", name=f"Clone {number}")
    world.clock.advance(2 * CADENCE_MS)
    world.minute("BTC", "100", **RISING)
    made = decided(world, waves.due(world), answer("open_long"))
    ended = waves.apply(world, random.Random(1).sample(made, len(made)))
    assert [run.account_id for run in ended] == [1, 2, 3, 4, 5]
    assert {run.reason for run in ended} == {"filled"}


@given(st.integers(1, 5), st.integers(0, 2**32))
def test_back_off_grows_and_is_spread(attempts: int, seed: int) -> None:
    """Between half and all of 5, 10, 20, 40, 80 s: five attempts fit into two cadences of the fastest race."""
    longest = 5_000 * 2 ** (attempts - 1)
    assert longest // 2 <= claims.back_off_ms(attempts, random.Random(seed)) <= longest
