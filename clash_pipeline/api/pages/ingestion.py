"""`/admin/ingestion`: is every channel fresh and complete, how much comes in, how late, and who is at work."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from fastapi import Query, Request, Response

from clash_pipeline.api.pages import rendering
from clash_pipeline.api.pages.charts import Chart, Line
from clash_pipeline.api.pages.routing import pages
from clash_pipeline.api.parts import Parts
from clash_pipeline.api.routing import for_service
from clash_pipeline.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, day_of
from clash_pipeline.market import health, ingestion_series
from clash_pipeline.market.health import ChannelHealth
from clash_pipeline.market.ingestion_series import Step
from clash_pipeline.storage import heartbeats
from clash_pipeline.storage.sqlite import Connection, Row

router = pages()
Span = Literal["6h", "24h", "7d"]


class Window(NamedTuple):
    """How far back the charts go, and how long one of their steps is."""

    name: str
    span_ms: int
    step_ms: int


WINDOWS: dict[str, Window] = {
    "6h": Window("six hours", 6 * HOUR_MS, 5 * MINUTE_MS),
    "24h": Window("24 hours", DAY_MS, 15 * MINUTE_MS),
    "7d": Window("seven days", 7 * DAY_MS, 2 * HOUR_MS),
}


@router.get("/admin/ingestion")
@for_service("ingestion")
def ingestion(request: Request, parts: Parts, span: Annotated[Span, Query()] = "24h") -> Response:
    """Health of every channel now, and the charts of a window."""
    now_ms, window = parts.clock.now_ms(), WINDOWS[span]
    end = now_ms // window.step_ms * window.step_ms  # the running step would look like an outage
    with parts.market.read() as connection:
        channels = health.read(connection, parts.settings, now_ms)
        steps = {
            channel: ingestion_series.read(
                connection, channel.source, channel.channel, from_t=end - window.span_ms, to_t=end,
                step_ms=window.step_ms,
            )
            for channel in channels
        }  # fmt: skip
        refused = _refused_today(connection, now_ms)
    wall_ms = parts.wall.now_ms()
    workers = [(worker, worker.status(wall_ms)) for worker in heartbeats.workers(parts.clash)]
    return rendering.page(
        request, "ingestion.html", title="Ingestion", channels=channels, bad=health.bad(channels), workers=workers,
        refused=refused, charts=charts(steps, window), window=window, span=span, spans=WINDOWS,
        now_ms=now_ms, wall_ms=wall_ms,
    )  # fmt: skip


def charts(steps: Mapping[ChannelHealth, Sequence[Step]], window: Window) -> list[Chart]:
    """Volume by source, coverage and lag by channel; pure."""
    per = rendering.age(window.step_ms)
    volume = _volume(steps, window)
    coverage = _lines(steps, window, _coverage)
    lag = _lines(steps, window, lambda step: step.lag_p99_ms)
    rows = sum(step.rows_written for found in steps.values() for step in found)
    least = min((channel.coverage for channel in steps if channel.coverage is not None), default=None)
    latest = max((channel.lag_p99_ms for channel in steps if channel.lag_p99_ms is not None), default=None)
    written = f"{rows:,} rows were written in {window.name}, shown by source in rows per {per}."
    fresh = f"Fresh rows over expected ones; the lowest channel is now at {said(rendering.share(least))}."
    late = f"The slowest hundredth of rows of each channel; the largest is now {said(rendering.age(latest))}."
    return [
        Chart("volume", "Volume", written, "count", volume),
        Chart("coverage", "Coverage", fresh, "percent", coverage),
        Chart("lag", "Lag", late, "ms", lag, logarithmic=True),
    ]


def said(shown: str) -> str:
    """A shown value as part of a sentence."""
    return "not known" if shown is rendering.UNKNOWN else shown


def _volume(steps: Mapping[ChannelHealth, Sequence[Step]], window: Window) -> list[Line]:
    sums: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for channel, found in steps.items():
        for step in found:
            sums[channel.source][step.t] += step.rows_written
    gaps = {source: min(_gap(one, window) for one in steps if one.source == source) for source in sums}
    return [Line(source, sorted(points.items()), gaps[source]) for source, points in sorted(sums.items())]


def _gap(channel: ChannelHealth, window: Window) -> int:
    """From which distance of its points a channel was silent; one that works on demand always may be."""
    cadence_ms = (channel.expected_cadence_sec or 10**6) * SECOND_MS
    return 2 * max(cadence_ms, window.step_ms)


def _lines(
    steps: Mapping[ChannelHealth, Sequence[Step]], window: Window, value: Callable[[Step], float | None]
) -> list[Line]:
    """A line for each channel that has the value at all."""
    lines = []
    for channel, found in steps.items():
        points = [(step.t, known) for step in found if (known := value(step)) is not None]
        lines += [Line(channel.name, points, _gap(channel, window))] if points else []
    return lines


def _coverage(step: Step) -> float | None:
    """In percent; of nothing expected it is unknown."""
    return 100 * step.covered / step.expected if step.covered is not None and step.expected else None


def _refused_today(connection: Connection, now_ms: int) -> list[Row]:
    return connection.execute(
        """
        SELECT source, channel, reason, count, first_at, last_at FROM ingestion_rejections
        WHERE day = ? ORDER BY count DESC, source, channel, reason LIMIT 50
        """,
        (day_of(now_ms),),
    ).fetchall()
