"""What sensors have in common: a cadence that the settings give, that they run unless stopped, and how they ask."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.services import Services

At = Callable[[int], dg.SensorDefinition]
"""Makes a sensor that looks every so many seconds."""


def sensor(
    look: Callable[..., Any],
    name: str,
    description: str,
    *,
    family: str,
    owners: Any,
    job: dg.JobDefinition | None = None,
) -> At:
    """A sensor whose cadence is not known yet."""

    def at(every_sec: int) -> dg.SensorDefinition:
        made: dg.SensorDefinition = dg.sensor(
            name=name,
            job=job,
            minimum_interval_seconds=every_sec,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description=description,
            tags={"clash/family": family},
            owners=owners,
        )(look)
        return made

    return at


def request(due: str, services: Services) -> dg.SensorResult:
    """A run request whose key names what is due and the minute, so that a lost or failed run is asked for again."""
    minute = services.clock.now_ms() // MINUTE_MS
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{due}@{minute}")])
