"""A home with a priced market and a clock that stands still, for the commands that trade."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clash_pipeline import services
from clash_pipeline.archive.choice import store_from
from clash_pipeline.cli.main import app
from clash_pipeline.clock import SettableClock
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows
from tests.fakes.world import RISING, World

Run = Callable[..., Result]
EXAMPLE_GRAPH = Path(__file__).parents[1] / "clones" / "example_graph.json"


@pytest.fixture
def world(settings: Settings, clock: SettableClock, clash: Database, market: Database) -> World:
    """BTC in a trend at 100; SOL and ETH are listed without a price."""
    for symbol in ("BTC", "ETH", "SOL"):
        market_rows.list_asset(market, symbol, sz_decimals=3, max_leverage=20)
    made = World(settings, clock, clash, market, store_from(settings))
    made.minute("BTC", "100", hist=0.5, hist_before=0.3, **RISING)
    return made


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The `clash` command on that home, at its time."""
    monkeypatch.setenv("CLASH_HOME", str(world.settings.home))
    monkeypatch.setattr(services, "clock_from", lambda _: world.clock)
    return lambda *words: CliRunner().invoke(app, [*words])
