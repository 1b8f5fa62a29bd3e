"""Due auditions, slots and races as run requests. What is due is asked from the rows; a tick without any skips.

The key of a request names the minute, so that a lost or failed run is asked for again. Doubled requests do no harm:
each step is guarded by the state it starts from.
"""

import dagster as dg

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.services import Services
from jobs.arena import advance_races, evaluate_auditions, sync_arena_entry
from resources.beta import TRADING


def request_judgement(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """A run request while the account of a running audition has ended."""
    from clash_pipeline.arena import auditions

    with services.clash.read() as connection:
        is_due = auditions.has_due(connection)
    return _request("auditions", services) if is_due else dg.SkipReason("no account of a running audition has ended")


def request_sync(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """A run request while a slot could be filled, a place expires, or a retirement waits for nothing any more."""
    from clash_pipeline.arena import entry, retirement

    now_ms = services.clock.now_ms()
    with services.clash.read() as connection:
        is_due = bool(retirement.due(connection)) or entry.is_due(connection, services.settings, now_ms)
    return _request("slots", services) if is_due else dg.SkipReason("slots and queue are as they should be")


def request_advance(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """A run request while a moment of the race clock has come, or a race is live or being settled."""
    from clash_pipeline.arena import clockwork

    is_due = clockwork.has_race_due(services, services.clock.now_ms())
    return _request("races", services) if is_due else dg.SkipReason("no moment of the race clock has come")


def due_races(every_sec: int) -> dg.SensorDefinition:
    """The sensor of races, at a cadence."""
    return dg.sensor(
        name="due_races",
        job=advance_races,
        minimum_interval_seconds=every_sec,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for races to open, launch, settle or archive, and at those that are live.",
        tags={"clash/family": "arena"},
        owners=TRADING,
    )(request_advance)


def due_auditions(every_sec: int) -> dg.SensorDefinition:
    """The sensor of auditions, at a cadence."""
    return dg.sensor(
        name="due_auditions",
        job=evaluate_auditions,
        minimum_interval_seconds=every_sec,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for running auditions whose account has a frozen result.",
        tags={"clash/family": "arena"},
        owners=TRADING,
    )(request_judgement)


def due_slots(every_sec: int) -> dg.SensorDefinition:
    """The sensor of slots and queue, at a cadence."""
    return dg.sensor(
        name="due_slots",
        job=sync_arena_entry,
        minimum_interval_seconds=every_sec,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for slots to fill, places that expire, and retirements that wait for nothing any more.",
        tags={"clash/family": "arena"},
        owners=TRADING,
    )(request_sync)


def _request(what: str, services: Services) -> dg.SensorResult:
    minute = services.clock.now_ms() // MINUTE_MS
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{what}@{minute}")])
