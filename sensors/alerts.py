"""Alerts: the rules are asked at each tick, without a run; who must hear of it is told."""

import dagster as dg

from clash_pipeline.services import Services
from resources.beta import OPERATIONS
from sensors.cadenced import sensor


def watch(services: dg.ResourceParam[Services]) -> dg.SkipReason:
    """Ask every rule; the reason of the skipped tick says what stands."""
    from clash_pipeline.alerts import watching
    from clash_pipeline.alerts.telling import teller_from

    return dg.SkipReason(watching.look(services, teller_from(services.settings)).sentence)


watch_alerts = sensor(
    watch, "watch_alerts", family="alerts", owners=OPERATIONS,
    description="Asks the alert rules: stale channels, late workers, disk, budgets, errors, audits; tells people.",
)  # fmt: skip
