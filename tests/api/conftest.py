"""The application in this process, on empty databases, or on copies of those in which a little has happened."""

from collections.abc import Callable

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings
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
    wall = SettableClock(T0)
    return Api(Services(generous, SettableClock(T0), wall), wall)


@pytest.fixture
def stocked(stocked_copy: Callable[[], Settings]) -> Settings:
    """Settings of a system in which a little has happened, this test's own."""
    return stocked_copy()
