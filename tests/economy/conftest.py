"""A till over a migrated database, and the same beside a chain."""

import pytest

from clash_pipeline.storage.sqlite import Database
from tests.fakes.chained import Chained
from tests.fakes.till import Till


@pytest.fixture
def till(clash: Database) -> Till:
    """People, clones and deposits of one database."""
    return Till(clash)


@pytest.fixture
def chained(clash: Database) -> Chained:
    """Two honest endpoints, nobody has paid yet."""
    return Chained(clash)
