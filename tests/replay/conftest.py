"""A small replayed venue on a real port, a fresh one for each test."""

from collections.abc import Iterator

import pytest

from clash_pipeline.replay.controls import VenueControls
from clash_pipeline.replay.hosting import hosted
from clash_pipeline.replay.synthetic import SyntheticMarket
from clash_pipeline.replay.venue import Venue


@pytest.fixture
def truth() -> SyntheticMarket:
    """Twelve perps (the tenth thin, the eleventh delisted) and four spots of seed 7."""
    return SyntheticMarket(7, perps=12)


@pytest.fixture
def venue(truth: SyntheticMarket) -> Venue:
    """A venue nobody serves yet."""
    return Venue(truth)


@pytest.fixture
def served(venue: Venue) -> Iterator[VenueControls]:
    """The venue on a port of its own, in stepped time."""
    with hosted(venue) as controls:
        yield controls
