"""What all sensors have in common: a cadence that the settings give, and that they run unless somebody stops them."""

from collections.abc import Callable
from typing import Any

import dagster as dg

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
