"""The application in this process, on empty databases."""

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
from clash_pipeline.storage.files import migrate_all
from tests.fakes.api_client import T0, Api


@pytest.fixture
def api(settings: Settings) -> Api:
    """An application whose people have all the requests they like; rates are tested by themselves."""
    generous = settings.model_copy(
        update={
            "api_challenges_per_minute": 10_000,
            "api_verifies_per_minute": 10_000,
            "api_writes_per_minute": 100_000,
        }
    )
    migrate_all(generous)
    wall = SettableClock(T0)
    return Api(Services(generous, SettableClock(T0), wall), wall)
