"""Writing Polymarket's markets, links and choices into market memory.

Every function works inside the caller's transaction; doing it twice leaves the same rows. Reading is in `reading`.
"""

import json
from typing import Literal, NamedTuple

from clash_pipeline.clock import DAY_MS, minute_of
from clash_pipeline.market.polymarket.links import Asset, Linker, asset
from clash_pipeline.market.polymarket.selection import Candidate
from clash_pipeline.market.polymarket.wire import Event, Market, Page, Quote, is_flagged
from clash_pipeline.storage.sqlite import Connection, Row

Found = Literal["crawl", "search", "target", "recurring"]
Kind = Literal["immediate", "later"]

UPSERT_EVENT = """
INSERT INTO polymarket_events (event_id, slug, title, tags, series_slug, start_at, end_at, is_active, is_closed, volume,
                               liquidity, source, first_seen_at, known_at)
VALUES (:event_id, :slug, :title, :tags, :series_slug, :start_at, :end_at, :is_active, :is_closed, :volume, :liquidity,
        :source, :now, :now)
ON CONFLICT (event_id) DO UPDATE SET
  slug = excluded.slug, title = excluded.title, start_at = excluded.start_at, end_at = excluded.end_at,
  tags = CASE excluded.tags WHEN '[]' THEN tags ELSE excluded.tags END,  -- an event inside a market comes without
  series_slug = coalesce(excluded.series_slug, series_slug),
  is_active = excluded.is_active, is_closed = excluded.is_closed, volume = excluded.volume,
  liquidity = excluded.liquidity, known_at = excluded.known_at
WHERE (slug, title, tags, series_slug, start_at, end_at, is_active, is_closed, volume, liquidity) IS NOT
  (excluded.slug, excluded.title, CASE excluded.tags WHEN '[]' THEN tags ELSE excluded.tags END,
   coalesce(excluded.series_slug, series_slug), excluded.start_at, excluded.end_at, excluded.is_active,
   excluded.is_closed, excluded.volume, excluded.liquidity)
"""

UPSERT_MARKET = """
INSERT INTO polymarket_markets (market_id, event_id, condition_id, slug, question, outcomes, token_ids, start_at,
                                end_at, is_active, is_closed, first_seen_at, known_at, prices, liquidity, volume,
                                sampled_at)
VALUES (:market_id, :event_id, :condition_id, :slug, :question, :outcomes, :token_ids, :start_at, :end_at, :is_active,
        :is_closed, :now, :now, :prices, :liquidity, :volume, :now)
ON CONFLICT (market_id) DO UPDATE SET
  known_at = CASE
    WHEN (event_id, condition_id, slug, question, outcomes, token_ids, start_at, end_at, is_active, is_closed) IS NOT
      (coalesce(excluded.event_id, event_id), excluded.condition_id, excluded.slug, excluded.question,
       excluded.outcomes, excluded.token_ids, excluded.start_at, excluded.end_at, excluded.is_active,
       excluded.is_closed)
    THEN excluded.known_at ELSE known_at END,
  sampled_at = CASE
    WHEN (prices, liquidity, volume) IS NOT (excluded.prices, excluded.liquidity, excluded.volume)
    THEN excluded.sampled_at ELSE sampled_at END,
  event_id = coalesce(excluded.event_id, event_id), condition_id = excluded.condition_id, slug = excluded.slug,
  question = excluded.question, outcomes = excluded.outcomes, token_ids = excluded.token_ids,
  start_at = excluded.start_at, end_at = excluded.end_at, is_active = excluded.is_active,
  is_closed = excluded.is_closed, prices = excluded.prices, liquidity = excluded.liquidity, volume = excluded.volume
WHERE (event_id, condition_id, slug, question, outcomes, token_ids, start_at, end_at, is_active, is_closed, prices,
       liquidity, volume) IS NOT
  (coalesce(excluded.event_id, event_id), excluded.condition_id, excluded.slug, excluded.question, excluded.outcomes,
   excluded.token_ids, excluded.start_at, excluded.end_at, excluded.is_active, excluded.is_closed, excluded.prices,
   excluded.liquidity, excluded.volume)
"""

UPSERT_LINK = """
INSERT INTO polymarket_market_asset_links (market_id, symbol, matched, known_at)
VALUES (:market_id, :symbol, :matched, :now)
ON CONFLICT (market_id, symbol) DO UPDATE SET
  matched = excluded.matched, known_at = excluded.known_at, unlinked_at = NULL
WHERE unlinked_at IS NOT NULL
"""

UPSERT_QUOTE = """
INSERT INTO polymarket_quotes (market_id, t, prices, best_bid, best_ask, last_price, volume, liquidity, is_flagged,
                               book, known_at)
VALUES (:market_id, :t, :prices, :best_bid, :best_ask, :last_price, :volume, :liquidity, :is_flagged, :book, :now)
ON CONFLICT (market_id, t) DO UPDATE SET
  prices = excluded.prices, best_bid = excluded.best_bid, best_ask = excluded.best_ask,
  last_price = excluded.last_price, volume = excluded.volume, liquidity = excluded.liquidity,
  is_flagged = excluded.is_flagged, book = excluded.book, known_at = excluded.known_at
WHERE (prices, best_bid, best_ask, last_price, volume, liquidity, book) IS NOT
  (excluded.prices, excluded.best_bid, excluded.best_ask, excluded.last_price, excluded.volume, excluded.liquidity,
   excluded.book)
"""

UPSERT_IMMEDIATE = """
INSERT INTO polymarket_immediate_markets (symbol, t, market_id, question, outcomes, prices, end_at, liquidity, known_at)
VALUES (:symbol, :t, :market_id, :question, :outcomes, :prices, :end_at, :liquidity, :now)
ON CONFLICT (symbol, t) DO UPDATE SET
  market_id = excluded.market_id, question = excluded.question, outcomes = excluded.outcomes, prices = excluded.prices,
  end_at = excluded.end_at, liquidity = excluded.liquidity, known_at = excluded.known_at
WHERE (market_id, question, outcomes, prices, end_at, liquidity) IS NOT
  (excluded.market_id, excluded.question, excluded.outcomes, excluded.prices, excluded.end_at, excluded.liquidity)
"""

UPSERT_LATER = """
INSERT INTO polymarket_later_markets (symbol, t, market_id, question, outcomes, prices, end_at, liquidity, known_at)
VALUES (:symbol, :t, :market_id, :question, :outcomes, :prices, :end_at, :liquidity, :now)
ON CONFLICT (symbol, t) DO UPDATE SET
  market_id = excluded.market_id, question = excluded.question, outcomes = excluded.outcomes, prices = excluded.prices,
  end_at = excluded.end_at, liquidity = excluded.liquidity, known_at = excluded.known_at
WHERE (market_id, question, outcomes, prices, end_at, liquidity) IS NOT
  (excluded.market_id, excluded.question, excluded.outcomes, excluded.prices, excluded.end_at, excluded.liquidity)
"""

CANDIDATES = """
-- Open markets linked to each asset that end within the horizon.
SELECT l.symbol, m.market_id, m.slug, m.start_at, m.end_at, m.is_active, m.is_closed, m.prices <> '[]' AS has_prices,
       m.liquidity
FROM polymarket_market_asset_links AS l JOIN polymarket_markets AS m USING (market_id)
WHERE l.unlinked_at IS NULL AND m.is_closed = 0 AND m.is_active = 1 AND m.end_at > :now AND m.end_at <= :until
ORDER BY l.symbol, m.market_id
"""


class Kept(NamedTuple):
    """Rows inserted or changed, and the markets that are open."""

    rows: int
    open_markets: tuple[Market, ...]


def assets(connection: Connection) -> list[Asset]:
    """The listed assets of the registry with the words that stand for them."""
    rows = connection.execute(
        "SELECT symbol, base_token, search_terms FROM hyperliquid_assets WHERE is_delisted = 0 ORDER BY symbol"
    )
    return [asset(symbol, base_token, json.loads(terms)) for symbol, base_token, terms in rows]


def keep(
    connection: Connection,
    page: Page,
    *,
    source: Found,
    now_ms: int,
    linker: Linker | None = None,
    tag: str | None = None,
) -> Kept:
    """Write a page's events, markets and links. Closed ones that are unknown are dropped, known ones marked closed.

    `tag` is what the page was listed by; the venue does not always repeat it on the events.
    """
    rows = 0
    opened: list[Market] = []
    for event in page.events:
        tagged = event._replace(tags=tuple(sorted({*event.tags, tag}))) if tag else event
        written = _keep_event(connection, tagged, source, now_ms)
        rows += written or 0
        for market in event.markets:
            placed = market._replace(event_id=None) if written is None else market
            rows += _keep_market(connection, placed, tagged, linker, now_ms)
            opened += [] if market.is_closed else [placed]
    for market in page.loose:
        rows += _keep_market(connection, market, None, linker, now_ms)
        opened += [] if market.is_closed else [market]
    return Kept(rows, tuple(opened))


def candidates(connection: Connection, now_ms: int, *, days: int) -> dict[str, list[Candidate]]:
    """What each linked asset may choose from."""
    found: dict[str, list[Candidate]] = {}
    for row in connection.execute(CANDIDATES, {"now": now_ms, "until": now_ms + days * DAY_MS}):
        found.setdefault(row["symbol"], []).append(_candidate(row))
    return found


def unlinked(connection: Connection, now_ms: int) -> set[str]:
    """Listed symbols without any open market."""
    rows = connection.execute(
        """
        SELECT symbol FROM hyperliquid_assets WHERE is_delisted = 0
        EXCEPT
        SELECT l.symbol FROM polymarket_market_asset_links AS l JOIN polymarket_markets AS m USING (market_id)
        WHERE l.unlinked_at IS NULL AND m.is_closed = 0 AND m.end_at > ?
        """,
        (now_ms,),
    )
    return {symbol for (symbol,) in rows}


def known_open(connection: Connection, slug: str) -> bool:
    """Whether an open market of this slug is in memory."""
    row = connection.execute("SELECT 1 FROM polymarket_markets WHERE slug = ? AND is_closed = 0", (slug,)).fetchone()
    return row is not None


def mark_closed(connection: Connection, market_id: str, now_ms: int) -> None:
    """Drop a market that the venue does not know any more."""
    connection.execute(
        "UPDATE polymarket_markets SET is_closed = 1, known_at = ? WHERE market_id = ? AND is_closed = 0",
        (now_ms, market_id),
    )


def quote(connection: Connection, market: Market, book: Quote | None, now_ms: int) -> int:
    """Sample a market: outcome prices of Gamma, best bid and ask of the CLOB's book where it was read."""
    best = book or Quote(market.best_bid, market.best_ask, market.last_price)
    return connection.execute(
        UPSERT_QUOTE,
        {
            "market_id": market.market_id, "t": minute_of(now_ms), "prices": json.dumps(market.prices),
            "best_bid": best.best_bid, "best_ask": best.best_ask, "last_price": best.last_price or market.last_price,
            "volume": market.volume, "liquidity": market.liquidity, "is_flagged": is_flagged(market.prices),
            "book": "clob" if book else "gamma", "now": now_ms,
        },
    ).rowcount  # fmt: skip


def select(connection: Connection, kind: Kind, symbol: str, market: Market, now_ms: int) -> int:
    """Record the chosen market of an asset."""
    return connection.execute(
        UPSERT_IMMEDIATE if kind == "immediate" else UPSERT_LATER,
        {
            "symbol": symbol, "t": minute_of(now_ms), "market_id": market.market_id, "question": market.question,
            "outcomes": json.dumps(market.outcomes), "prices": json.dumps(market.prices), "end_at": market.end_at,
            "liquidity": market.liquidity, "now": now_ms,
        },
    ).rowcount  # fmt: skip


def _candidate(row: Row) -> Candidate:
    return Candidate(
        market_id=row["market_id"],
        slug=row["slug"],
        start_at=row["start_at"],
        end_at=row["end_at"],
        is_active=bool(row["is_active"]),
        is_closed=bool(row["is_closed"]),
        has_prices=bool(row["has_prices"]),
        liquidity=row["liquidity"],
    )


def _keep_event(connection: Connection, event: Event, source: Found, now_ms: int) -> int | None:
    """Rows written; None where the event is closed, unknown, and so dropped."""
    if event.is_closed and not _is_known(connection, "event", event.event_id):
        return None
    values = event._asdict() | {"tags": json.dumps(event.tags), "source": source, "now": now_ms}
    del values["markets"]
    return connection.execute(UPSERT_EVENT, values).rowcount


def _keep_market(
    connection: Connection, market: Market, event: Event | None, linker: Linker | None, now_ms: int
) -> int:
    if market.is_closed and not _is_known(connection, "market", market.market_id):
        return 0
    texts = {name: json.dumps(getattr(market, name)) for name in ("outcomes", "token_ids", "prices")}
    rows = connection.execute(UPSERT_MARKET, market._asdict() | texts | {"now": now_ms}).rowcount
    if linker is not None and not market.is_closed:
        rows += _link(connection, market, event, linker, now_ms)
    return rows


def _is_known(connection: Connection, kind: Literal["event", "market"], identity: str) -> bool:
    statement = (
        "SELECT 1 FROM polymarket_events WHERE event_id = ?"
        if kind == "event"
        else "SELECT 1 FROM polymarket_markets WHERE market_id = ?"
    )
    return connection.execute(statement, (identity,)).fetchone() is not None


def _link(connection: Connection, market: Market, event: Event | None, linker: Linker, now_ms: int) -> int:
    """Add the links found. Old ones end only where the venue gave the event's tags, without which less matches."""
    links = linker.links(market, event)
    rows = sum(
        connection.execute(
            UPSERT_LINK, {"market_id": market.market_id, "symbol": symbol, "matched": matched, "now": now_ms}
        ).rowcount
        for symbol, matched in links
    )
    if event is not None and event.tags:
        rows += connection.execute(
            """
            UPDATE polymarket_market_asset_links SET unlinked_at = :now
            WHERE market_id = :market_id AND unlinked_at IS NULL
              AND symbol NOT IN (SELECT value FROM json_each(:symbols))
            """,
            {"market_id": market.market_id, "symbols": json.dumps([symbol for symbol, _ in links]), "now": now_ms},
        ).rowcount
    return rows
