"""Indicators at the last minute of each step: coarse reads are thinned by looking only there."""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter, lt
from typing import Any

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market.reads.windows import Key, Rows, packed, select
from clash_pipeline.storage.sqlite import Connection

CHANNELS: dict[str, tuple[str, ...]] = {
    "rsi": ("rsi14",),
    "bollinger": ("bb_upper", "bb_middle", "bb_lower"),
    "sma_ema": ("sma20", "ema20"),
    "macd": ("macd", "macd_signal", "macd_hist"),
}
COLUMNS = ("t", *(name for names in CHANNELS.values() for name in names))

Lines = dict[str, tuple[Any, ...]]
"""The values of each column, oldest first."""


def read(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, Lines]:
    """The lines of windows by (symbol, step in ms); a step whose last minute is not known has no values."""
    parameters = {"windows": packed(windows), "firsts": _firsts(windows), "as_of": as_of}
    keys, found = list(windows), dict[int, list[tuple[Any, ...]]]()
    for place, rows in groupby(select(connection, _LINES, parameters), itemgetter(0)):
        found.setdefault(place, []).extend(rows)
    return {keys[place]: _lines(rows) for place, rows in found.items()}


def rows_of(lines: Lines | None, names: Sequence[str], since: int, points: int) -> Rows:
    """Some columns as rows from `since` on, the newest `points`."""
    if lines is None:
        return ()
    start = max(bisect_left(lines["t"], since), len(lines["t"]) - points)
    return tuple(zip(*(lines[name][start:] for name in names), strict=True))


def _lines(rows: list[tuple[Any, ...]]) -> Lines:
    """Columns in order of time; the rows nearly always are, but for versions that follow them."""
    _, *columns = zip(*rows, strict=True)
    if not all(map(lt, columns[0], columns[0][1:])):
        _, *columns = zip(*sorted(rows, key=itemgetter(1)), strict=True)
    return dict(zip(COLUMNS, columns, strict=True))


def _firsts(windows: Mapping[Key, int]) -> str:
    """The last minute of the first step of the earliest window, for each step."""
    firsts: dict[int, int] = {}
    for (_, step), since in windows.items():
        firsts[step] = min(since + step - MINUTE_MS, firsts.get(step, since + step))
    return json.dumps(sorted(firsts.items()))


_LINES = """
    WITH RECURSIVE
    w AS MATERIALIZED (
      SELECT key AS place, value ->> 0 AS symbol, value ->> 1 AS step, value ->> 2 AS since FROM json_each(:windows)
    ),
    ends (step, t) AS MATERIALIZED (
      SELECT value ->> 0, value ->> 1 FROM json_each(:firsts)
      UNION ALL
      SELECT step, t + step FROM ends WHERE t + step <= :as_of - 60000
    )
    SELECT w.place, i.t, i.rsi14, i.bb_upper, i.bb_middle, i.bb_lower, i.sma20, i.ema20, i.macd, i.macd_signal,
           i.macd_hist
    FROM w CROSS JOIN ends ON ends.step = w.step AND ends.t >= w.since
    CROSS JOIN hyperliquid_technical_indicators i ON i.symbol = w.symbol AND i.t = ends.t
    WHERE i.t <= :as_of - 60000 AND i.known_at <= :as_of
    UNION ALL
    SELECT w.place, i.t, i.rsi14, i.bb_upper, i.bb_middle, i.bb_lower, i.sma20, i.ema20, i.macd, i.macd_signal,
           i.macd_hist
    FROM w CROSS JOIN hyperliquid_technical_indicator_versions i ON i.symbol = w.symbol
    WHERE i.t >= w.since AND i.t <= :as_of - 60000 AND (i.t + 60000) % w.step = 0 AND i.known_at <= :as_of
      AND i.superseded_at > :as_of
"""
