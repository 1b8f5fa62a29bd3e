"""What Prometheus scrapes: gauges read from the databases when it asks, and the requests of this process."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clash_pipeline.market import health
from clash_pipeline.services import Services
from clash_pipeline.storage import heartbeats

__all__ = ["CONTENT_TYPE", "MeterMiddleware", "exposition"]
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)

_process = CollectorRegistry()
REQUESTS = Counter("clash_http_requests", "Requests by method, route and status.", ("method", "route", "status"),
                   registry=_process)  # fmt: skip
SECONDS = Histogram("clash_http_request_seconds", "Time to the end of the answer.", ("method", "route"),
                    buckets=_BUCKETS, registry=_process)  # fmt: skip


class MeterMiddleware:
    """Counts requests by the route they found, never by their path, so that strangers cannot grow the metrics."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "(none)")
            REQUESTS.labels(method, route, str(status)).inc()
            SECONDS.labels(method, route).observe(time.perf_counter() - started)


class _Databases:
    """Reads what the databases say, once for each scrape."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every gauge."""
        yield from _workers(self._services)
        yield from _channels(self._services)
        yield from _counts(self._services)


def exposition(services: Services) -> bytes:
    """The metrics in the text format."""
    registry = CollectorRegistry()
    registry.register(_Databases(services))
    return generate_latest(_process) + generate_latest(registry)


def _workers(services: Services) -> Iterator[GaugeMetricFamily]:
    age = GaugeMetricFamily("clash_worker_beat_age_seconds", "Since the last heartbeat.", labels=("worker",))
    well = GaugeMetricFamily("clash_worker_ok", "1 while a worker is ok, by its heartbeat.", labels=("worker",))
    now_ms = services.wall.now_ms()
    for beat in heartbeats.workers(services.clash):
        age.add_metric((beat.worker,), max(now_ms - beat.last_beat_at, 0) / 1000)
        well.add_metric((beat.worker,), float(beat.status(now_ms) == "ok"))
    yield from (age, well)


def _channels(services: Services) -> Iterator[GaugeMetricFamily]:
    labels = ("source", "channel")
    well = GaugeMetricFamily("clash_channel_ok", "1 while a channel is ok or running.", labels=labels)
    age = GaugeMetricFamily("clash_channel_age_seconds", "Since a channel was last alive.", labels=labels)
    rows = GaugeMetricFamily("clash_channel_rows_last_hour", "Rows written in the last hour.", labels=labels)
    lag = GaugeMetricFamily("clash_channel_lag_p99_ms", "99th percentile of source to known.", labels=labels)
    with services.market.read() as connection:
        found = health.read(connection, services.settings, services.clock.now_ms())
    for channel in found:
        name = (channel.source, channel.channel)
        well.add_metric(name, float(channel.is_good))
        rows.add_metric(name, channel.rows_per_hour)
        for family, value in ((age, channel.age_sec), (lag, channel.lag_p99_ms)):
            if value is not None:  # unknown is left out, never 0
                family.add_metric(name, value)
    yield from (well, age, rows, lag)


def _counts(services: Services) -> Iterator[GaugeMetricFamily]:
    runs = GaugeMetricFamily("clash_decision_runs", "Decision runs by state.", labels=("state",))
    accounts = GaugeMetricFamily("clash_prop_accounts", "Prop accounts by kind and state.", labels=("kind", "state"))
    queue = GaugeMetricFamily("clash_moderation_queue", "Profiles and reports that wait.", labels=("what",))
    with services.clash.read() as connection:
        for row in connection.execute("SELECT state, count(*) AS n FROM decision_runs GROUP BY state ORDER BY state"):
            runs.add_metric((row["state"],), row["n"])
        grouped = "SELECT kind, state, count(*) AS n FROM prop_accounts GROUP BY kind, state ORDER BY kind, state"
        for row in connection.execute(grouped):
            accounts.add_metric((row["kind"], row["state"]), row["n"])
        waiting = """
            SELECT 'profiles' AS what, count(*) AS n FROM clone_profiles WHERE state = 'submitted'
            UNION ALL SELECT 'reports', count(*) FROM clone_profile_reports WHERE state = 'open'
        """
        for row in connection.execute(waiting):
            queue.add_metric((row["what"],), row["n"])
    yield from (runs, accounts, queue)
