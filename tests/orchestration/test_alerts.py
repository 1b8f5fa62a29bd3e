"""Alerts through Dagster: a sensor without a run asks the rules and says what stands."""

import dagster as dg

from clash_pipeline.services import Services
from sensors.alerts import watch_alerts


def test_a_tick_says_what_stands(services: Services) -> None:
    sensor = watch_alerts(60)
    for said in ("3 new, 0 cleared", "0 new, 0 cleared"):
        context = dg.build_sensor_context(resources={"services": services}, instance=dg.DagsterInstance.ephemeral())
        tick = sensor.evaluate_tick(context)
        assert tick.run_requests == []
        assert tick.skip_message == f"3 alerts stand, 3 of them critical; {said}"
