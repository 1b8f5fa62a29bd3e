"""W3: daemon, run worker or step killed at each boundary: every decision is done exactly once, within two cadences.

Every boundary is tried in a real run of the real job on one stored Dagster instance, in a forked child that is killed
there. The launcher, the sensors and the daemon are tried with real processes: a code server and a `dagster-daemon`, as
`clash up` starts them, a run worker killed in the middle of its transaction, and the daemon killed after it; all eight
boundaries that way in the soak.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clash_pipeline.archive.choice import store_from
from clash_pipeline.cli import up
from clash_pipeline.cli.dagster import write_dagster_home
from clash_pipeline.cli.supervise import Child, Supervisor
from clash_pipeline.clock import MINUTE_MS, SECOND_MS, SettableClock, minute_of
from clash_pipeline.decisions import apply, prepare, submission, waves
from clash_pipeline.decisions.audit import audit
from clash_pipeline.prop import desk
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import open_clash, open_market
from tests.fakes import market_rows
from tests.fakes.forking import Parent, parent_of
from tests.fakes.world import RISING, World

BOUNDARIES = (
    prepare.AFTER_CLAIM,
    prepare.AFTER_BEGIN,
    waves.BEFORE_RECORD,
    waves.AFTER_RECORD,
    submission.AFTER_INPUT_STORED,
    desk.AFTER_LEDGER,
    submission.AFTER_SUBMIT,
    apply.AFTER_APPLIED,
)
TWO_CADENCES_MS = 2 * 300 * SECOND_MS
PATIENCE_SEC = 240


def reopened(world: World) -> World:
    """The same world with nothing open, so that children and processes may be started."""
    world.clash.close()
    world.market.close()
    return world


def outcome(world: World) -> list[tuple[str, str, int]]:
    """State, effect and number of fills of every run."""
    with world.clash.read() as connection:
        rows = connection.execute(
            """
            SELECT r.state, r.effective, (SELECT count(*) FROM prop_decision_actions a JOIN prop_orders o
                                          ON o.action_id = a.id JOIN prop_fills f ON f.order_id = o.id
                                          WHERE a.run_id = r.id) AS fills
            FROM decision_runs r ORDER BY r.id
            """
        ).fetchall()
    return [tuple(row) for row in rows]


@pytest.fixture(scope="module")
def child() -> Iterator[Parent]:
    """Forks children that know Dagster already."""
    with parent_of("tests.fakes.dagster_child") as parent:
        yield parent


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One stored instance for all boundaries."""
    return tmp_path_factory.mktemp("instance")


@pytest.fixture
def world(settings: Settings, clock: SettableClock) -> World:
    """A clone that is due and wants to trade."""
    made = World(settings, clock, open_clash(settings), open_market(settings), store_from(settings))
    market_rows.list_asset(made.market, "BTC", sz_decimals=3, max_leverage=40)
    made.clone("BTC")
    made.clock.advance(6 * MINUTE_MS)
    made.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    return reopened(made)


@pytest.mark.parametrize("place", BOUNDARIES)
def test_a_run_killed_at_a_boundary_is_done_exactly_once(
    world: World, child: Parent, dagster_home: Path, place: str
) -> None:
    killed_at = world.clock.now_ms()
    order = {"home": str(world.settings.home), "dagster_home": str(dagster_home), "job": "decide_due"}
    assert child.order(fault=f"{place}:kill", now_ms=killed_at, **order) == -9
    assert audit(world.clash).is_clean
    world.clock.advance(MINUTE_MS + 1)
    world.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    job = "fill_prop_orders" if waves.deliverable(world) else "decide_due"
    reopened(world)
    assert child.order(**{**order, "job": job, "now_ms": world.clock.now_ms()}) == 0
    assert world.clock.now_ms() - killed_at < TWO_CADENCES_MS
    assert outcome(world) == [("completed", "open_long", 1)]
    assert audit(world.clash, world.store).is_clean


def test_control_without_another_run_the_decision_stays_undone(world: World, child: Parent, dagster_home: Path) -> None:
    order = {"home": str(world.settings.home), "dagster_home": str(dagster_home), "job": "decide_due"}
    assert child.order(fault=f"{prepare.AFTER_BEGIN}:kill", now_ms=world.clock.now_ms(), **order) == -9
    assert outcome(world) == [("running", None, 0)]


class Fleet:
    """A code server and a daemon on a home, as `clash up` starts them, with the killed definitions."""

    def __init__(self, settings: Settings) -> None:
        write_dagster_home(settings)
        self.server, self.daemon = up.dagster_children(settings)[:2]
        words = [*self.server.command[:-1], "tests.fakes.killed_definitions"]
        self.server = Child(self.server.name, words, _with_tests(self.server), self.server.log)

    def __enter__(self) -> "Fleet":
        self.supervisor = Supervisor([self.server, self.daemon], lambda _: None)
        self.supervisor.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.__exit__()

    def wait_until(self, is_so: object, what: str) -> None:
        """Look twice a second, as a person would."""
        until = time.monotonic() + PATIENCE_SEC
        while not is_so():  # type: ignore[operator]
            assert time.monotonic() < until, f"{what}:\n{self.daemon.last_lines(20)}\n{self.server.last_lines(20)}"
            self.supervisor.look()
            time.sleep(0.5)


def _with_tests(child: Child) -> dict[str, str]:
    return {**child.environment, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def live(settings: Settings, names: list[str]) -> World:
    """Clones that are due at the real time, and a market that goes on rising for the next minutes."""
    now_ms = time.time_ns() // 1_000_000
    made = World(
        settings, SettableClock(now_ms - 10 * MINUTE_MS), open_clash(settings), open_market(settings),
        store_from(settings),
    )  # fmt: skip
    market_rows.list_asset(made.market, "BTC", sz_decimals=3, max_leverage=40)
    for name in names:
        made.clone("BTC", name=name)
    made.clock.set(now_ms)
    for number in range(-5, 15):  # rows of minutes to come are read when they have come
        t = minute_of(now_ms) + number * MINUTE_MS
        market_rows.candle(made.market, "BTC", t, "100", known_at=now_ms)
        hist = {"macd_hist": 0.3 + 0.01 * number}
        market_rows.indicators(made.market, "BTC", t, known_at=now_ms, **{**RISING, **hist})  # type: ignore[arg-type]
        market_rows.context(made.market, "BTC", t, mark="100")
    return reopened(made)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def faults_in(settings: Settings, places: tuple[str, ...]) -> Path:
    """One file for each run worker that shall die."""
    folder = settings.home / "faults"
    folder.mkdir()
    for number, place in enumerate(places):
        (folder / f"{number:02}").write_text(f"{place}:kill")
    return folder


def is_done(world: World, runs: int) -> bool:
    """Whether so many runs are there, and all of them ended."""
    found = outcome(world)
    return len(found) >= runs and all(state not in {"queued", "running"} for state, _, _ in found)


def die_and_recover(settings: Settings, places: tuple[str, ...]) -> None:
    """As many waves as places, each run worker killed at its place, the daemon killed after the first death."""
    settings = settings.model_copy(
        update={
            "dagster_grpc_port": free_port(), "lease_ttl_sec": 3, "decision_shards": len(places),
            "default_cadence_sec": 300,
        }
    )  # fmt: skip
    world = live(settings, [f"Clone {number}" for number in range(len(places))])
    folder = faults_in(settings, places)
    started = time.monotonic()
    with Fleet(settings) as fleet:
        fleet.wait_until(lambda: len(list(folder.iterdir())) < len(places), "no run worker was started")
        fleet.daemon.kill()
        fleet.wait_until(lambda: is_done(world, len(places)), "the decisions were not finished")
    assert time.monotonic() - started < TWO_CADENCES_MS / 1_000
    assert {state for state, _, _ in outcome(world)} == {"completed"}
    assert not list(folder.iterdir()), "every run worker that was to die has died"
    with world.clash.read() as connection:
        keys = connection.execute(
            "SELECT account_id, tick, sum(attempts) AS tries, count(*) AS rows_ FROM decision_runs GROUP BY 1, 2"
        ).fetchall()
    assert {row["rows_"] for row in keys} == {1}
    assert {fills for _, effect, fills in outcome(world) if effect != "hold"} == {1}
    assert audit(world.clash, world.store).is_clean
    reopened(world)


def test_run_workers_and_daemon_killed_as_a_user_would_run_them(settings: Settings) -> None:
    die_and_recover(settings, (submission.AFTER_SUBMIT,))


@pytest.mark.soak
@pytest.mark.parametrize("_", range(30))
def test_run_workers_killed_at_every_boundary_as_a_user_would_run_them(settings: Settings, _: int) -> None:
    die_and_recover(settings, BOUNDARIES)
