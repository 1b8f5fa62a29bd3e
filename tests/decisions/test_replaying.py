"""Replay: what a run stored gives the same gates, fills and hashes again (X6); what was changed is found."""

import random
from collections.abc import Iterator

import pytest

from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions import runs, submission, waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.decisions.replaying import Replayer, replayer
from clash_pipeline.decisions.views import RunUnknown
from clash_pipeline.prop import accounts
from tests.fakes.answers import answer, anything, wave
from tests.fakes.world import RISING, World

SYMBOLS = ("BTC", "ETH")


@pytest.fixture
def replaying(world: World) -> Iterator[Replayer]:
    """A replayer of the world."""
    with replayer(world.clash, world.store) as made:
        yield made


@pytest.fixture
def filled(world: World) -> int:
    """A clone whose run 1 opened a long."""
    clone_id, _ = world.clone("BTC")
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    wave(world, answer("open_long", stop_loss_pct="5"), clone_id=clone_id, force=True)
    return clone_id


def run_ids(world: World) -> list[int]:
    with world.clash.read() as connection:
        return [row["id"] for row in connection.execute("SELECT id FROM decision_runs ORDER BY id")]


def overwrite(world: World, statement: str, *parameters: object) -> None:
    """Change a row behind the back of every trigger, as raw SQL on the file would."""
    with world.clash.write() as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for guard in guards:
            connection.execute(f"DROP TRIGGER {guard['name']}")
        assert connection.execute(statement, parameters).rowcount == 1
        for guard in guards:
            connection.execute(guard["sql"])


@pytest.mark.usefixtures("filled")
def test_a_fill_comes_out_the_same_to_the_hash(replaying: Replayer) -> None:
    found = replaying.replay(1)
    assert (found.verdict, found.differences) == ("same", ())
    assert found.rows == 5  # action, order, fill, ledger group and its one line


def test_a_hold_and_a_refusal_come_out_the_same(world: World, replaying: Replayer) -> None:
    clone_id, _ = world.clone("BTC")
    world.minute("BTC", "100", **RISING)
    wave(world, answer("hold"), clone_id=clone_id, force=True)
    world.clock.advance(1)
    assert [run.reason for run in wave(world, answer("reduce"), clone_id=clone_id, force=True)] == [
        "rejected: no_position"
    ]
    assert [replaying.replay(run_id).verdict for run_id in (1, 2)] == ["same", "same"]


def test_a_run_that_ended_without_a_submission_has_nothing_to_differ(world: World, replaying: Replayer) -> None:
    clone_id, account_id = world.clone("BTC")
    accounts.move(world.clash, account_id, "paused", now_ms=1, actor="a", reason="r")
    waves.run_once(world, clone_id=clone_id, force=True)
    assert replaying.replay(1).verdict == "same"


def test_a_halted_account_is_refused_again(world: World, replaying: Replayer) -> None:
    clone_id, account_id = world.clone("BTC")
    world.minute("BTC", "100", **RISING)
    accounts.halt(world.clash, actor="a", reason="drill: all out", now_ms=1, account_id=account_id)
    ended = wave(world, answer("open_long"), clone_id=clone_id, force=True)
    assert [run.reason for run in ended] == ["rejected: trading_halted"]
    assert replaying.replay(1).verdict == "same"


def test_a_halt_thrown_between_looking_and_writing_is_what_replay_sees(
    world: World, replaying: Replayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill switch changes no revision of an account; the gates and the stored input must still agree on it."""
    clone_id, account_id = world.clone("BTC")
    world.minute("BTC", "100", **RISING)

    def thrown(point: str) -> None:
        if point == submission.AFTER_INPUT_STORED:
            accounts.halt(world.clash, actor="a", reason="now", now_ms=1, account_id=account_id)

    monkeypatch.setattr(submission, "fault", thrown)
    ended = wave(world, answer("open_long"), clone_id=clone_id, force=True)
    assert [run.reason for run in ended] == ["rejected: trading_halted"]
    assert replaying.replay(1).differences == ()


def test_what_is_open_gone_or_unknown_cannot_be_replayed(world: World, replaying: Replayer, filled: int) -> None:
    world.clock.advance(1)
    waves.prepare(world, waves.due(world, clone_id=filled, force=True), worker="w")
    assert replaying.replay(2).differences == ("it is still running: prepared",)
    with world.clash.read() as connection:
        kept = runs.artifacts_of(connection, 1)
    world.store.delete(kept["apply_input"].key)
    found = replaying.replay(1)
    assert found.verdict == "impossible"
    assert found.differences[0].startswith("its apply_input is gone from the store")
    with pytest.raises(RunUnknown, match="no decision run 9"):
        replaying.replay(9)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("prop_fills", "price", 99_990),
        ("prop_fills", "inputs", "{}"),
        ("prop_orders", "leverage", 2),
        ("prop_decision_actions", "figures", "{}"),
        ("prop_ledger_groups", "hash", "f" * 64),
    ],
)
@pytest.mark.usefixtures("filled")
def test_control_a_changed_figure_is_found(
    world: World, replaying: Replayer, table: str, column: str, value: object
) -> None:
    where = "kind = 'fill'" if table == "prop_ledger_groups" else "id = 1"
    overwrite(world, f"UPDATE {table} SET {column} = ? WHERE {where}", value)
    found = replaying.replay(1)
    assert found.verdict == "differs"
    assert any(f"{table}(" in difference and f".{column}:" in difference for difference in found.differences)


@pytest.mark.parametrize("kind", ["packet", "response", "apply_input"])
@pytest.mark.usefixtures("filled")
def test_control_a_changed_artifact_is_found(world: World, replaying: Replayer, kind: str) -> None:
    assert isinstance(world.store, MemoryStore)
    with world.clash.read() as connection:
        kept = runs.artifacts_of(connection, 1)
    other = {"packet": "response", "response": "packet", "apply_input": "packet"}[kind]
    world.store.put(kept[kind].key, world.store.get(kept[other].key), if_absent=False)
    found = replaying.replay(1)
    assert found.verdict == "differs"
    assert found.differences[0].startswith(f"{kind}: ")
    assert any(difference.invariant == "artifact" for difference in audit(world.clash, world.store).differences)


@pytest.mark.usefixtures("filled")
def test_control_an_index_that_points_to_another_artifact_is_found(world: World, replaying: Replayer) -> None:
    """Even one that is whole in itself: the apply_input of another decision."""
    world.clock.advance(MINUTE_MS)
    world.minute("BTC", "101", **RISING)
    wave(world, answer("increase", "20"), clone_id=1, force=True)
    overwrite(
        world,
        """
        UPDATE decision_artifacts SET (key, sha256) = (SELECT key, sha256 FROM decision_artifacts
                                                       WHERE run_id = 2 AND kind = 'apply_input')
        WHERE run_id = 1 AND kind = 'apply_input'
        """,
    )
    assert replaying.replay(1).differences[0] == "apply_input: it does not list this run"


def trade(world: World, chance: random.Random, rounds: int) -> None:
    """Some clones that answer anything, at prices that wander."""
    clones = [world.clone(*SYMBOLS, name=f"Clone {number}")[0] for number in range(3)]
    for _ in range(rounds):
        world.clock.advance(chance.randrange(1, 40) * MINUTE_MS)
        for symbol in SYMBOLS:
            price = chance.randrange(80_000, 120_000)
            world.minute(symbol, f"{price // 1_000}.{price % 1_000:03}", **RISING)
        for clone_id in clones:
            wave(world, anything(chance), clone_id=clone_id, force=True)


def same_again(world: World, replaying: Replayer, rounds: int) -> None:
    trade(world, random.Random(6), rounds)
    ids = run_ids(world)
    assert len(ids) == rounds * 6
    found = [replaying.replay(run_id) for run_id in ids]
    assert [replay for replay in found if replay.verdict != "same"] == []
    assert sum(replay.rows == 5 for replay in found) >= 10  # single fills among them


def test_two_hundred_random_runs_come_out_the_same(world: World, replaying: Replayer) -> None:
    """X6 at its CI size."""
    same_again(world, replaying, 34)


@pytest.mark.soak
def test_ten_thousand_random_runs_come_out_the_same(world: World, replaying: Replayer) -> None:
    """X6 at its full size."""
    same_again(world, replaying, 1_667)
