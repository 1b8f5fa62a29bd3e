"""How ingestion went over time: the cycles of each channel summed up in even steps, for charts."""

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

from clash_pipeline.storage.sqlite import Connection


class Step(NamedTuple):
    """The cycles of one channel that began within `[t, t + step)`; times and lags in ms, None where none was measured.

    `covered` and `expected` are sums over the cycles that know both; `lag_p50_ms` is the mean of the cycles' medians,
    `lag_p99_ms` the worst cycle's.
    """

    source: str
    channel: str
    t: int
    cycles: int
    failed: int
    rows: int
    rejected: int
    covered: int | None
    expected: int | None
    lag_p50_ms: int | None
    lag_p99_ms: int | None

    @property
    def name(self) -> str:
        """`source.channel`."""
        return f"{self.source}.{self.channel}"

    @property
    def coverage(self) -> float | None:
        """Fresh rows over rows that should be there."""
        return self.covered / self.expected if self.covered is not None and self.expected else None


def history(
    connection: Connection, channels: Iterable[tuple[str, str]], *, from_t: int, to_t: int, step_ms: int
) -> list[Step]:
    """Every step of these channels in `[from_t, to_t)` that has a finished cycle, by channel and time.

    A step without a cycle has no entry: nothing happened is not the same as nothing was written.
    """
    if step_ms < 1:
        raise ValueError(f"a step has at least 1 ms, not {step_ms}")
    parameters = {"channels": json.dumps(sorted(set(channels))), "from_t": from_t, "to_t": to_t, "step": step_ms}
    return [Step._make(row) for row in connection.execute(_HISTORY, parameters)]


_HISTORY: Final = """
    SELECT r.source, r.channel, r.started_at / :step * :step AS t, count(*), sum(r.status = 'failed'),
           sum(r.rows_written), sum(r.rejected),
           sum(iif(r.expected IS NULL, NULL, r.covered)), sum(iif(r.covered IS NULL, NULL, r.expected)),
           CAST(avg(r.lag_p50_ms) AS INTEGER), max(r.lag_p99_ms)
    FROM json_each(:channels) wanted
    CROSS JOIN ingestion_runs r
      ON r.source = wanted.value ->> 0 AND r.channel = wanted.value ->> 1
     AND r.started_at >= :from_t AND r.started_at < :to_t
    WHERE r.status <> 'running'
    GROUP BY r.source, r.channel, r.started_at / :step
    ORDER BY r.source, r.channel, t
"""
