"""What memory says of a funding hour: its rate and the oracle price at it. Read before the transaction (10 §1, 11.7).

The rate is the one that was paid, where it is known already, else the venue's running estimate of that hour as it
last stood before it ended. The oracle price is the last one known at the hour, else the first one after it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.storage.sqlite import Connection, Row

SAMPLE_WINDOW_MS = 10 * MINUTE_MS
"""An estimate or an oracle price further than this from the hour says nothing about it *(ours)*."""
ORACLE_SILENCE_MS = 30 * MINUTE_MS
"""An oracle price older than this does not price a fixing: then the whole venue counts as silent (11, 9)."""


class HourKey(NamedTuple):
    """One funding hour of one perp."""

    symbol: str
    hour_t: int


class Source(NamedTuple):
    """Rate (1e-10 an hour) and oracle price (venue text) of a funding hour; `paid` or `estimate`."""

    rate_e10: int
    rate_source: str
    rate_at: int
    oracle_px: str
    oracle_at: int


class Oracle(NamedTuple):
    """An oracle price as published, and when it was known."""

    text: str
    known_at: int


Sources = Mapping[HourKey, Source]


def sources(connection: Connection, hours: Iterable[HourKey], now_ms: int) -> dict[HourKey, Source]:
    """Rate and oracle price of each hour that has both; an hour that lacks one is left out, never guessed."""
    keys = sorted(set(hours))
    rates = {**_estimates(connection, keys, now_ms), **_paid(connection, keys, now_ms)}
    oracles = _oracles(connection, keys, now_ms)
    return {
        key: Source(rate["rate_e10"], rate["source"], rate["known_at"], oracle["oracle_px"], oracle["known_at"])
        for key in keys
        if (rate := rates.get(key)) is not None and (oracle := oracles.get(key)) is not None
    }


def oracle_at(connection: Connection, symbols: Iterable[str], at_ms: int, now_ms: int) -> dict[str, Oracle]:
    """The last oracle price known at a moment, at most 30 minutes old, else the first one known after it."""
    keys = [HourKey(symbol, at_ms) for symbol in sorted(set(symbols))]
    found = _nearest_oracles(connection, keys, now_ms, ORACLE_SILENCE_MS)
    return {key.symbol: Oracle(row["oracle_px"], row["known_at"]) for key, row in found.items()}


def _paid(connection: Connection, keys: list[HourKey], now_ms: int) -> dict[HourKey, Row]:
    rows = connection.execute(
        """
        SELECT w.value ->> 0 AS symbol, w.value ->> 1 AS hour_t, f.rate_e10, f.known_at, 'paid' AS source
        FROM json_each(:keys) w JOIN hyperliquid_funding_rates f
          ON f.symbol = w.value ->> 0 AND f.kind = 'paid' AND f.venue = 'HlPerp' AND f.t = w.value ->> 1
        WHERE f.interval_hours = 1 AND f.known_at <= :now
        """,
        {"keys": json.dumps(keys), "now": now_ms},
    )
    return _by_key(rows)


def _estimates(connection: Connection, keys: list[HourKey], now_ms: int) -> dict[HourKey, Row]:
    """The newest estimate sampled before each hour, of either poll that carries it."""
    parameters = {"keys": json.dumps(keys), "now": now_ms, "window": SAMPLE_WINDOW_MS}
    polled = connection.execute(
        """
        SELECT w.value ->> 0 AS symbol, w.value ->> 1 AS hour_t, c.funding_e10 AS rate_e10,
               max(c.known_at) AS known_at, 'estimate' AS source
        FROM json_each(:keys) w JOIN hyperliquid_asset_ctxs c ON c.symbol = w.value ->> 0
         AND c.t < w.value ->> 1 AND c.t >= (w.value ->> 1) - :window
        WHERE c.funding_e10 IS NOT NULL AND c.known_at <= min(w.value ->> 1, :now)
        GROUP BY w.value ->> 0, w.value ->> 1
        """,
        parameters,
    )
    sampled = connection.execute(
        """
        SELECT w.value ->> 0 AS symbol, w.value ->> 1 AS hour_t, f.rate_e10, max(f.known_at) AS known_at,
               'estimate' AS source
        FROM json_each(:keys) w JOIN hyperliquid_funding_rates f ON f.symbol = w.value ->> 0 AND f.kind = 'current'
         AND f.venue = 'HlPerp' AND f.t < w.value ->> 1 AND f.t >= (w.value ->> 1) - :window
        WHERE f.interval_hours = 1 AND f.known_at <= min(w.value ->> 1, :now)
        GROUP BY w.value ->> 0, w.value ->> 1
        """,
        parameters,
    )
    found = _by_key(polled)
    for key, row in _by_key(sampled).items():
        if key not in found or row["known_at"] > found[key]["known_at"]:
            found[key] = row
    return found


def _oracles(connection: Connection, keys: list[HourKey], now_ms: int) -> dict[HourKey, Row]:
    nearest = _nearest_oracles(connection, keys, now_ms, SAMPLE_WINDOW_MS)
    return {key: row for key, row in nearest.items() if row["known_at"] <= key.hour_t + SAMPLE_WINDOW_MS}


def _nearest_oracles(connection: Connection, keys: list[HourKey], now_ms: int, max_age_ms: int) -> dict[HourKey, Row]:
    """The newest price known at each moment and not older than the limit, else the first one after it."""
    rows = connection.execute(
        """
        SELECT w.value ->> 0 AS symbol, w.value ->> 1 AS hour_t, c.oracle_px, c.known_at
        FROM json_each(:keys) w JOIN hyperliquid_asset_ctxs c ON c.symbol = w.value ->> 0
         AND c.t = coalesce(
           (SELECT max(t) FROM hyperliquid_asset_ctxs
            WHERE symbol = w.value ->> 0 AND t <= w.value ->> 1 AND t >= (w.value ->> 1) - :max_age
              AND known_at <= w.value ->> 1 AND known_at <= :now AND oracle_px IS NOT NULL),
           (SELECT min(t) FROM hyperliquid_asset_ctxs
            WHERE symbol = w.value ->> 0 AND t >= (w.value ->> 1) - 60000 AND known_at > w.value ->> 1
              AND known_at <= :now AND oracle_px IS NOT NULL))
        """,
        {"keys": json.dumps(keys), "now": now_ms, "max_age": max_age_ms},
    )
    return _by_key(rows)


def _by_key(rows: Iterable[Row]) -> dict[HourKey, Row]:
    return {HourKey(row["symbol"], row["hour_t"]): row for row in rows}
