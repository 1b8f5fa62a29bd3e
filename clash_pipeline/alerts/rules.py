"""The rules, in one list: each looks at one thing and says what is wrong with it now. None writes anything."""

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from clash_pipeline.alerts.alert import Finding
from clash_pipeline.arena import incidents
from clash_pipeline.clock import HOUR_MS, iso
from clash_pipeline.economy import incidents as economy_incidents
from clash_pipeline.market import health
from clash_pipeline.storage import heartbeats
from clash_pipeline.storage.parts import Clocked
from clash_pipeline.storage.space import MIB, free_bytes
from clash_pipeline.storage.sqlite import Connection


class Rule(NamedTuple):
    """A rule and the name of its alerts."""

    name: str
    find: Callable[[Clocked], Iterator[Finding]]


CLOCK = ("hyperliquid", "clock")
"""Where the ingester records that our clock is off."""
FREE_FACTOR = 2
"""Free space is worth a warning below this many times the floor at which market memory stops growing."""
LEAST_RUNS = 20
"""Fewer decisions in an hour say nothing of a rate."""


def stale_channels(parts: Clocked) -> Iterator[Finding]:
    """A channel that failed, is stale, or never came; a source that is silent as a whole is one alert."""
    channels = [channel for channel in _channels(parts) if (channel.source, channel.channel) != CLOCK]
    for source in dict.fromkeys(channel.source for channel in channels):
        found = [channel for channel in channels if channel.source == source and channel.kind != "on_demand"]
        bad = [channel for channel in found if not channel.is_good]
        if len(found) > 1 and bad == found:
            said = f"all {len(found)} channels of {source} are bad, the first: {bad[0].sentence}"
            yield Finding(source, "critical", said)
            continue
        for channel in channels:
            if channel.source == source and not channel.is_good:
                yield Finding(channel.name, "critical", channel.sentence)


def clock_skew(parts: Clocked) -> Iterator[Finding]:
    """Our clock is off by more than the setting allows, by the venue's own times (09 D7)."""
    for channel in _channels(parts):
        if (channel.source, channel.channel) == CLOCK and not channel.is_good:
            yield Finding("machine", "critical", channel.last_error or channel.sentence)


def late_workers(parts: Clocked) -> Iterator[Finding]:
    """A worker whose heartbeat is late or stale (07 Heartbeats)."""
    now_ms = parts.wall.now_ms()
    for beat in heartbeats.workers(parts.clash):
        status, age_sec = beat.status(now_ms), (now_ms - beat.last_beat_at) // 1000
        if status in {"late", "stale"}:
            said = f"{beat.worker} is {status}: silent for {age_sec} s, expected every {beat.expected_interval_sec} s"
            yield Finding(beat.worker, "critical" if status == "stale" else "warning", said)


def failing_workers(parts: Clocked) -> Iterator[Finding]:
    """A worker that is alive and whose last cycle failed."""
    now_ms = parts.wall.now_ms()
    for beat in heartbeats.workers(parts.clash):
        if beat.status(now_ms) in {"ok", "late"} and beat.last_error is not None:
            yield Finding(beat.worker, "warning", f"{beat.worker} failed: {beat.last_error[:300]}")


def low_disk(parts: Clocked) -> Iterator[Finding]:
    """Less space than twice the floor below which market memory stops growing, or the reserve is given up."""
    settings = parts.settings
    free = free_bytes(settings.home) // MIB
    floor = settings.disk_floor_mib
    if floor and free < FREE_FACTOR * floor:
        message = f"{free} MiB are free at {settings.home}, market memory stops growing below {floor} MiB"
        yield Finding("home", "critical" if free < floor else "warning", message)


def exhausted_budgets(parts: Clocked) -> Iterator[Finding]:
    """A model budget that refused runs within the last hour."""
    with parts.clash.read() as connection:
        rows = connection.execute(
            """
            SELECT reason, count(*) AS runs FROM decision_runs
            WHERE state = 'failed' AND finished_at > ? AND reason LIKE 'budget_exhausted%'
            GROUP BY reason ORDER BY reason
            """,
            (parts.clock.now_ms() - HOUR_MS,),
        ).fetchall()
    for row in rows:
        limit = row["reason"].partition(": ")[2] or "a budget"
        yield Finding(limit[:200], "warning", f"{row['runs']} runs in an hour were refused: {limit}")


def failing_decisions(parts: Clocked) -> Iterator[Finding]:
    """More than the allowed share of an engine's decisions of the last hour failed; refused budgets count apart."""
    with parts.clash.read() as connection:
        rows = connection.execute(
            """
            SELECT engine, count(*) AS runs, sum(state = 'failed' AND reason NOT LIKE 'budget_exhausted%') AS failed,
                   max(iif(state = 'failed', reason, NULL)) AS reason
            FROM decision_runs WHERE finished_at > ? AND state IN ('completed', 'failed')
            GROUP BY engine ORDER BY engine
            """,
            (parts.clock.now_ms() - HOUR_MS,),
        ).fetchall()
    most = parts.settings.alert_failed_pct
    for row in rows:
        if row["runs"] >= LEAST_RUNS and row["failed"] * 100 > most * row["runs"]:
            share = f"{row['failed']} of {row['runs']} decisions by {row['engine']} failed in an hour, limit {most} %"
            yield Finding(row["engine"], "critical", f"{share}; the last: {row['reason']}")


def audit_differences(parts: Clocked) -> Iterator[Finding]:
    """The newest full audit, or one since then, found books that do not close (09 G5)."""
    with parts.clash.read() as connection:
        found = _differences(connection)
    for invariant, row, message in found:
        yield Finding(f"{invariant} {row}"[:200], "critical", f"{invariant} {row}: {message}")


def stuck_races(parts: Clocked) -> Iterator[Finding]:
    """A race that does not go on: a result is missing or altered, or its books differ before it is archived."""
    with parts.clash.read() as connection:
        found = incidents.standing(connection)
    for one in found:
        said = f"race {one.race_id} does not go on since {iso(one.since)}: {one.message}"
        yield Finding(f"race {one.race_id} {one.code}", "critical", said)


def open_incidents(parts: Clocked) -> Iterator[Finding]:
    """What the economy asks a person to look at: endpoints, deposits that are gone, equations, payouts held back."""
    with parts.clash.read() as connection:
        found = economy_incidents.open_ones(connection)
    for one in found:
        yield Finding(
            f"{one.kind} {one.ref}"[:200], "critical", f"{one.kind} since {iso(one.raised_at)}: {one.detail[:500]}"
        )


def _differences(connection: Connection) -> list[tuple[str, str, str]]:
    rows = connection.execute(
        """
        SELECT differences FROM book_audits
        WHERE id >= coalesce((SELECT max(id) FROM book_audits WHERE is_full = 1), 0) ORDER BY id
        """
    )
    found = [(str(one[0]), str(one[1]), str(one[2])) for row in rows for one in json.loads(row["differences"])]
    return list(dict.fromkeys(found))


def _channels(parts: Clocked) -> list[health.ChannelHealth]:
    with parts.market.read() as connection:
        return health.read(connection, parts.settings, parts.clock.now_ms())


RULES: tuple[Rule, ...] = (
    Rule("stale_channel", stale_channels),
    Rule("clock_skew", clock_skew),
    Rule("late_worker", late_workers),
    Rule("failing_worker", failing_workers),
    Rule("low_disk", low_disk),
    Rule("budget_exhausted", exhausted_budgets),
    Rule("error_rate", failing_decisions),
    Rule("audit_difference", audit_differences),
    Rule("race_stuck", stuck_races),
    Rule("economy_incident", open_incidents),
)
