"""A till over a migrated database."""

import pytest

from clash_pipeline.storage.sqlite import Database
from tests.fakes.till import Till


@pytest.fixture
def till(clash: Database) -> Till:
    """People, clones and deposits of one database."""
    return Till(clash)
