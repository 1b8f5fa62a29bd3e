"""Search among the Polymarket markets that discovery found: by words of question and event, or by linked asset."""

import json
from typing import NamedTuple

from clash_pipeline.storage.sqlite import Connection, Row

SEARCH = """
SELECT m.market_id, m.slug, e.slug AS event_slug, e.title AS event_title, m.question, m.outcomes, m.prices, m.start_at,
       m.end_at, m.liquidity, m.volume, m.sampled_at,
       (SELECT json_group_array(l.symbol ORDER BY l.symbol) FROM polymarket_market_asset_links AS l
        WHERE l.market_id = m.market_id AND l.unlinked_at IS NULL) AS symbols
FROM polymarket_markets AS m LEFT JOIN polymarket_events AS e USING (event_id)
WHERE m.is_closed = 0 AND (m.end_at IS NULL OR m.end_at > :now)
  AND NOT EXISTS (SELECT 1 FROM json_each(:words) AS w
                  WHERE instr(lower(m.question || ' ' || coalesce(e.title, '') || ' ' || m.slug), w.value) = 0)
  AND (:symbol IS NULL OR EXISTS (SELECT 1 FROM polymarket_market_asset_links AS l
                                  WHERE l.market_id = m.market_id AND l.symbol = :symbol AND l.unlinked_at IS NULL))
  AND (coalesce(m.end_at, :ever), m.market_id) > (:after_end, :after_id)
ORDER BY coalesce(m.end_at, :ever), m.market_id LIMIT :most
"""
EVER = 2**62


class Market(NamedTuple):
    """An open market; `outcomes` with their prices in the same order, as last seen at `sampled_at`."""

    market_id: str
    slug: str
    event_slug: str | None
    event_title: str | None
    question: str
    outcomes: tuple[str, ...]
    prices: tuple[str, ...]
    start_at: int | None
    end_at: int | None
    liquidity: float | None
    volume: float | None
    sampled_at: int
    symbols: tuple[str, ...]

    @property
    def position(self) -> tuple[int, str]:
        """Where it stands in the order of the search."""
        return (EVER if self.end_at is None else self.end_at), self.market_id


def search(
    connection: Connection,
    *,
    now_ms: int,
    text: str = "",
    symbol: str | None = None,
    after: tuple[int, str] = (0, ""),
    most: int = 50,
) -> list[Market]:
    """Open markets that hold every word of the text and are linked to the asset, soonest end first."""
    words = json.dumps(text.lower().split())
    values = {
        "now": now_ms, "words": words, "symbol": symbol, "after_end": after[0], "after_id": after[1], "most": most,
        "ever": EVER,
    }  # fmt: skip
    return [_market(row) for row in connection.execute(SEARCH, values)]


def _market(row: Row) -> Market:
    lists = {name: tuple(json.loads(row[name])) for name in ("outcomes", "prices", "symbols")}
    return Market(**{**dict(row), **lists})
