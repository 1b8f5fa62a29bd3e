"""Due decisions, and decisions that were not delivered, as run requests. What is due is asked from the rows.

The key of a request names what is due; it changes with every minute that stays due and with every attempt that was cut
off, so that a lost or failed run is asked for again. Doubled requests do no harm: a claim is a unique row (09 §4.9).
"""

from collections.abc import Iterable

import dagster as dg

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.decisions.grid import Waiting
from clash_pipeline.services import Services
from jobs.decisions import decide_due, fill_prop_orders
from resources.beta import TRADING
from sensors.cadenced import request, sensor


def request_waves(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """One run request for each engine and shard that has due accounts."""
    from clash_pipeline.decisions import waves

    shards = services.settings.decision_shards
    requests = wave_requests(waves.waiting(services, shards=shards), shards, services.clock.now_ms())
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("no account is due")


def wave_requests(found: Iterable[Waiting], shards: int, now_ms: int) -> list[dg.RunRequest]:
    """One wave for each engine and shard; slow engines never hold up the others."""
    return [_wave(due, shards, now_ms) for due in found]


def request_fills(services: dg.ResourceParam[Services]) -> dg.SensorResult | dg.SkipReason:
    """A run request while any response could be applied and was not."""
    from clash_pipeline.decisions import waves

    found = waves.deliverable(services)
    if not found:
        return dg.SkipReason("every response was applied, or waits for its fill instant")
    first, last = min(due.run_id or 0 for due in found), max(due.run_id or 0 for due in found)
    return request(f"fill/{first}-{last}", services)


due_decisions = sensor(
    request_waves, "due_decisions", job=decide_due, family="decisions", owners=TRADING,
    description="Looks for accounts whose decision tick has come and starts a wave for each engine and shard.",
)  # fmt: skip
undelivered_fills = sensor(
    request_fills, "undelivered_fills", job=fill_prop_orders, family="decisions", owners=TRADING,
    description="Looks for responses to apply: their common minute is final, or their worker was cut off.",
)  # fmt: skip


def _wave(due: Waiting, shards: int, now_ms: int) -> dg.RunRequest:
    minute = max(now_ms - due.tick, 0) // MINUTE_MS
    config = {"engine": due.engine, "shard": due.shard, "shards": shards}
    return dg.RunRequest(
        run_key=f"wave/{due.engine}/{due.shard}-of-{shards}@{due.tick}#{minute}.{due.attempts}",
        run_config={"ops": {"prepare_shard": {"config": config}}},
        tags={"clash/engine": due.engine, "clash/one_at_a_time": f"wave-{due.engine}-{due.shard}"},
    )
