"""The venue's running funding estimate: the newest sample of each step."""

from collections.abc import Mapping

from clash_pipeline.clock import HOUR_MS
from clash_pipeline.market.read_plan import ReadEntry
from clash_pipeline.market.reads.windows import Key, Row, grouped, packed, select, step_of
from clash_pipeline.storage.sqlite import Connection

COLUMNS = ("t", "rate_e10", "interval_hours", "premium")


def read(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, list[Row]]:
    """The samples of windows by (symbol, step in ms)."""
    whole = {key: since - since % key[1] for key, since in windows.items()}
    return grouped(select(connection, _SAMPLES, {"windows": packed(whole), "as_of": as_of}), 2)


def step_of_samples(entry: ReadEntry) -> int:
    """The step of an entry, an hour where it names none."""
    return step_of(entry) or HOUR_MS


_SAMPLES = """
    WITH RECURSIVE
    w AS MATERIALIZED (
      SELECT value ->> 0 AS symbol, value ->> 1 AS step, value ->> 2 AS since FROM json_each(:windows)
    ),
    steps (symbol, step, t) AS MATERIALIZED (
      SELECT symbol, step, since FROM w
      UNION ALL
      SELECT symbol, step, t + step FROM steps WHERE t + step <= :as_of
    )
    SELECT s.symbol, s.step, f.t, f.rate_e10, f.interval_hours, f.premium
    FROM steps s CROSS JOIN hyperliquid_funding_rates f
      ON f.symbol = s.symbol AND f.kind = 'current' AND f.venue = 'HlPerp' AND f.t = (
        SELECT t FROM hyperliquid_funding_rates
        WHERE symbol = s.symbol AND kind = 'current' AND venue = 'HlPerp' AND t >= s.t AND t < s.t + s.step
          AND t <= :as_of AND known_at <= :as_of
        ORDER BY t DESC LIMIT 1
      )
    ORDER BY 1, 2, 3
"""
