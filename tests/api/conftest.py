"""The application in this process, on empty databases, or on copies of those in which a little has happened."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings, load
from tests.fakes.api_client import T0, Api
from tests.fakes.stocked_api import StockedApi


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


@pytest.fixture(scope="session")
def stocked_copy(tmp_path_factory: pytest.TempPathFactory, migrated_home: Path) -> Callable[[], Settings]:
    """Gives settings whose home is a new copy of one that was filled once."""
    filled = tmp_path_factory.mktemp("stocked") / "home"
    shutil.copytree(migrated_home, filled)
    StockedApi(load({"CLASH_HOME": str(filled)})).services.close()

    def copied() -> Settings:
        home = tmp_path_factory.mktemp("house") / "home"
        shutil.copytree(filled, home)
        return load({"CLASH_HOME": str(home)})

    return copied


@pytest.fixture
def stocked(stocked_copy: Callable[[], Settings]) -> Settings:
    """Settings of a system in which a little has happened, this test's own."""
    return stocked_copy()
