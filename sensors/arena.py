"""Due auditions, slots and races as run requests. What is due is asked from the rows; a tick without any skips.

Doubled requests do no harm: each step is guarded by the state it starts from.
"""

import dagster as dg

from clash_pipeline.services import Services
from jobs.arena import advance_races, evaluate_auditions, sync_arena_entry
from resources.beta import TRADING
from sensors.cadenced import request, sensor


def request_judgement(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """A run request while the account of a running audition has ended."""
    from clash_pipeline.arena import auditions

    with services.clash.read() as connection:
        is_due = auditions.has_due(connection)
    return request("auditions", services) if is_due else dg.SkipReason("no account of a running audition has ended")


def request_sync(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """A run request while a slot could be filled, a place expires, or a retirement waits for nothing any more."""
    from clash_pipeline.arena import entry, retirement

    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        is_due = bool(retirement.due(connection)) or entry.is_due(connection, services.settings, now_ms)
    return request("slots", services) if is_due else dg.SkipReason("slots and queue are as they should be")


def request_advance(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """A run request while a moment of the race clock has come, or a race is live or being settled."""
    from clash_pipeline.arena import clockwork

    is_due = clockwork.has_race_due(services, services.clock.now_ms())
    return request("races", services) if is_due else dg.SkipReason("no moment of the race clock has come")


due_races = sensor(
    request_advance, "due_races", job=advance_races, family="arena", owners=TRADING,
    description="Looks for races to open, launch, settle or archive, and at those that are live.",
)  # fmt: skip
due_auditions = sensor(
    request_judgement, "due_auditions", job=evaluate_auditions, family="arena", owners=TRADING,
    description="Looks for running auditions whose account has a frozen result.",
)  # fmt: skip
due_slots = sensor(
    request_sync, "due_slots", job=sync_arena_entry, family="arena", owners=TRADING,
    description="Looks for slots to fill, places that expire, and retirements that wait for nothing any more.",
)  # fmt: skip
