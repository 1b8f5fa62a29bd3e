"""The world of the decision tests, with a market memory in which every channel is well."""

import pytest

from clash_pipeline.market import health, ingestion
from tests.decisions.conftest import world
from tests.fakes.world import World

__all__ = ["world"]


@pytest.fixture
def well(world: World) -> World:
    """A world where no rule finds anything."""
    cycle(world)
    return world


def cycle(world: World, *, error: str | None = None, channel: str | None = None) -> None:
    """A finished cycle of every channel, or of one, just now."""
    now_ms = world.clock.now_ms()
    with world.market.write() as connection:
        for spec in health.CHANNELS:
            if channel in (None, f"{spec.source}.{spec.channel}"):
                ingestion.record(
                    connection, spec.source, spec.channel, ingestion.Cycle(rows=1), started_at=now_ms,
                    finished_at=now_ms, error=error,
                )  # fmt: skip
