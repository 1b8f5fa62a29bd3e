"""A world with one listed asset."""

import pytest

from clash_pipeline.archive.stores import MemoryStore
from clash_pipeline.clock import SettableClock
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows
from tests.fakes.world import World


@pytest.fixture
def world(settings: Settings, clock: SettableClock, clash: Database, market: Database) -> World:
    """Both databases, a memory store, a settable clock, and BTC and ETH listed."""
    market_rows.list_asset(market, "BTC", sz_decimals=3, max_leverage=40)
    market_rows.list_asset(market, "ETH", sz_decimals=2, max_leverage=25)
    return World(settings, clock, clash, market, MemoryStore())
