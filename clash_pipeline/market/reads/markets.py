"""Polymarket: the markets chosen for an asset, and the quotes of a market or of all markets of an event."""

from collections.abc import Mapping

from clash_pipeline.market.reads.windows import Key, Row, grouped, newest_of_steps, packed, select
from clash_pipeline.storage.sqlite import Connection

LINKED_COLUMNS = ("t", "market_id", "question", "outcomes", "prices", "end_at", "liquidity")
QUOTE_COLUMNS = ("t", "market_id", "question", "outcomes", "prices", "best_bid", "best_ask", "end_at")
MOST_MARKETS = 20
"""Of an event with more markets, those with the most liquid newest quote are read *(ours)*."""


def immediate(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, list[Row]]:
    """The immediate market of assets, as it was chosen again and again, by (symbol,)."""
    return grouped(select(connection, _IMMEDIATE, {"windows": packed(windows), "as_of": as_of}), 1)


def later(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, list[Row]]:
    """The same of the later market."""
    return grouped(select(connection, _LATER, {"windows": packed(windows), "as_of": as_of}), 1)


def quotes(connection: Connection, windows: Mapping[Key, int], as_of: int) -> dict[Key, list[Row]]:
    """Quotes by (slug,): of the market of that slug, or of the most liquid markets of the event of that slug."""
    parameters = {"windows": packed(windows), "as_of": as_of, "most": MOST_MARKETS}
    return grouped(select(connection, _QUOTES, parameters), 1)


def newest_of_each(rows: list[Row], step: int, points: int) -> list[Row]:
    """The newest `points` quotes of each market, one a step where there is one; by time and market."""
    by_market: dict[object, list[Row]] = {}
    for row in rows:
        by_market.setdefault(row[1], []).append(row)
    thinned = (newest_of_steps(quoted, step) if step else quoted for quoted in by_market.values())
    return sorted((row for quoted in thinned for row in quoted[-points:]), key=lambda row: row[:2])


_IMMEDIATE = """
    WITH w AS MATERIALIZED (SELECT value ->> 0 AS symbol, value ->> 1 AS since FROM json_each(:windows))
    SELECT p.symbol, p.t, p.market_id, p.question, p.outcomes, p.prices, p.end_at, p.liquidity
    FROM w CROSS JOIN polymarket_immediate_markets p ON p.symbol = w.symbol
    WHERE p.t >= w.since AND p.t <= :as_of AND p.known_at <= :as_of ORDER BY p.symbol, p.t
"""
_LATER = """
    WITH w AS MATERIALIZED (SELECT value ->> 0 AS symbol, value ->> 1 AS since FROM json_each(:windows))
    SELECT p.symbol, p.t, p.market_id, p.question, p.outcomes, p.prices, p.end_at, p.liquidity
    FROM w CROSS JOIN polymarket_later_markets p ON p.symbol = w.symbol
    WHERE p.t >= w.since AND p.t <= :as_of AND p.known_at <= :as_of ORDER BY p.symbol, p.t
"""
_QUOTES = """
    WITH w AS MATERIALIZED (SELECT value ->> 0 AS slug, value ->> 1 AS since FROM json_each(:windows)),
    named AS (                                     -- by what a market or event is called today
      SELECT w.slug, w.since, p.market_id FROM w CROSS JOIN polymarket_markets p ON p.slug = w.slug
      UNION
      SELECT w.slug, w.since, p.market_id FROM w CROSS JOIN polymarket_events e ON e.slug = w.slug
      CROSS JOIN polymarket_markets p ON p.event_id = e.event_id
      WHERE e.first_seen_at <= :as_of
    ),
    m AS (                                         -- and what it said then
      SELECT n.slug, n.since, p.market_id, p.question, p.outcomes, p.end_at
      FROM named n CROSS JOIN polymarket_markets p ON p.market_id = n.market_id WHERE p.known_at <= :as_of
      UNION ALL
      SELECT n.slug, n.since, p.market_id, p.question, p.outcomes, p.end_at
      FROM named n CROSS JOIN polymarket_market_versions p ON p.market_id = n.market_id
      WHERE p.known_at <= :as_of AND p.superseded_at > :as_of
    ),
    ranked AS MATERIALIZED (
      SELECT m.*, row_number() OVER (
        PARTITION BY m.slug ORDER BY coalesce((
          SELECT q.liquidity FROM polymarket_quotes q
          WHERE q.market_id = m.market_id AND q.t >= m.since AND q.t <= :as_of AND q.known_at <= :as_of
          ORDER BY q.t DESC LIMIT 1
        ), -1) DESC, m.market_id
      ) AS place
      FROM m
    )
    SELECT r.slug, q.t, r.market_id, r.question, r.outcomes, q.prices, q.best_bid, q.best_ask, r.end_at
    FROM ranked r CROSS JOIN polymarket_quotes q ON q.market_id = r.market_id
    WHERE r.place <= :most AND q.t >= r.since AND q.t <= :as_of AND q.known_at <= :as_of
    ORDER BY r.slug, q.t, r.market_id
"""
