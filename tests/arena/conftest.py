"""The troupe: clones, purchases and auditions in a migrated database."""

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Database
from tests.fakes.circuit import Circuit
from tests.fakes.till import Till
from tests.fakes.troupe import Troupe


@pytest.fixture
def troupe(settings: Settings, clock: SettableClock, clash: Database) -> Troupe:
    """Nobody yet, at the time of the clock."""
    return Troupe(settings, clock, clash, Till(clash))


@pytest.fixture
def circuit(settings: Settings, clock: SettableClock, clash: Database, market: Database) -> Circuit:
    """One listed asset and nobody in a slot."""
    return Circuit.of(settings, clock, clash, market)
