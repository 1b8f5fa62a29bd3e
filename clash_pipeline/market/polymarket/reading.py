"""What market memory says of an asset's, or a strategy's, Polymarket markets; with `as_of`, what it said then."""

import json
from typing import Any, NamedTuple

from clash_pipeline.market.polymarket.store import Kind
from clash_pipeline.storage.sqlite import Connection, Row

EVER = 2**62
MOST_LINKED = 50
MOST_SAMPLES = 10_000

# `known` is a market's text as it was known at :as_of: the row itself, or the version that stood then.
LINKED = """
WITH known AS (
  SELECT market_id, slug, question, outcomes, start_at, end_at, is_active, is_closed, known_at
  FROM polymarket_markets WHERE known_at <= :as_of
  UNION ALL
  SELECT market_id, slug, question, outcomes, start_at, end_at, is_active, is_closed, known_at
  FROM polymarket_market_versions WHERE known_at <= :as_of AND superseded_at > :as_of
)
SELECT known.*, m.event_id, e.slug AS event_slug, l.matched
FROM polymarket_market_asset_links AS l
JOIN known USING (market_id)
JOIN polymarket_markets AS m USING (market_id)
LEFT JOIN polymarket_events AS e USING (event_id)
WHERE l.symbol = :symbol AND l.known_at <= :as_of AND coalesce(l.unlinked_at, :ever) > :as_of
  AND known.is_closed = 0 AND (known.end_at IS NULL OR known.end_at > :ends_after)
ORDER BY known.end_at IS NULL, known.end_at, known.market_id LIMIT :most
"""
BY_SLUG = """
WITH known AS (
  SELECT market_id, slug, question, outcomes, start_at, end_at, is_active, is_closed, known_at
  FROM polymarket_markets WHERE known_at <= :as_of
  UNION ALL
  SELECT market_id, slug, question, outcomes, start_at, end_at, is_active, is_closed, known_at
  FROM polymarket_market_versions WHERE known_at <= :as_of AND superseded_at > :as_of
)
SELECT known.*, m.event_id, e.slug AS event_slug, NULL AS matched
FROM known JOIN polymarket_markets AS m USING (market_id) LEFT JOIN polymarket_events AS e USING (event_id)
WHERE m.market_id IN (
  SELECT market_id FROM polymarket_markets WHERE slug = :slug
  UNION SELECT market_id FROM polymarket_markets JOIN polymarket_events AS named USING (event_id)
  WHERE named.slug = :slug
)
ORDER BY known.end_at IS NULL, known.end_at, known.market_id
"""
IMMEDIATE = """
SELECT s.*, m.slug FROM polymarket_immediate_markets AS s JOIN polymarket_markets AS m USING (market_id)
WHERE s.symbol = :symbol AND s.t >= :from_t AND s.t < :to_t AND s.known_at <= :as_of ORDER BY s.t DESC LIMIT :most
"""
LATER = """
SELECT s.*, m.slug FROM polymarket_later_markets AS s JOIN polymarket_markets AS m USING (market_id)
WHERE s.symbol = :symbol AND s.t >= :from_t AND s.t < :to_t AND s.known_at <= :as_of ORDER BY s.t DESC LIMIT :most
"""
QUOTES = """
SELECT * FROM polymarket_quotes
WHERE market_id = :market_id AND t >= :from_t AND t < :to_t AND known_at <= :as_of ORDER BY t DESC LIMIT :most
"""


class Selected(NamedTuple):
    """A market chosen for an asset at minute `t`; prices are decimal texts in the order of the outcomes."""

    symbol: str
    kind: Kind
    t: int
    market_id: str
    slug: str
    question: str
    outcomes: tuple[str, ...]
    prices: tuple[str, ...]
    end_at: int
    liquidity: float | None
    known_at: int


class Known(NamedTuple):
    """A market as it was known; `matched` says why it is linked, None where it was asked for by name."""

    market_id: str
    slug: str
    event_slug: str | None
    question: str
    outcomes: tuple[str, ...]
    start_at: int | None
    end_at: int | None
    is_active: bool
    is_closed: bool
    matched: str | None
    known_at: int


class Sample(NamedTuple):
    """A quote of a market at minute `t`; bid and ask are of the first outcome."""

    market_id: str
    t: int
    prices: tuple[str, ...]
    best_bid: str | None
    best_ask: str | None
    last_price: str | None
    volume: float | None
    liquidity: float | None
    is_flagged: bool
    book: str
    known_at: int


class Memory(NamedTuple):
    """All that is known of an asset's markets; `missing` names what is not there and why."""

    symbol: str
    immediate: Selected | None
    later: Selected | None
    linked: tuple[Known, ...]
    missing: dict[str, str]


def read(connection: Connection, symbol: str, as_of: int | None = None) -> Memory:
    """The newest immediate and later market of an asset, and its open linked markets, soonest end first.

    With `as_of`, a choice whose market had ended by then is missing (`ended`), not shown.
    """
    found: dict[str, Selected] = {}
    missing: dict[str, str] = {}
    kinds: tuple[Kind, ...] = ("immediate", "later")
    for kind in kinds:
        newest = next(iter(selections(connection, kind, symbol, as_of=as_of, most=1)), None)
        if newest is None:
            missing[kind] = "none_known"
        elif as_of is not None and newest.end_at <= as_of:
            missing[kind] = "ended"
        else:
            found[kind] = newest
    shown = linked(connection, symbol, as_of=as_of)
    if not shown:
        missing["linked"] = "none_known"
    return Memory(symbol, found.get("immediate"), found.get("later"), shown, missing)


def selections(
    connection: Connection,
    kind: Kind,
    symbol: str,
    *,
    from_t: int = 0,
    to_t: int = EVER,
    as_of: int | None = None,
    most: int = MOST_SAMPLES,
) -> list[Selected]:
    """The newest choices of `[from_t, to_t)`, oldest first."""
    rows = connection.execute(
        IMMEDIATE if kind == "immediate" else LATER,
        {"symbol": symbol, "from_t": from_t, "to_t": to_t, "as_of": _at(as_of), "most": most},
    )
    return [_selected(kind, row) for row in reversed(rows.fetchall())]


def linked(
    connection: Connection, symbol: str, *, as_of: int | None = None, most: int = MOST_LINKED
) -> tuple[Known, ...]:
    """The open markets linked to an asset, soonest end first."""
    values = {"symbol": symbol, "as_of": _at(as_of), "ends_after": as_of or 0, "ever": EVER + 1, "most": most}
    return tuple(_known(row) for row in connection.execute(LINKED, values))


def markets(connection: Connection, slug: str, *, as_of: int | None = None) -> tuple[Known, ...]:
    """The market of a slug, or all markets of the event of that slug; empty where neither is known."""
    return tuple(_known(row) for row in connection.execute(BY_SLUG, {"slug": slug, "as_of": _at(as_of)}))


def quotes(
    connection: Connection,
    market_id: str,
    *,
    from_t: int = 0,
    to_t: int = EVER,
    as_of: int | None = None,
    most: int = MOST_SAMPLES,
) -> list[Sample]:
    """The newest samples of `[from_t, to_t)`, oldest first."""
    values = {"market_id": market_id, "from_t": from_t, "to_t": to_t, "as_of": _at(as_of), "most": most}
    return [_sample(row) for row in reversed(connection.execute(QUOTES, values).fetchall())]


def _at(as_of: int | None) -> int:
    return EVER if as_of is None else as_of


def _texts(value: str) -> tuple[str, ...]:
    return tuple(json.loads(value))


def _selected(kind: Kind, row: Row) -> Selected:
    lists: dict[str, Any] = {"outcomes": _texts(row["outcomes"]), "prices": _texts(row["prices"]), "kind": kind}
    return Selected(**{name: lists[name] if name in lists else row[name] for name in Selected._fields})


def _known(row: Row) -> Known:
    made: dict[str, Any] = {
        "outcomes": _texts(row["outcomes"]),
        "is_active": bool(row["is_active"]),
        "is_closed": bool(row["is_closed"]),
    }
    return Known(**{name: made[name] if name in made else row[name] for name in Known._fields})


def _sample(row: Row) -> Sample:
    made: dict[str, Any] = {"prices": _texts(row["prices"]), "is_flagged": bool(row["is_flagged"])}
    return Sample(**{name: made[name] if name in made else row[name] for name in Sample._fields})
