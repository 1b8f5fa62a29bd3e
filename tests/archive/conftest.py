"""One S3-speaking server for all archive tests of a worker process."""

from collections.abc import Iterator

import pytest

from tests.fakes.object_store import ObjectServer, object_server


@pytest.fixture(scope="session")
def s3() -> Iterator[ObjectServer]:
    """A moto server in a process of its own, with an empty bucket."""
    with object_server() as server:
        yield server
