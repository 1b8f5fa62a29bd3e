"""What every test may ask for: migrated databases, a settable clock, settings in a home of its own, the recordings."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from clash_pipeline.clock import SettableClock
from clash_pipeline.settings import Settings
from clash_pipeline.settings import load as load_settings
from clash_pipeline.storage.files import migrate_all, open_clash, open_market
from clash_pipeline.storage.sqlite import Database
from tests.fakes import egress, reproduction, scratch
from tests.fakes.browsers import chromium
from tests.fakes.homes import copies

NOW = 1_753_100_000_000
"""2025-07-21T12:13:20Z: inside the days of the recorded candles."""

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "recordings"
RECORDINGS = Path(os.environ.get("CLASH_RECORDINGS") or BESIDE_THE_CHECKOUT)
SOAK = bool(os.environ.get("CLASH_SOAK"))

SLOW_IS_FINE = [HealthCheck.too_slow]
hypothesis_settings.register_profile(
    "ci", derandomize=True, print_blob=True, deadline=None, suppress_health_check=SLOW_IS_FINE
)
hypothesis_settings.register_profile("soak", print_blob=True, deadline=None, max_examples=2_000)
hypothesis_settings.load_profile("soak" if SOAK else "ci")


LONGEST = (
    "durability/test_kills.py::test_random_instants",
    "prop/test_state_machine.py",
    "durability/test_kills.py",
    "api/test_schemathesis.py",
    "market/test_recordings.py",
    "api/test_fuzz.py",
    "market/test_live_indicators.py",
    "orchestration/test_daemon.py",
    "market/test_arrival_order.py",
    "arena/test_kills.py",
    "pages/test_browser.py",
)
"""What takes longest comes first, so that no worker begins it when the others are nearly through."""


def pytest_configure() -> None:
    """Nothing that a test does leaves this machine (A9); what it writes goes to memory where there is plenty."""
    reproduction.forget_what_is_loaded()
    scratch.use_memory()
    scratch.keep_bytecode()
    egress.begin()


def pytest_unconfigure() -> None:
    """Forget what was tried, and let the interpreter take itself apart as usual."""
    egress.end()
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _stays_here() -> Iterator[None]:
    """Fail a test that tried to reach another host, or whose processes did, whatever became of it."""
    yield
    assert egress.tried() == []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, in one place, what needs absent recordings, and what belongs to the other size of run."""
    has_recordings, has_browser = RECORDINGS.is_dir(), chromium() is not None
    kept, left_out = [], []
    for item in items:
        needs_absent = (item.get_closest_marker("recordings") and not has_recordings) or (
            item.get_closest_marker("browser") and not has_browser
        )
        (left_out if needs_absent or not belongs(item) else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted(kept, key=_rank)


def _rank(item: pytest.Item) -> int:
    """Its place among the longest, or behind them all."""
    name = item.nodeid.removeprefix("tests/")
    return next((place for place, start in enumerate(LONGEST) if name.startswith(start)), len(LONGEST))


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the search for garbage leaves it out, and comes less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def belongs(item: pytest.Item) -> bool:
    """`make test` runs all but the soak sizes; `make soak` runs those, the goals of one size, and every control."""
    is_soak = item.get_closest_marker("soak") is not None
    if not SOAK:
        return not is_soak
    return is_soak or item.get_closest_marker("goal") is not None or "control" in item.name.partition("[")[0]


def pytest_report_header() -> list[str]:
    """Say whether real recordings and a browser are part of this run."""
    absent = "absent, their tests are deselected"
    return [
        f"recordings: {'found' if RECORDINGS.is_dir() else absent}",
        f"browser: {chromium() or absent}",
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say with a failure what makes it happen again (G4)."""
    if terminalreporter.getreports("failed"):
        terminalreporter.write_line(f"commit {reproduction.commit()}: {reproduction.AGAIN}")


@pytest.fixture
def recordings() -> Path:
    """The folder of real recorded responses."""
    return RECORDINGS


@pytest.fixture
def clock() -> SettableClock:
    """A clock that stands at 2025-07-21T12:13:20Z until moved."""
    return SettableClock(NOW)


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with both databases at the current schema, closed; copying it is cheaper than migrating again.

    CLASH_MIGRATED_HOME names one that is there already, for many short runs in a row.
    """
    if ready := os.environ.get("CLASH_MIGRATED_HOME"):
        return Path(ready)
    home = tmp_path_factory.mktemp("migrated")
    migrate_all(load_settings({"CLASH_HOME": str(home)}))
    return home


@pytest.fixture
def settings(tmp_path: Path, migrated_home: Path) -> Settings:
    """Defaults, in a home of this test's own, with both databases migrated."""
    shutil.copytree(migrated_home, tmp_path / "home")
    return load_settings({"CLASH_HOME": str(tmp_path / "home")})


@pytest.fixture
def clash(settings: Settings) -> Iterator[Database]:
    """A migrated `clash.db`."""
    database = open_clash(settings)
    yield database
    database.close()


@pytest.fixture
def market(settings: Settings) -> Iterator[Database]:
    """A migrated `market.db`."""
    database = open_market(settings)
    yield database
    database.close()


@pytest.fixture(scope="session")
def stocked_copy(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Callable[[], Settings]:
    """Gives settings of a new home in which a little has happened."""
    from tests.fakes.stocked_api import StockedApi

    return copies(migrated_home, StockedApi, tmp_path_factory)


@pytest.fixture(scope="session")
def arena_copy(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Callable[[], Settings]:
    """Gives settings of a new home with an Arena in which races were run."""
    from tests.fakes.stocked_arena import StockedArena

    return copies(migrated_home, StockedArena, tmp_path_factory)
