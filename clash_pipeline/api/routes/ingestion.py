"""Health of ingestion for everybody, and its details over time for operators (06 ingestion; scope `ingestion`)."""

from typing import Annotated, Literal

from fastapi import Query

from clash_pipeline.api.parts import Operator, Parts
from clash_pipeline.api.problems import Problem, not_found
from clash_pipeline.api.routing import for_service, public
from clash_pipeline.api.routing import router as area
from clash_pipeline.api.wire import Moment, Shown, Time
from clash_pipeline.clock import DAY_MS, SECOND_MS
from clash_pipeline.market import health, ingestion_series
from clash_pipeline.market.health import ChannelHealth
from clash_pipeline.services import Services

router = area("/api/v1/ingestion", "ingestion")
MOST_STEPS = 1_500
Status = Literal["ok", "running", "missing", "failed", "stale"]


class ChannelShown(Shown):
    """A channel in public: whether its data is fresh. Ages in seconds, lags in ms, null where nothing is known."""

    source: str
    channel: str
    status: Status
    age_sec: int | None
    covered: int | None
    expected: int | None
    lag_p50_ms: int | None
    lag_p99_ms: int | None


class IngestionHealth(Shown):
    """Whether every channel is well, and each of them."""

    status: Literal["ok", "degraded"]
    as_of: Time
    channels: list[ChannelShown]


class ChannelDetail(ChannelShown):
    """A channel with what operators need to see."""

    kind: Literal["stream", "poll", "on_demand"]
    expected_cadence_sec: int | None
    stale_after_sec: int | None
    last_ok_at: Time | None
    through_at: Time | None
    rows_written: int
    rows_per_hour: int
    rejections: int
    open_gaps: int | None
    last_error: str | None
    last_error_at: Time | None


class ChannelDetails(Shown):
    """Every channel."""

    as_of: Time
    items: list[ChannelDetail]


class StepShown(Shown):
    """The cycles that began in one step."""

    t: Time
    cycles: int
    failed: int
    rows_written: int
    rejected: int
    covered: int | None
    expected: int | None
    lag_p50_ms: int | None
    lag_p99_ms: int | None


class IngestionSeries(Shown):
    """The steps of a channel, oldest first; a step without a cycle is left out."""

    source: str
    channel: str
    step_sec: int
    items: list[StepShown]


@router.get("/health", summary="Health of ingestion")
@public
def ingestion_health(parts: Parts) -> IngestionHealth:
    """Status, age and coverage of each channel; errors are for operators."""
    return health_of(parts)


@router.get("/channels", summary="Details of each channel")
@for_service("ingestion")
def ingestion_channels(token: Operator, parts: Parts) -> ChannelDetails:
    """The same with volumes, rejections, gaps and the last error."""
    now_ms = parts.clock.now_ms()
    with parts.market.read() as connection:
        found = health.read(connection, parts.settings, now_ms)
    return ChannelDetails(as_of=now_ms, items=[_detail(channel) for channel in found])


@router.get("/series", summary="A channel over time")
@for_service("ingestion")
def get_ingestion_series(
    token: Operator,
    parts: Parts,
    source: Annotated[str, Query(max_length=40, description="hyperliquid, polymarket or defillama.")],
    channel: Annotated[str, Query(max_length=40, description="The channel: candles_1m, funding ...")],
    from_t: Annotated[Moment | None, Query(alias="from", description="First moment; default a day ago.")] = None,
    to_t: Annotated[Moment | None, Query(alias="to", description="Moments before this; default now.")] = None,
    step_sec: Annotated[int, Query(alias="stepSec", ge=60, le=86_400, description="Length of a step.")] = 300,
) -> IngestionSeries:
    """Cycles, rows, rejections, coverage and lag of a channel, gathered into steps."""
    last = parts.clock.now_ms() + 1 if to_t is None else to_t
    first = last - DAY_MS if from_t is None else from_t
    if not 0 < last - first <= MOST_STEPS * step_sec * SECOND_MS:
        raise Problem(422, "value", f"The range has 1 to {MOST_STEPS:,} steps.", pointer="?from")
    with parts.market.read() as connection:
        known = {(each.source, each.channel) for each in health.read(connection, parts.settings, last)}
        if (source, channel) not in known:
            raise not_found("channel")
        found = ingestion_series.read(
            connection, source, channel, from_t=first, to_t=last, step_ms=step_sec * SECOND_MS
        )
    items = [StepShown.model_validate(step) for step in found]
    return IngestionSeries(source=source, channel=channel, step_sec=step_sec, items=items)


def health_of(parts: Services) -> IngestionHealth:
    """The public health, also for the stream."""
    now_ms = parts.clock.now_ms()
    with parts.market.read() as connection:
        found = health.read(connection, parts.settings, now_ms)
    status: Literal["ok", "degraded"] = "degraded" if health.bad(found) else "ok"
    return IngestionHealth(
        status=status, as_of=now_ms, channels=[ChannelShown.model_validate(channel) for channel in found]
    )


def _detail(channel: ChannelHealth) -> ChannelDetail:
    named = {name: getattr(channel, name) for name in ChannelDetail.model_fields if name != "through_at"}
    return ChannelDetail(**named, through_at=channel.through_t)
