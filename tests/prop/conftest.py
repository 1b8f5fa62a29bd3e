"""Two listed assets, a clone, and its sandbox account."""

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.prop.venue import PaperVenue
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes import market_rows
from tests.fakes.desk import Desk


@pytest.fixture
def desk(settings: Settings, clock: SettableClock, clash: Database, market: Database) -> Desk:
    """BTC at 100 with 3 size decimals, a spot PURR/USDC at 2, and an account with 100,000 USD."""
    market_rows.list_asset(market, "BTC", sz_decimals=3, max_leverage=40)
    market_rows.list_asset(market, "PURR/USDC", kind="spot", sz_decimals=1, max_leverage=1)
    made = Desk(settings, clock, clash, market, PaperVenue(market))
    made.open()
    made.price("BTC", "100")
    made.price("PURR/USDC", "2")
    return made
