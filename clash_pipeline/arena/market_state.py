"""What market memory says at the moment of a race's step: which perps are liquid enough, and how long it is silent.

Read before the transaction of the step, for no transaction spans both files.
"""

import json
from typing import NamedTuple

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market import listing
from clash_pipeline.prop.venue import ExecutionVenue
from clash_pipeline.storage.sqlite import Database, one


def universe(market: Database, execution: ExecutionVenue, least_volume: int, now_ms: int) -> tuple[str, ...]:
    """The listed perps whose 24 h volume is known and at least so much (1e-8 USD), by name (11, 4)."""
    with market.read() as connection:
        assets = listing.read(connection)
    perps = [symbol for symbol, asset in assets.items() if asset.kind == "perp" and not asset.is_delisted]
    quotes = execution.quotes(perps, now_ms)
    volumes = {symbol: quote.liquidity.day_volume for symbol, quote in quotes.items()}
    return tuple(sorted(symbol for symbol, volume in volumes.items() if volume is not None and volume >= least_volume))


class Silence(NamedTuple):
    """The newest price that memory holds of some symbols; None where it holds none."""

    newest_at: int | None

    def lasts(self, limit_ms: int, now_ms: int) -> bool:
        """Whether nothing was heard for so long."""
        return self.newest_at is None or now_ms - self.newest_at >= limit_ms

    def said(self, now_ms: int) -> str:
        """For a person."""
        if self.newest_at is None:
            return "the venue never said a price"
        return f"the venue is silent for {max(now_ms - self.newest_at, 0) // MINUTE_MS} min"


def silence(market: Database, symbols: tuple[str, ...]) -> Silence:
    """When a price of any of these was last heard: a mid, a mark or a traded minute."""
    with market.read() as connection:
        newest: int | None = one(
            connection,
            """
            WITH wanted AS (SELECT value AS symbol FROM json_each(?))
            SELECT max(at) FROM (
              SELECT max(p.source_at) AS at FROM hyperliquid_latest_prices p JOIN wanted w ON w.symbol = p.symbol
              UNION ALL
              SELECT max((SELECT max(c.t) FROM hyperliquid_asset_ctxs c WHERE c.symbol = w.symbol)) FROM wanted w
              UNION ALL
              SELECT max((SELECT max(k.t) + 60000 FROM hyperliquid_candles k
                          WHERE k.symbol = w.symbol AND k.interval = '1m')) FROM wanted w
            )
            """,
            (json.dumps(symbols),),
        )
    return Silence(newest)
