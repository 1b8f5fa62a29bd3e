"""What a person sees of a partition: coverage over the minutes, and the assets that traded most, as Markdown."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clash_pipeline.market import candles, plots
from clash_pipeline.market.spans import Span
from clash_pipeline.storage.sqlite import Database

if TYPE_CHECKING:
    from clash_pipeline.market.backfill import Filled

MOST_COLUMNS = ("symbol", "close", "volume, USD", "trades")
MOST_SHOWN = 10


def coverage(market: Database, filled: Sequence["Filled"]) -> str | None:
    """How many assets have each minute of the newest filled range; None where nothing was filled."""
    if not filled:
        return None
    newest = max(filled, key=lambda one: one.span)
    with market.read() as connection:
        rows = [tuple(row) for row in connection.execute(_ASSETS_A_MINUTE, newest.span._asdict())]
    expected = max((count for _, count in rows), default=0)
    return plots.coverage(f"assets with a candle, {newest.span}", rows, expected) if rows else None


def leader(market: Database, span: Span) -> str | None:
    """Closes and volumes of the asset that traded most, minute by minute, over the day up to the end of a range."""
    most = most_traded(market, span, limit=1)
    if not most:
        return None
    symbol = str(most[0][0])
    with market.read() as connection:
        rows = candles.read(connection, symbol, interval="1m", from_t=span.to_t - 86_400_000, to_t=span.to_t)
    minutes = [(row.t, float(row.c), float(row.v)) for row in rows]
    return plots.candles(f"{symbol}: close and volume", minutes) if minutes else None


def most_traded(market: Database, span: Span, *, limit: int = MOST_SHOWN) -> list[tuple[object, ...]]:
    """The assets with the largest volume in the hours of a range: symbol, last close, USD volume, trades."""
    with market.read() as connection:
        rows = connection.execute(_MOST_TRADED, {**span._asdict(), "most": limit}).fetchall()
    return [tuple(row) for row in rows]


def most_traded_table(market: Database, span: Span) -> str | None:
    """`most_traded` as a table."""
    rows = most_traded(market, span)
    return plots.table(MOST_COLUMNS, rows) if rows else None


_ASSETS_A_MINUTE = """
SELECT t, count(*) FROM hyperliquid_candles
WHERE interval = '1m' AND t >= :from_t AND t < :to_t GROUP BY t ORDER BY t
"""
_MOST_TRADED = """
SELECT symbol, c AS close, sum(CAST(v AS REAL) * CAST(c AS REAL)) AS volume_usd, sum(n) AS trades
FROM hyperliquid_candles WHERE interval = '1h' AND t >= :from_t AND t < :to_t
GROUP BY symbol HAVING volume_usd > 0 ORDER BY volume_usd DESC, symbol LIMIT :most
"""
