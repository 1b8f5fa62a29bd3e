"""How a channel's ingestion went over time, gathered into steps: what the dashboard draws."""

from typing import NamedTuple

from clash_pipeline.storage.sqlite import Connection

SERIES = """
SELECT started_at - started_at % :step AS t, count(*) AS cycles, sum(status = 'failed') AS failed,
       sum(rows_written) AS rows_written, sum(rejected) AS rejected,
       max(covered) AS covered, max(expected) AS expected, max(lag_p50_ms) AS lag_p50_ms, max(lag_p99_ms) AS lag_p99_ms
FROM ingestion_runs
WHERE source = :source AND channel = :channel AND started_at >= :from_t AND started_at < :to_t
GROUP BY 1 ORDER BY 1
"""


class Step(NamedTuple):
    """The cycles that began in one step: sums of what they did, the largest coverage and lags of them."""

    t: int
    cycles: int
    failed: int
    rows_written: int
    rejected: int
    covered: int | None
    expected: int | None
    lag_p50_ms: int | None
    lag_p99_ms: int | None


def read(connection: Connection, source: str, channel: str, *, from_t: int, to_t: int, step_ms: int) -> list[Step]:
    """The steps of `[from_t, to_t)` in which a cycle began, oldest first."""
    values = {"source": source, "channel": channel, "from_t": from_t, "to_t": to_t, "step": step_ms}
    return [Step._make(row) for row in connection.execute(SERIES, values)]
