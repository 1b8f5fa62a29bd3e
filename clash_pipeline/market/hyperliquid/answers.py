"""Hyperliquid's REST answers but candles, turned into values: registries, contexts, mids, funding (sources 1.5 to 1.7).

As in `wire`, decoders of lists take a `rejected` list that collects bad rows; without one the first bad row raises.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

from clash_pipeline.market.hyperliquid.wire import (
    Count,
    Number,
    Rejections,
    Symbol,
    TimeMs,
    WireRejection,
    decoded,
    each_row,
    one_row,
    refuse,
)

SPOT_ID_BASE = 10_000
"""Asset ids: a perp's is its position in the universe, a spot pair's is this plus its index."""
SINGLE_TIER_BELOW = 50
"""Margin table ids below this mean one tier whose leverage is the id (10 §1)."""

Name = Annotated[str, Meta(pattern=r"^[!-~]{1,64}\Z")]
"""Names that are stored or shown: printable ASCII. (`*` and `?` occur; a pattern is too slow for candle frames.)"""
Decimals = Annotated[int, Meta(ge=0, le=8)]
Leverage = Annotated[int, Meta(ge=1, le=1_000)]


class MarginTier(Struct, frozen=True, gc=False):
    """From this notional (USD) upwards the leverage is at most this."""

    lowerBound: Number
    maxLeverage: Leverage


class Perp(Struct, gc=False):
    """One entry of the perp universe; `position` is its asset id."""

    name: Name
    szDecimals: Annotated[int, Meta(ge=0, le=6)]
    maxLeverage: Leverage
    marginTableId: Count | None = None
    onlyIsolated: bool = False
    isDelisted: bool = False
    position: int = -1


class PerpMeta(NamedTuple):
    """The perp universe in the venue's order, delisted ones included, and its margin tables."""

    perps: list[Perp]
    margin_tables: dict[int, list[MarginTier]]

    def tiers(self, perp: Perp) -> list[MarginTier]:
        """The margin tiers of a perp, ascending; a table that was not sent is one tier at the asset's leverage."""
        table = perp.marginTableId
        if table is not None and 1 <= table < SINGLE_TIER_BELOW:
            return [MarginTier("0.0", table)]
        return self.margin_tables.get(-1 if table is None else table) or [MarginTier("0.0", perp.maxLeverage)]


class SpotToken(Struct, gc=False):
    """A token that spot pairs are made of."""

    name: Name
    szDecimals: Decimals
    index: Count
    fullName: str | None = None


class SpotPair(Struct, gc=False):
    """A spot pair; `tokens` are the indices of base and quote."""

    tokens: tuple[Count, Count]
    name: Name
    index: Count
    isCanonical: bool = False

    @property
    def symbol(self) -> str:
        """The coin of the wire: `PURR/USDC` for pair 0, else `@{index}`."""
        return self.name if self.index == 0 else f"@{self.index}"


class SpotMeta(NamedTuple):
    """The spot pairs whose tokens are known, and the tokens by their index."""

    pairs: list[SpotPair]
    tokens: dict[int, SpotToken]


class PerpContext(Struct, gc=False):
    """The present state of a perp; no live book means null premium, midPx and impactPxs."""

    funding: Number
    openInterest: Number
    dayNtlVlm: Number
    oraclePx: Number
    markPx: Number
    prevDayPx: Number | None = None
    dayBaseVlm: Number | None = None
    premium: Number | None = None
    midPx: Number | None = None
    impactPxs: tuple[Number, Number] | None = None


class SpotContext(Struct, gc=False):
    """The present state of a spot pair."""

    coin: Symbol
    dayNtlVlm: Number
    markPx: Number
    prevDayPx: Number | None = None
    dayBaseVlm: Number | None = None
    midPx: Number | None = None


def decode_meta(payload: bytes, *, rejected: Rejections | None = None) -> PerpMeta:
    """The perp registry.

    Raises:
        WireRejection: `bad_meta`; or, without a `rejected` list, `bad_perp` or `bad_margin_table`.
    """
    return _perp_meta(decoded(payload, _META, "bad_meta"), rejected)


def decode_spot_meta(payload: bytes, *, rejected: Rejections | None = None) -> SpotMeta:
    """The spot registry.

    Raises:
        WireRejection: `bad_spot_meta`; or, without a `rejected` list, `bad_token`, `bad_pair` or `unknown_token`.
    """
    return _spot_meta(decoded(payload, _SPOT_META, "bad_spot_meta"), rejected)


def decode_meta_and_asset_ctxs(
    payload: bytes, *, rejected: Rejections | None = None
) -> tuple[PerpMeta, dict[str, PerpContext]]:
    """The perp registry and each perp's context by symbol; the two lists pair by position.

    Raises:
        WireRejection: `bad_meta`, `unpaired_contexts` (lengths differ: no context can be trusted); or, without a
            `rejected` list, a bad row.
    """
    meta, contexts = decoded(payload, _META_AND_CONTEXTS, "bad_meta")
    if len(meta.universe) != len(contexts):
        raise WireRejection("unpaired_contexts", f"{len(meta.universe)} perps against {len(contexts)} contexts")
    registry = _perp_meta(meta, rejected)
    found = (
        (perp, one_row(contexts[perp.position], _PERP_CONTEXT, "bad_context", rejected)) for perp in registry.perps
    )
    return registry, {perp.name: context for perp, context in found if context is not None}


def decode_spot_meta_and_asset_ctxs(
    payload: bytes, *, rejected: Rejections | None = None
) -> tuple[SpotMeta, dict[str, SpotContext]]:
    """The spot registry and each pair's context by symbol, joined on `coin`: the lists do not pair by position.

    Raises:
        WireRejection: `bad_spot_meta`; or, without a `rejected` list, a bad row.
    """
    meta, contexts = decoded(payload, _SPOT_META_AND_CONTEXTS, "bad_spot_meta")
    registry = _spot_meta(meta, rejected)
    symbols = {pair.symbol for pair in registry.pairs}
    rows = (one_row(raw, _SPOT_CONTEXT, "bad_context", rejected) for raw in contexts)
    return registry, {row.coin: row for row in rows if row is not None and row.coin in symbols}


def decode_all_mids(payload: bytes) -> dict[str, str]:
    """Mids by coin, perps and spot pairs mixed; stale marks included (see `mids`).

    Raises:
        WireRejection: `bad_mids`.
    """
    return decoded(payload, _MIDS, "bad_mids")


class _MarginTable(Struct, gc=False):
    marginTiers: Annotated[list[MarginTier], Meta(min_length=1, max_length=50)]


class _Meta(Struct, gc=False):
    universe: Annotated[list[msgspec.Raw], Meta(min_length=1)]
    marginTables: list[msgspec.Raw] = []


class _SpotMeta(Struct, gc=False):
    universe: Annotated[list[msgspec.Raw], Meta(min_length=1)]
    tokens: list[msgspec.Raw]


_MIDS: Final = msgspec.json.Decoder(dict[Symbol, Number])
_META: Final = msgspec.json.Decoder(_Meta)
_META_AND_CONTEXTS: Final = msgspec.json.Decoder(tuple[_Meta, list[msgspec.Raw]])
_PERP: Final = msgspec.json.Decoder(Perp)
_PERP_CONTEXT: Final = msgspec.json.Decoder(PerpContext)
_MARGIN_TABLE: Final = msgspec.json.Decoder(tuple[Count, _MarginTable])
_SPOT_META: Final = msgspec.json.Decoder(_SpotMeta)
_SPOT_META_AND_CONTEXTS: Final = msgspec.json.Decoder(tuple[_SpotMeta, list[msgspec.Raw]])
_SPOT_CONTEXT: Final = msgspec.json.Decoder(SpotContext)
_TOKEN: Final = msgspec.json.Decoder(SpotToken)
_PAIR: Final = msgspec.json.Decoder(SpotPair)


def _perp_meta(meta: _Meta, rejected: Rejections | None) -> PerpMeta:
    perps = []
    for position, raw in enumerate(meta.universe):
        perp = one_row(raw, _PERP, "bad_perp", rejected)
        if perp is not None:
            perp.position = position
            perps.append(perp)
    tables = (one_row(raw, _MARGIN_TABLE, "bad_margin_table", rejected) for raw in meta.marginTables)
    return PerpMeta(perps, {table[0]: table[1].marginTiers for table in tables if table is not None})


def _spot_meta(meta: _SpotMeta, rejected: Rejections | None) -> SpotMeta:
    tokens = (one_row(raw, _TOKEN, "bad_token", rejected) for raw in meta.tokens)
    by_index = {token.index: token for token in tokens if token is not None}
    pairs = []
    for raw in meta.universe:
        pair = one_row(raw, _PAIR, "bad_pair", rejected)
        if pair is None:
            continue
        if all(token in by_index for token in pair.tokens):
            pairs.append(pair)
        else:
            refuse(WireRejection("unknown_token", bytes(raw)), rejected)
    return SpotMeta(pairs, by_index)


# --- funding --------------------------------------------------------------------------------------------------------


class PaidFunding(Struct, gc=False):
    """One row of `fundingHistory`; `time` lies some ms past the hour."""

    coin: Symbol
    fundingRate: Number
    time: TimeMs
    premium: Number | None = None


class PredictedFunding(Struct, gc=False):
    """A venue's next rate, per that venue's own interval; the interval can be absent and the time 0 or past."""

    fundingRate: Number
    nextFundingTime: Count | None = None
    fundingIntervalHours: Count | None = None


class Prediction(NamedTuple):
    """What one venue predicts for one coin."""

    coin: str
    venue: str
    funding: PredictedFunding


def decode_funding_history(payload: bytes, *, rejected: Rejections | None = None) -> list[PaidFunding] | None:
    """Paid rates, oldest first; None for a coin the venue does not list.

    Raises:
        WireRejection: the answer is no list; or, without a `rejected` list, a bad row.
    """
    if payload.strip() == b"null":
        return None
    return list(each_row(payload, _PAID_ROWS, _PAID, "bad_funding_row", rejected))


def decode_predicted_fundings(payload: bytes, *, rejected: Rejections | None = None) -> list[Prediction]:
    """What each venue predicts for each coin; venues that answer null are left out.

    Raises:
        WireRejection: the answer is no list; or, without a `rejected` list, a bad row.
    """
    coins = each_row(payload, _PREDICTED_COINS, _PREDICTED_COIN, "bad_predicted_coin", rejected)
    return [
        Prediction(coin, venue, funding)
        for coin, venues in coins
        for venue, funding in _venues(venues, rejected)
        if funding is not None
    ]


_PAID_ROWS: Final = msgspec.json.Decoder(list[PaidFunding])
_PAID: Final = msgspec.json.Decoder(PaidFunding)
_PREDICTED_COINS: Final = msgspec.json.Decoder(list[tuple[Name, list[msgspec.Raw]]])
_PREDICTED_COIN: Final = msgspec.json.Decoder(tuple[Name, list[msgspec.Raw]])
_PREDICTED_VENUE: Final = msgspec.json.Decoder(tuple[Name, PredictedFunding | None])


def _venues(raws: Sequence[msgspec.Raw], rejected: Rejections | None) -> Iterator[tuple[str, PredictedFunding | None]]:
    for raw in raws:
        venue = one_row(raw, _PREDICTED_VENUE, "bad_predicted_funding", rejected)
        if venue is not None:
            yield venue
