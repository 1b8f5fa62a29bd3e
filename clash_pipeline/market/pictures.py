"""What a person sees of a partition: coverage over the minutes, and the assets that traded most, as Markdown."""

from clash_pipeline.clock import DAY_MS
from clash_pipeline.market import candles, plots
from clash_pipeline.market.spans import Span
from clash_pipeline.market.taxonomy import UNCATEGORISED
from clash_pipeline.storage.sqlite import Database

MOST_COLUMNS = ("symbol", "close", "volume, USD", "trades")
MOST_SHOWN = 10
MOST_NAMED = 50


def day(market: Database, span: Span) -> dict[str, object]:
    """How many assets have each minute of a day, and the course of the one that traded most."""
    with market.read() as connection:
        minutes = [tuple(row) for row in connection.execute(_ASSETS_A_MINUTE, span._asdict())]
    if not minutes:
        return {}
    expected = max(count for _, count in minutes)
    return {"coverage": plots.coverage(f"assets with a candle, {span}", minutes, expected), **_course(market, span)}


def hour(market: Database, span: Span) -> dict[str, object]:
    """The assets that traded most in an hour, and the day's course of the first of them."""
    rows = _most_traded(market, span, MOST_SHOWN)
    table = {"most_traded": plots.table(MOST_COLUMNS, rows)} if rows else {}
    return {**table, **_course(market, span)}


def _course(market: Database, span: Span) -> dict[str, object]:
    """Closes and volumes over the day up to the end of a range."""
    most = _most_traded(market, span, 1)
    if not most:
        return {}
    symbol = str(most[0][0])
    with market.read() as connection:
        rows = candles.read(connection, symbol, interval="1m", from_t=span.to_t - DAY_MS, to_t=span.to_t)
    minutes = [(row.t, float(row.c), float(row.v)) for row in rows]
    return {"leader": plots.candles(f"{symbol}: close and volume", minutes)} if minutes else {}


def _most_traded(market: Database, span: Span, limit: int) -> list[tuple[object, ...]]:
    """Symbol, last close, USD volume and trades, largest volume first."""
    with market.read() as connection:
        rows = connection.execute(_MOST_TRADED, {**span._asdict(), "most": limit}).fetchall()
    return [tuple(row) for row in rows]


_ASSETS_A_MINUTE = """
SELECT t, count(*) FROM hyperliquid_candles
WHERE interval = '1m' AND t >= :from_t AND t < :to_t GROUP BY t ORDER BY t
"""
_MOST_TRADED = """
SELECT symbol, c AS close, sum(CAST(v AS REAL) * CAST(c AS REAL)) AS volume_usd, sum(n) AS trades
FROM hyperliquid_candles WHERE interval = '1h' AND t >= :from_t AND t < :to_t
GROUP BY symbol HAVING volume_usd > 0 ORDER BY volume_usd DESC, symbol LIMIT :most
"""


# what the sources say now


def registry(market: Database) -> dict[str, object]:
    """The registry by category, and the assets that no person has placed in the taxonomy."""
    from clash_pipeline.market.hyperliquid import placing
    from clash_pipeline.market.hyperliquid.registry import assets

    groups = _ask(market, _CATEGORIES)
    with market.read() as connection:
        found = placing.placing(assets(connection))
    by_place = [(group.category, group.subcategory, group.perps, group.spot) for group in found.groups]
    uncategorised = found.waiting(UNCATEGORISED)
    return {
        "assets": sum(int(str(row[1])) for row in groups),
        "categories": plots.table(("category", "perps and pairs", "delisted"), groups),
        "taxonomy": plots.table(("category", "subcategory", "perps", "spot pairs"), by_place),
        "uncategorised": ", ".join(uncategorised[:MOST_NAMED]) or "none",
        "uncategorised_count": len(uncategorised),
        "placed_by_rule_count": len(found.waiting("by_rule")),
    }


def contexts(market: Database) -> dict[str, object]:
    """The assets with the largest volume of the last 24 h, as sampled last."""
    rows = _ask(market, _BUSIEST)
    return {"busiest": plots.table(("symbol", "mark", "oracle", "24 h volume, USD", "open interest"), rows)}


def funding(market: Database) -> dict[str, object]:
    """The most expensive running rates, either way, as sampled last."""
    rows = _ask(market, _FUNDING)
    if not rows:
        return {}
    bars = [(str(symbol), float(str(rate))) for symbol, rate in rows]
    return {"largest_rates": plots.bars("running funding, % an hour", bars)}


def polymarket(market: Database) -> dict[str, object]:
    """What is known of Polymarket: markets, links, and the newest choices."""
    chosen = plots.table(("kind", "symbol", "question", "prices", "liquidity, USD"), _ask(market, _CHOICES))
    return {"known": plots.table(("what", "rows"), _ask(market, _DISCOVERED)), "choices": chosen}


def defillama(market: Database) -> dict[str, object]:
    """The chains with the largest TVL, as sampled last."""
    rows = _ask(market, _LARGEST_CHAINS)
    if not rows:
        return {}
    bars = [(str(name), float(str(tvl)) / 1e9) for name, tvl in rows]
    return {"largest_chains": plots.bars("TVL, billion USD", bars)}


def _ask(market: Database, question: str) -> list[tuple[object, ...]]:
    with market.read() as connection:
        return [tuple(row) for row in connection.execute(question)]


_CATEGORIES = """
SELECT category, count(*), sum(is_delisted) FROM hyperliquid_assets GROUP BY category ORDER BY 2 DESC, 1
"""
_BUSIEST = """
SELECT symbol, mark_px, oracle_px, CAST(day_ntl_volume AS REAL) AS volume, open_interest FROM hyperliquid_asset_ctxs
WHERE t = (SELECT max(t) FROM hyperliquid_asset_ctxs WHERE symbol = 'BTC') ORDER BY volume DESC, symbol LIMIT 10
"""
_FUNDING = """
SELECT symbol, rate_e10 / 1e8 AS rate FROM hyperliquid_funding_rates
WHERE kind = 'current' AND t = (SELECT max(t) FROM hyperliquid_funding_rates WHERE symbol = 'BTC' AND kind = 'current')
ORDER BY abs(rate_e10) DESC, symbol LIMIT 20
"""
_DISCOVERED = """
SELECT 'events' AS what, count(*) AS found FROM polymarket_events WHERE is_closed = 0
UNION ALL SELECT 'markets', count(*) FROM polymarket_markets WHERE is_closed = 0
UNION ALL SELECT 'linked assets', count(DISTINCT symbol) FROM polymarket_market_asset_links
"""
_CHOICES = """
SELECT kind, symbol, question, prices, liquidity FROM (
  SELECT 'immediate' AS kind, symbol, max(t), question, prices, liquidity
  FROM polymarket_immediate_markets GROUP BY symbol
  UNION ALL
  SELECT 'later', symbol, max(t), question, prices, liquidity FROM polymarket_later_markets GROUP BY symbol
) ORDER BY symbol, kind LIMIT 20
"""
_LARGEST_CHAINS = """
SELECT subject, tvl_usd FROM defillama_capital_base
WHERE scope = 'chain' AND tvl_usd IS NOT NULL
  AND t = (SELECT max(t) FROM defillama_capital_base WHERE scope = 'global')
ORDER BY tvl_usd DESC, subject LIMIT 12
"""
