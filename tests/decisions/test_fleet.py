"""W1: four workers and two sensors over the same due ticks, in six processes: exactly one run for each key."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clash_pipeline.clock import MINUTE_MS, SECOND_MS
from clash_pipeline.storage.sqlite import one
from tests.fakes.world import World

CADENCE_MS = 300 * SECOND_MS
SYMBOLS = ("BTC", "ETH")


def fly(world: World, *, clones: int, ticks: int, shares_keys: bool = True) -> int:
    """Let the fleet look at every tick; returns how many claims it made."""
    for number in range(clones):
        world.clone(*SYMBOLS, name=f"Clone {number}")
    first = (
        world.clock.now_ms() // CADENCE_MS * CADENCE_MS + 5 * MINUTE_MS - 1
    )  # the last phase ends a millisecond later
    order = {
        "home": str(world.settings.home), "workers": 4, "sensors": 2, "shares_keys": shares_keys,
        "times": [first + (number + 1) * CADENCE_MS for number in range(ticks)],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.fleet"], input=json.dumps(order), cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=3_000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    return int(done.stdout)


def doubled(world: World) -> int:
    """Keys that were claimed more than once, whoever wrote the row."""
    with world.clash.read() as connection:
        return int(
            one(
                connection,
                """
                SELECT count(*) FROM (
                  SELECT 1 FROM decision_runs GROUP BY account_id, branch, substr(symbol, 1, 3), tick
                  HAVING count(*) > 1 OR max(attempts) > 1
                )
                """,
            )
        )


def runs(world: World) -> int:
    with world.clash.read() as connection:
        return int(one(connection, "SELECT count(*) FROM decision_runs"))


def test_every_key_of_five_thousand_is_claimed_once(world: World) -> None:
    assert fly(world, clones=25, ticks=100) == 5_000
    assert (runs(world), doubled(world)) == (5_000, 0)


@pytest.mark.soak
def test_every_key_of_a_hundred_thousand_is_claimed_once(world: World) -> None:
    assert fly(world, clones=250, ticks=200) == 100_000
    assert (runs(world), doubled(world)) == (100_000, 0)


def test_control_workers_that_do_not_share_a_key_double_every_run(world: World) -> None:
    """The same fleet, each worker writing under a key of its own."""
    assert fly(world, clones=2, ticks=2, shares_keys=False) > 8
    assert doubled(world) == 8
