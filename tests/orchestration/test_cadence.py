"""Schedules fire by the wall, but ask for the partition of the market's time."""

import dagster as dg
import pytest

from clash_pipeline import definitions
from clash_pipeline.services import Services
from sensors import cadence

# the fixture clock stands at 2025-07-21T12:13:20Z
PARTITIONS = {
    "refresh_hyperliquid_hourly": "2025-07-21-12:00",
    "derive_hyperliquid_hourly": "2025-07-21-11:00",
    "refresh_polymarket_hourly": "2025-07-21-12:00",
    "refresh_defillama_hourly": "2025-07-21",
    "repair_candles_daily": "2025-07-20",
}


@pytest.mark.parametrize(("name", "key"), PARTITIONS.items())
def test_each_schedule_asks_for_the_partition_of_the_markets_time(services: Services, name: str, key: str) -> None:
    schedule = getattr(cadence, name)
    with dg.build_schedule_context(resources={"services": services}) as context:
        asked = schedule(context)
    assert isinstance(asked, dg.RunRequest)
    assert asked.partition_key == key


def test_each_asked_partition_is_one_of_its_job(services: Services) -> None:
    defs = definitions.build_definitions({"services": services}, services.settings)
    for name, key in PARTITIONS.items():
        job = defs.resolve_job_def(getattr(cadence, name).job_name)
        assert job.partitions_def is not None
        assert job.partitions_def.has_partition_key(key), name


def test_nothing_is_marked_where_nobody_trades(services: Services) -> None:
    with dg.build_schedule_context(resources={"services": services}) as context:
        assert isinstance(cadence.mark_every_minute(context), dg.SkipReason)
