"""Warnings of Dagster itself that are not ours to mend, and the parts its tests share."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from clash_pipeline.clock import SettableClock
from clash_pipeline.services import Services
from clash_pipeline.settings import Settings

HERE = Path(__file__).parent
NOT_OURS = (
    "ignore:Parameter `(owners|backfill_policy)`",
    "ignore:The `__fields__` attribute is deprecated",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let Dagster warn about itself in the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            for warning in NOT_OURS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture
def services(settings: Settings, clock: SettableClock) -> Iterator[Services]:
    """The services of a migrated home, on a clock that stands still."""
    made = Services(settings, clock)
    yield made
    made.close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An ephemeral Dagster instance."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made
