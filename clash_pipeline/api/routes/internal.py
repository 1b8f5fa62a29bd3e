"""For those who run the system: workers by their heartbeats, metrics for Prometheus (06 internal; scope `health`)."""

from typing import Literal

from fastapi import Response

from clash_pipeline.api.documenting import sends
from clash_pipeline.api.metrics import CONTENT_TYPE, exposition
from clash_pipeline.api.parts import Operator, Parts
from clash_pipeline.api.routing import for_service
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Shown, Time
from clash_pipeline.storage import heartbeats
from clash_pipeline.storage.heartbeats import Heartbeat

router = area("", "internal")


class WorkerShown(Shown):
    """A worker as it was last heard of."""

    worker: str
    instance: str
    status: Literal["ok", "late", "stale", "stopped"]
    started_at: Time
    last_beat_at: Time
    last_ok_at: Time | None
    last_error: str | None
    cycles: int
    expected_interval_sec: int
    version: str
    host: str
    pid: int


class Workers(Shown):
    """Every worker; `degraded` while one is late or stale."""

    status: Literal["ok", "degraded"]
    as_of: Time
    items: list[WorkerShown]


@router.get("/api/v1/internal/health/workers", summary="Who is at work")
@for_service("health")
def list_workers(token: Operator, parts: Parts) -> Workers:
    """The newest instance of each worker, by name."""
    now_ms = parts.wall.now_ms()
    found = [_shown(beat, now_ms) for beat in heartbeats.workers(parts.clash)]
    is_well = all(worker.status in ("ok", "stopped") for worker in found)
    return Workers(status="ok" if is_well else "degraded", as_of=now_ms, items=found)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
@for_service("health")
@sends("text/plain")
def metrics(token: Operator, parts: Parts) -> Response:
    """Requests, workers, ingestion, decisions and accounts in the text format of Prometheus."""
    return Response(exposition(parts), headers={"content-type": CONTENT_TYPE})


def _shown(beat: Heartbeat, now_ms: int) -> WorkerShown:
    return WorkerShown.model_validate({**vars(beat), "status": beat.status(now_ms)})
