"""Health of each source and channel: a function of what ingestion recorded, the settings and the time (01 Health).

The channels that should exist stand here, in one list. A channel that is not listed and yet recorded something, such
as a repair, works on demand: it can fail, but it is never missing or stale.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from clash_pipeline.clock import HOUR_MS, day_of
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Row

Status = Literal["ok", "running", "missing", "failed", "stale"]
Kind = Literal["stream", "poll", "on_demand"]

GOOD: Final[frozenset[Status]] = frozenset({"ok", "running"})


class ChannelSpec(NamedTuple):
    """A channel that should be there: how often it has something to say, and what counts as saying it.

    A stream is alive when rows come; a poll when it succeeds, new rows or not.
    """

    source: str
    channel: str
    kind: Kind
    cadence_sec: Callable[[Settings], int]

    def stale_after_sec(self, settings: Settings) -> int:
        """The age from which the channel is stale: a limit of its own for streams, cadence and grace for polls."""
        if self.kind == "stream":
            return settings.stream_stale_after_sec
        return self.cadence_sec(settings) + settings.poll_stale_grace_sec


def _each_minute(_: Settings) -> int:
    return 60


CHANNELS: Final = (
    ChannelSpec("hyperliquid", "registry", "poll", lambda s: s.registry_every_sec),
    ChannelSpec("hyperliquid", "candles_1m", "stream", _each_minute),
    ChannelSpec("hyperliquid", "candles_1h", "poll", lambda s: s.rollup_every_sec),
    ChannelSpec("hyperliquid", "indicators", "stream", _each_minute),
    ChannelSpec("hyperliquid", "mids", "stream", _each_minute),
    ChannelSpec("hyperliquid", "asset_ctxs", "poll", lambda s: s.asset_ctxs_every_sec),
    ChannelSpec("hyperliquid", "funding", "poll", lambda s: s.funding_every_sec),
    ChannelSpec("polymarket", "discovery", "poll", lambda s: s.polymarket_discovery_every_sec),
    ChannelSpec("polymarket", "immediate", "poll", lambda s: s.polymarket_immediate_every_sec),
    ChannelSpec("polymarket", "later", "poll", lambda s: s.polymarket_later_every_sec),
    ChannelSpec("defillama", "capital_base", "poll", lambda s: s.defillama_every_sec),
    ChannelSpec("defillama", "capital_flows", "poll", lambda s: s.defillama_every_sec),
    ChannelSpec("defillama", "economic_throughput", "poll", lambda s: s.defillama_every_sec),
)


REPAIRED: Final = ("hyperliquid", "candles_1m")
"""The channel whose missed minutes are queued and asked for again."""


class Recorded(NamedTuple):
    """What ingestion recorded of a channel, as rows of `ingestion_runs`; None where there is none.

    `alive` is the newest good cycle (of a stream: with rows), `measured` the newest that knows its coverage or lag.
    """

    newest: Row | None
    alive: Row | None
    measured: Row | None
    failed: Row | None
    rows_last_hour: int
    rejections: int
    open_gaps: int | None = None


@dataclass(frozen=True)
class ChannelHealth:
    """The state of a channel. Ages in seconds, lags in ms, None where nothing is known."""

    source: str
    channel: str
    kind: Kind
    status: Status
    expected_cadence_sec: int | None
    stale_after_sec: int | None
    age_sec: int | None
    last_ok_at: int | None
    through_t: int | None
    rows_written: int
    rows_per_hour: int
    covered: int | None
    expected: int | None
    coverage: float | None
    lag_p50_ms: int | None
    lag_p99_ms: int | None
    last_error: str | None
    last_error_at: int | None
    rejections: int
    open_gaps: int | None = None
    """Ranges of minutes that are missing or not proven; None for channels without such a queue."""

    @property
    def name(self) -> str:
        """`source.channel`."""
        return f"{self.source}.{self.channel}"

    @property
    def is_good(self) -> bool:
        """Whether nobody needs to look."""
        return self.status in GOOD

    @property
    def sentence(self) -> str:
        """What is wrong, in one line that names value and limit."""
        match self.status:
            case "missing":
                return f"{self.name} missing: no cycle was ever recorded"
            case "failed":
                return f"{self.name} failed: {self.last_error}"
            case "stale":
                age = "never succeeded" if self.age_sec is None else f"{self.age_sec} s old"
                return f"{self.name} stale: {age}, the limit is {self.stale_after_sec} s"
            case _:
                return f"{self.name} {self.status}"


def read(connection: Connection, settings: Settings, now_ms: int) -> list[ChannelHealth]:
    """The health of every channel at `now_ms`, the listed ones first."""
    return [assess(spec, recorded(connection, spec, now_ms), settings, now_ms) for spec in _specs(connection)]


def bad(channels: Iterable[ChannelHealth]) -> list[ChannelHealth]:
    """The channels somebody should look at."""
    return [channel for channel in channels if not channel.is_good]


def assess(spec: ChannelSpec, seen: Recorded, settings: Settings, now_ms: int) -> ChannelHealth:
    """Judge one channel by its recorded cycles and the time; pure."""
    age_ms = None if seen.alive is None else max(now_ms - seen.alive["finished_at"], 0)
    is_scheduled = spec.kind != "on_demand"
    measured = seen.measured
    covered, expected = (None, None) if measured is None else (measured["covered"], measured["expected"])
    return ChannelHealth(
        source=spec.source,
        channel=spec.channel,
        kind=spec.kind,
        status=_status(spec, seen, age_ms, settings, now_ms),
        expected_cadence_sec=spec.cadence_sec(settings) if is_scheduled else None,
        stale_after_sec=spec.stale_after_sec(settings) if is_scheduled else None,
        age_sec=None if age_ms is None else age_ms // 1000,
        last_ok_at=None if seen.alive is None else seen.alive["finished_at"],
        through_t=None if seen.alive is None else seen.alive["through_t"],
        rows_written=0 if seen.newest is None else seen.newest["rows_written"],
        rows_per_hour=seen.rows_last_hour,
        covered=covered,
        expected=expected,
        coverage=round(covered / expected, 4) if covered is not None and expected else None,
        lag_p50_ms=None if measured is None else measured["lag_p50_ms"],
        lag_p99_ms=None if measured is None else measured["lag_p99_ms"],
        last_error=None if seen.failed is None else seen.failed["error"],
        last_error_at=None if seen.failed is None else seen.failed["finished_at"],
        rejections=seen.rejections,
        open_gaps=seen.open_gaps,
    )


def _status(spec: ChannelSpec, seen: Recorded, age_ms: int | None, settings: Settings, now_ms: int) -> Status:
    if seen.newest is None:
        return "missing"
    if seen.newest["status"] == "failed":
        return "failed"
    if spec.kind == "on_demand":
        return "running" if seen.newest["status"] == "running" else "ok"
    limit_ms = spec.stale_after_sec(settings) * 1000
    if seen.newest["status"] == "running" and now_ms - seen.newest["started_at"] <= limit_ms:
        return "running"
    return "stale" if age_ms is None or age_ms > limit_ms else "ok"


def recorded(connection: Connection, spec: ChannelSpec, now_ms: int) -> Recorded:
    """The cycles of a channel that its health depends on."""
    key = {
        "source": spec.source,
        "channel": spec.channel,
        "least": 1 if spec.kind == "stream" else 0,
        "since": now_ms - HOUR_MS,
        "today": day_of(now_ms),
    }
    newest, alive, measured, failed = (
        connection.execute(question, key).fetchone() for question in (_NEWEST, _ALIVE, _MEASURED, _FAILED)
    )
    rows, rejections = (
        connection.execute(question, key).fetchone()[0] for question in (_ROWS_LAST_HOUR, _REJECTIONS_TODAY)
    )
    open_gaps = connection.execute(_OPEN_GAPS).fetchone()[0] if (spec.source, spec.channel) == REPAIRED else None
    return Recorded(newest, alive, measured, failed, rows, rejections, open_gaps)


def _specs(connection: Connection) -> list[ChannelSpec]:
    listed = {(spec.source, spec.channel) for spec in CHANNELS}
    seen = connection.execute("SELECT DISTINCT source, channel FROM ingestion_runs ORDER BY source, channel")
    others = [(row["source"], row["channel"]) for row in seen if (row["source"], row["channel"]) not in listed]
    return [*CHANNELS, *(ChannelSpec(source, channel, "on_demand", _each_minute) for source, channel in others)]


_NEWEST: Final = """
    SELECT * FROM ingestion_runs WHERE source = :source AND channel = :channel
    ORDER BY started_at DESC, id DESC LIMIT 1
"""
_ALIVE: Final = """
    SELECT * FROM ingestion_runs
    WHERE source = :source AND channel = :channel AND status = 'ok' AND rows_written >= :least
    ORDER BY started_at DESC, id DESC LIMIT 1
"""
_MEASURED: Final = """
    SELECT * FROM ingestion_runs
    WHERE source = :source AND channel = :channel AND status = 'ok'
      AND (covered IS NOT NULL OR lag_p50_ms IS NOT NULL)
    ORDER BY started_at DESC, id DESC LIMIT 1
"""
_FAILED: Final = """
    SELECT * FROM ingestion_runs WHERE source = :source AND channel = :channel AND status = 'failed'
    ORDER BY started_at DESC, id DESC LIMIT 1
"""
_ROWS_LAST_HOUR: Final = """
    SELECT coalesce(sum(rows_written), 0) FROM ingestion_runs
    WHERE source = :source AND channel = :channel AND started_at > :since
"""
_REJECTIONS_TODAY: Final = """
    SELECT coalesce(sum(count), 0) FROM ingestion_rejections
    WHERE source = :source AND channel = :channel AND day = :today
"""
_OPEN_GAPS: Final = "SELECT count(*) FROM candle_gaps WHERE state = 'open'"
