"""Latest mids: one row an asset, for execution prices fresher than a candle.

The venue's `allMids` shows a stale mark for a coin without a book, so a mid counts only where the asset's newest
context has one too (sources 1.5).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from clash_pipeline.clock import Clock
from clash_pipeline.market import ingestion
from clash_pipeline.market.hyperliquid.numbers import BadNumber, price
from clash_pipeline.market.hyperliquid.rest import SOURCE, HyperliquidRest
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

CHANNEL: Final = "mids"
VOUCH_MS: Final = 600_000
"""A context older than this vouches for no book (ours)."""


class Mid(NamedTuple):
    """The newest mid of an asset: when the venue had it, and when we knew."""

    symbol: str
    mid: str
    source_at: int
    known_at: int


class Stored(NamedTuple):
    """What became of a message: rows that moved on, and refused prices (counted already)."""

    rows: int
    rejected: int


async def refresh(market: Database, rest: HyperliquidRest, *, now_ms: int, clock: Clock, settings: Settings) -> int:
    """Take all mids once over REST, for when no stream runs; returns the rows that moved on.

    Raises:
        VenueError: the venue did not answer usably; nothing was written but the failed cycle.
    """
    with ingestion.run(market, SOURCE, CHANNEL, clock) as cycle:
        mids = await rest.all_mids()
        known_at = clock.now_ms()
        with market.write() as connection:
            vouched = trusted(connection, known_at)
            wanted = vouched if settings.followed_symbols is None else vouched & settings.followed_symbols
            stored = store(connection, mids, source_at=now_ms, known_at=known_at, trusted=wanted)
        cycle.rows, cycle.rejected = stored
        cycle.covered, cycle.expected = len(wanted & mids.keys()), len(wanted)
        cycle.through_t = now_ms
        cycle.lags_ms.append(known_at - now_ms)
    return cycle.rows


def trusted(connection: Connection, now_ms: int) -> frozenset[str]:
    """The assets with a live book: their newest context has a mid, and is not older than `VOUCH_MS`."""
    rows = connection.execute(
        """
        SELECT symbol FROM hyperliquid_assets AS asset
        WHERE is_delisted = 0 AND (
          SELECT mid_px IS NOT NULL AND t >= :since FROM hyperliquid_asset_ctxs AS ctx
          WHERE ctx.symbol = asset.symbol ORDER BY t DESC LIMIT 1
        )
        """,
        {"since": now_ms - VOUCH_MS},
    )
    return frozenset(row["symbol"] for row in rows)


def store(
    connection: Connection, mids: Mapping[str, str], *, source_at: int, known_at: int, trusted: frozenset[str]
) -> Stored:
    """Move the rows of trusted assets on to `source_at`; an older message changes nothing."""
    good: list[Mid] = []
    refused = 0
    for symbol in mids.keys() & trusted:
        try:
            good.append(Mid(symbol, price(mids[symbol]), source_at, known_at))
        except BadNumber as problem:
            refused += 1
            ingestion.reject(connection, SOURCE, CHANNEL, str(problem), f"{symbol} {mids[symbol]}", known_at)
    before = connection.total_changes
    connection.executemany(
        """
        INSERT INTO hyperliquid_latest_prices (symbol, mid, source_at, known_at) VALUES (?, ?, ?, ?)
        ON CONFLICT (symbol) DO UPDATE SET
          mid = excluded.mid, source_at = excluded.source_at, known_at = excluded.known_at
        WHERE excluded.source_at > source_at
        """,
        good,
    )
    return Stored(connection.total_changes - before, refused)


def read(connection: Connection, symbol: str) -> Mid | None:
    """The newest mid of an asset, or None where there never was a trusted one."""
    row = connection.execute(
        "SELECT symbol, mid, source_at, known_at FROM hyperliquid_latest_prices WHERE symbol = ?", (symbol,)
    ).fetchone()
    return None if row is None else Mid(*row)
