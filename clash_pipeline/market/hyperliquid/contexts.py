"""Asset contexts: marks, oracle, mids, impact prices and volumes of perps and spot pairs, sampled each minute."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec

from clash_pipeline.clock import Clock, minute_of
from clash_pipeline.market import ingestion
from clash_pipeline.market.hyperliquid import answers, wire
from clash_pipeline.market.hyperliquid.numbers import BadNumber, amount, price, rate_e10, signed
from clash_pipeline.market.hyperliquid.rest import SOURCE, HyperliquidRest
from clash_pipeline.settings import Settings
from clash_pipeline.storage.sqlite import Connection, Database

CHANNEL: Final = "asset_ctxs"

C = TypeVar("C", answers.PerpContext, answers.SpotContext)


class AssetContext(NamedTuple):
    """The state of an asset at minute `t`, in the venue's decimal text; None is unknown. No mid means no live book."""

    symbol: str
    t: int
    oracle_px: str | None
    mark_px: str
    mid_px: str | None
    impact_bid: str | None
    impact_ask: str | None
    day_ntl_volume: str
    day_base_volume: str | None
    open_interest: str | None
    prev_day_px: str | None
    premium: str | None
    funding_e10: int | None
    known_at: int


async def refresh(market: Database, rest: HyperliquidRest, *, now_ms: int, clock: Clock, settings: Settings) -> int:
    """Sample the contexts of all followed assets; returns the rows written.

    Raises:
        VenueError: the venue did not answer usably; nothing was written but the failed cycle.
    """
    with ingestion.run(market, SOURCE, CHANNEL, clock) as cycle:
        rejected: wire.Rejections = []
        meta, perps = await rest.meta_and_asset_ctxs(rejected=rejected)
        spot_meta, spots = await rest.spot_meta_and_asset_ctxs(rejected=rejected)
        known_at = clock.now_ms()
        wanted = _wanted(meta, spot_meta, settings)
        rows = from_wire(perps, spots, wanted, minute_of(now_ms), known_at, rejected)
        with market.write() as connection:
            cycle.rows = store(connection, rows)
            for refusal in rejected:
                ingestion.reject(connection, SOURCE, CHANNEL, refusal.reason, refusal.sample, known_at)
        cycle.rejected = len(rejected)
        cycle.covered, cycle.expected = len(rows), len(wanted)
        cycle.through_t = minute_of(now_ms)
        cycle.lags_ms.append(known_at - now_ms)
    return cycle.rows


def from_wire(
    perps: Mapping[str, answers.PerpContext],
    spots: Mapping[str, answers.SpotContext],
    wanted: frozenset[str],
    t: int,
    known_at: int,
    rejected: wire.Rejections,
) -> list[AssetContext]:
    """The wanted assets' contexts as rows of minute `t`; a context with an impossible number is refused whole."""
    return [
        *_kept(perps, wanted, lambda symbol, context: _perp(symbol, context, t, known_at), rejected),
        *_kept(spots, wanted, lambda symbol, context: _spot(symbol, context, t, known_at), rejected),
    ]


def store(connection: Connection, contexts: Iterable[AssetContext]) -> int:
    """Write samples that are not there yet: what was known at a minute is never rewritten. Returns the new rows."""
    before = connection.total_changes
    connection.executemany(
        """
        INSERT INTO hyperliquid_asset_ctxs
          (symbol, t, oracle_px, mark_px, mid_px, impact_bid, impact_ask, day_ntl_volume, day_base_volume,
           open_interest, prev_day_px, premium, funding_e10, known_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
        """,
        contexts,
    )
    return connection.total_changes - before


def newest(connection: Connection, symbol: str, *, as_of: int | None = None) -> AssetContext | None:
    """The newest context of an asset that was known at `as_of` (default: at all)."""
    row = connection.execute(
        """
        SELECT symbol, t, oracle_px, mark_px, mid_px, impact_bid, impact_ask, day_ntl_volume, day_base_volume,
               open_interest, prev_day_px, premium, funding_e10, known_at
        FROM hyperliquid_asset_ctxs
        WHERE symbol = :symbol AND (:as_of IS NULL OR (known_at <= :as_of AND t <= :as_of))
        ORDER BY t DESC LIMIT 1
        """,
        {"symbol": symbol, "as_of": as_of},
    ).fetchone()
    return None if row is None else AssetContext(*row)


def _wanted(perps: answers.PerpMeta, spots: answers.SpotMeta, settings: Settings) -> frozenset[str]:
    """Delisted perps keep a context for ever, with a mark that no longer moves; they are not wanted."""
    listed = frozenset(perp.name for perp in perps.perps if not perp.isDelisted)
    symbols = listed | {pair.symbol for pair in spots.pairs}
    followed = settings.followed_symbols
    return symbols if followed is None else symbols & followed


def _kept(
    contexts: Mapping[str, C],
    wanted: frozenset[str],
    build: Callable[[str, C], AssetContext],
    rejected: wire.Rejections,
) -> list[AssetContext]:
    rows = []
    for symbol, context in contexts.items():
        if symbol not in wanted:
            continue
        try:
            rows.append(build(symbol, context))
        except BadNumber as problem:
            rejected.append(wire.WireRejection(str(problem), msgspec.json.encode((symbol, context))))
    return rows


def _perp(symbol: str, context: answers.PerpContext, t: int, known_at: int) -> AssetContext:
    bid, ask = context.impactPxs or (None, None)
    return AssetContext(
        symbol=symbol,
        t=t,
        oracle_px=price(context.oraclePx),
        mark_px=price(context.markPx),
        mid_px=_maybe(price, context.midPx),
        impact_bid=_maybe(price, bid),
        impact_ask=_maybe(price, ask),
        day_ntl_volume=amount(context.dayNtlVlm),
        day_base_volume=_maybe(amount, context.dayBaseVlm),
        open_interest=amount(context.openInterest),
        prev_day_px=_maybe(amount, context.prevDayPx),
        premium=_maybe(signed, context.premium),
        funding_e10=rate_e10(context.funding),
        known_at=known_at,
    )


def _spot(symbol: str, context: answers.SpotContext, t: int, known_at: int) -> AssetContext:
    return AssetContext(
        symbol=symbol,
        t=t,
        oracle_px=None,
        mark_px=price(context.markPx),
        mid_px=_maybe(price, context.midPx),
        impact_bid=None,
        impact_ask=None,
        day_ntl_volume=amount(context.dayNtlVlm),
        day_base_volume=_maybe(amount, context.dayBaseVlm),
        open_interest=None,
        prev_day_px=_maybe(amount, context.prevDayPx),
        premium=None,
        funding_e10=None,
        known_at=known_at,
    )


def _maybe(check: Callable[[str], str], text: str | None) -> str | None:
    return None if text is None else check(text)
