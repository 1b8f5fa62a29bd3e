"""What Hyperliquid says, turned into values: WebSocket frames and REST answers, without any I/O (sources 1).

Unknown fields are ignored. Whatever does not have the documented shape raises `WireRejection` with a stable reason
code; decoders of lists take a `rejected` list that collects the bad rows instead, so that one bad row does not cost
the good ones. Whether a price makes sense is asked elsewhere (`market.candles.problem`).
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from clash_pipeline.market.candles import INTERVAL_MS, Candle

Interval = Literal["1m", "1h"]
_LAST_MS: Final[dict[str, int]] = {interval: length - 1 for interval, length in INTERVAL_MS.items()}
_new: Final = tuple.__new__

GREETING = "Websocket connection established."
"""The first text frame may be this sentence, which is not JSON."""
SPOT_ID_BASE = 10_000
"""Asset ids: a perp's is its position in the universe, a spot pair's is this plus its index."""
SINGLE_TIER_BELOW = 50
"""Margin table ids below this mean one tier whose leverage is the id (10 §1)."""
SAMPLE_BYTES = 2_000

Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[str, Meta(min_length=1, max_length=48)]
TimeMs = Annotated[int, Meta(ge=0, le=2**47)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Decimals = Annotated[int, Meta(ge=0, le=8)]
Leverage = Annotated[int, Meta(ge=1, le=1_000)]

Row = TypeVar("Row")


class WireRejection(ValueError):
    """A message or row the venue should not have sent; `reason` is a stable code, `sample` the start of it."""

    def __init__(self, reason: str, sample: str | bytes) -> None:
        start = sample[:SAMPLE_BYTES]
        self.reason = reason
        self.sample = start.decode("utf-8", "replace") if isinstance(start, bytes) else start
        super().__init__(f"{reason}: {self.sample[:120]}")


Rejections = list[WireRejection]


# --- WebSocket ------------------------------------------------------------------------------------------------------


class CandleRow(Struct, gc=False):
    """A candle as sent, live and in snapshots alike."""

    t: TimeMs
    T: TimeMs
    s: Symbol
    i: str
    o: Number
    c: Number
    h: Number
    l: Number  # noqa: E741  the venue's own key
    v: Number
    n: Count


class CandleFrames(NamedTuple):
    """Running minutes; a later frame of the same minute replaces an earlier one."""

    candles: list[Candle]


class AllMids(NamedTuple):
    """Mids by coin. A coin without a live book carries its stale mark here (see `mids`)."""

    mids: dict[str, str]


class SubscriptionResponse(NamedTuple):
    """The echo of a subscribe or unsubscribe; `coin` and `interval` only where the subscription has them."""

    method: str
    type: str
    coin: str | None
    interval: str | None


class Pong(NamedTuple):
    """The answer to our ping."""


class VenueError(NamedTuple):
    """A complaint of the venue about something we sent (a message of the stream, not an exception)."""

    text: str

    @property
    def subscription(self) -> SubscriptionResponse | None:
        """The subscription that is quoted in the text, where there is one."""
        quoted = self.text[self.text.find("{") :] if "{" in self.text else ""
        try:
            found = _QUOTED.decode(quoted.encode("utf-8", "replace"))
        except (msgspec.DecodeError, RecursionError):
            return None
        return SubscriptionResponse("error", found.type, found.coin, found.interval)


class Banner(NamedTuple):
    """The greeting of a new connection."""


Message = CandleFrames | AllMids | SubscriptionResponse | Pong | VenueError | Banner


def decode_ws(raw: str | bytes, interval: Interval = "1m") -> Message:
    """One frame of the stream as a value.

    Raises:
        WireRejection: `bad_json`, `unknown_channel`, `wrong_shape`, `wrong_interval` or `wrong_close_time`.
    """
    try:
        frame = _FRAMES.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if raw in (GREETING, GREETING.encode()):
            return Banner()
        raise _why_not(raw) from None
    if type(frame) is _CandleFrame:
        row = frame.data
        if type(row) is CandleRow:
            # the hot path of the system, so it repeats `_candle` instead of calling it
            if row.i == interval and row.T - row.t == _LAST_MS[interval]:
                candle = _new(Candle, (row.s, row.t, row.o, row.h, row.l, row.c, row.v, row.n))
                return _new(CandleFrames, ([candle],))
            return CandleFrames([_candle(row, interval)])
        return CandleFrames([_candle(row, interval) for row in row])  # type: ignore[union-attr]
    return _other(frame)


def subscribe(coin: str | None, *, kind: str = "candle", interval: Interval = "1m", method: str = "subscribe") -> bytes:
    """The text of a (un)subscribe message: `candle` of one coin, or `allMids` with no coin."""
    wanted = {"type": kind} if coin is None else {"type": kind, "coin": coin, "interval": interval}
    return msgspec.json.encode({"method": method, "subscription": wanted})


PING = b'{"method":"ping"}'


def _candle(row: CandleRow, interval: str) -> Candle:
    if row.i != interval:
        raise WireRejection("wrong_interval", msgspec.json.encode(row))
    if row.T - row.t != _LAST_MS[interval]:
        raise WireRejection("wrong_close_time", msgspec.json.encode(row))
    return Candle(row.s, row.t, row.o, row.h, row.l, row.c, row.v, row.n)


class _CandleFrame(Struct, tag_field="channel", tag="candle", gc=False):
    data: CandleRow | list[CandleRow]


class _Mids(Struct, gc=False):
    mids: dict[Symbol, Number]


class _AllMidsFrame(Struct, tag_field="channel", tag="allMids", gc=False):
    data: _Mids


class _Subscription(Struct, gc=False):
    type: Symbol
    coin: Symbol | None = None
    interval: str | None = None


class _SubscriptionEcho(Struct, gc=False):
    method: str
    subscription: _Subscription


class _SubscriptionFrame(Struct, tag_field="channel", tag="subscriptionResponse", gc=False):
    data: _SubscriptionEcho


class _PongFrame(Struct, tag_field="channel", tag="pong", gc=False):
    pass


class _ErrorFrame(Struct, tag_field="channel", tag="error", gc=False):
    data: str


class _Channel(Struct, gc=False):
    channel: str


_Frame = _CandleFrame | _AllMidsFrame | _SubscriptionFrame | _PongFrame | _ErrorFrame
_FRAMES: Final[msgspec.json.Decoder[_Frame]] = msgspec.json.Decoder(_Frame)
_CHANNEL: Final = msgspec.json.Decoder(_Channel)
_QUOTED: Final = msgspec.json.Decoder(_Subscription)
_CHANNELS: Final = frozenset({"candle", "allMids", "subscriptionResponse", "pong", "error"})


def _other(frame: _Frame) -> Message:
    match frame:
        case _AllMidsFrame(data=data):
            return AllMids(data.mids)
        case _SubscriptionFrame(data=echo):
            wanted = echo.subscription
            return SubscriptionResponse(echo.method, wanted.type, wanted.coin, wanted.interval)
        case _ErrorFrame(data=text):
            return VenueError(text)
        case _:
            return Pong()


def _why_not(raw: str | bytes) -> WireRejection:
    try:
        channel = _CHANNEL.decode(raw).channel
    except msgspec.ValidationError:
        return WireRejection("wrong_shape", raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return WireRejection("bad_json", _printable(raw))
    return WireRejection("wrong_shape" if channel in _CHANNELS else "unknown_channel", raw)


def _printable(raw: str | bytes) -> str | bytes:
    """Lone surrogates cannot be written anywhere; show them escaped."""
    return raw.encode("utf-8", "backslashreplace") if isinstance(raw, str) else raw


# --- REST: candles and funding --------------------------------------------------------------------------------------


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


def decode_candles(
    payload: bytes, *, symbol: str | None = None, interval: Interval = "1m", rejected: Rejections | None = None
) -> list[Candle]:
    """The rows of a `candleSnapshot`, oldest first as sent; the last may be a candle still forming.

    Raises:
        WireRejection: the answer is no list; or, without a `rejected` list, one of its rows is wrong.
    """
    candles: list[Candle] = []
    for row in _rows(payload, _CANDLES, _CANDLE, "bad_candle", rejected):
        try:
            if symbol is not None and row.s != symbol:
                raise WireRejection("wrong_symbol", msgspec.json.encode(row))
            candles.append(_candle(row, interval))
        except WireRejection as refusal:
            _refuse(refusal, rejected)
    return candles


def decode_funding_history(payload: bytes, *, rejected: Rejections | None = None) -> list[PaidFunding] | None:
    """Paid rates, oldest first; None for a coin the venue does not list.

    Raises:
        WireRejection: as `decode_candles`.
    """
    if payload.strip() == b"null":
        return None
    return list(_rows(payload, _PAID_ROWS, _PAID, "bad_funding_row", rejected))


def decode_predicted_fundings(payload: bytes, *, rejected: Rejections | None = None) -> list[Prediction]:
    """What each venue predicts for each coin; venues that answer null are left out.

    Raises:
        WireRejection: as `decode_candles`.
    """
    coins = _rows(payload, _PREDICTED_COINS, _PREDICTED_COIN, "bad_predicted_coin", rejected)
    return [
        Prediction(coin, venue, funding)
        for coin, venues in coins
        for venue, funding in _venues(coin, venues, rejected)
        if funding is not None
    ]


_CANDLES: Final = msgspec.json.Decoder(list[CandleRow])
_CANDLE: Final = msgspec.json.Decoder(CandleRow)
_PAID_ROWS: Final = msgspec.json.Decoder(list[PaidFunding])
_PAID: Final = msgspec.json.Decoder(PaidFunding)
_PREDICTED_COINS: Final = msgspec.json.Decoder(list[tuple[Symbol, list[msgspec.Raw]]])
_PREDICTED_COIN: Final = msgspec.json.Decoder(tuple[Symbol, list[msgspec.Raw]])
_PREDICTED_VENUE: Final = msgspec.json.Decoder(tuple[Symbol, PredictedFunding | None])


def _venues(
    coin: str, raws: Sequence[msgspec.Raw], rejected: Rejections | None
) -> Iterator[tuple[str, PredictedFunding | None]]:
    for raw in raws:
        venue = _row(raw, _PREDICTED_VENUE, "bad_predicted_funding", rejected)
        if venue is not None:
            yield venue


# --- REST: registries and contexts ----------------------------------------------------------------------------------


class MarginTier(Struct, frozen=True, gc=False):
    """From this notional (USD) upwards the leverage is at most this."""

    lowerBound: Number
    maxLeverage: Leverage


class Perp(Struct, gc=False):
    """One entry of the perp universe; `position` is its asset id."""

    name: Symbol
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

    name: Symbol
    szDecimals: Decimals
    index: Count
    fullName: str | None = None


class SpotPair(Struct, gc=False):
    """A spot pair; `tokens` are the indices of base and quote."""

    tokens: tuple[Count, Count]
    name: Symbol
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
    return _perp_meta(_decoded(payload, _META, "bad_meta"), rejected)


def decode_spot_meta(payload: bytes, *, rejected: Rejections | None = None) -> SpotMeta:
    """The spot registry.

    Raises:
        WireRejection: `bad_spot_meta`; or, without a `rejected` list, `bad_token`, `bad_pair` or `unknown_token`.
    """
    return _spot_meta(_decoded(payload, _SPOT_META, "bad_spot_meta"), rejected)


def decode_meta_and_asset_ctxs(
    payload: bytes, *, rejected: Rejections | None = None
) -> tuple[PerpMeta, dict[str, PerpContext]]:
    """The perp registry and each perp's context by symbol; the two lists pair by position.

    Raises:
        WireRejection: `bad_meta`, `unpaired_contexts` (lengths differ: no context can be trusted); or, without a
            `rejected` list, a bad row.
    """
    meta, contexts = _decoded(payload, _META_AND_CONTEXTS, "bad_meta")
    if len(meta.universe) != len(contexts):
        raise WireRejection("unpaired_contexts", f"{len(meta.universe)} perps against {len(contexts)} contexts")
    decoded = _perp_meta(meta, rejected)
    found = ((perp, _row(contexts[perp.position], _PERP_CONTEXT, "bad_context", rejected)) for perp in decoded.perps)
    return decoded, {perp.name: context for perp, context in found if context is not None}


def decode_spot_meta_and_asset_ctxs(
    payload: bytes, *, rejected: Rejections | None = None
) -> tuple[SpotMeta, dict[str, SpotContext]]:
    """The spot registry and each pair's context by symbol, joined on `coin`: the lists do not pair by position.

    Raises:
        WireRejection: `bad_spot_meta`; or, without a `rejected` list, a bad row.
    """
    meta, contexts = _decoded(payload, _SPOT_META_AND_CONTEXTS, "bad_spot_meta")
    decoded = _spot_meta(meta, rejected)
    symbols = {pair.symbol for pair in decoded.pairs}
    rows = (_row(raw, _SPOT_CONTEXT, "bad_context", rejected) for raw in contexts)
    return decoded, {row.coin: row for row in rows if row is not None and row.coin in symbols}


class _MarginTable(Struct, gc=False):
    marginTiers: Annotated[list[MarginTier], Meta(min_length=1, max_length=50)]


class _Meta(Struct, gc=False):
    universe: list[msgspec.Raw]
    marginTables: list[msgspec.Raw] = []


class _SpotMeta(Struct, gc=False):
    universe: list[msgspec.Raw]
    tokens: list[msgspec.Raw]


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
        perp = _row(raw, _PERP, "bad_perp", rejected)
        if perp is not None:
            perp.position = position
            perps.append(perp)
    tables = (_row(raw, _MARGIN_TABLE, "bad_margin_table", rejected) for raw in meta.marginTables)
    return PerpMeta(perps, {table[0]: table[1].marginTiers for table in tables if table is not None})


def _spot_meta(meta: _SpotMeta, rejected: Rejections | None) -> SpotMeta:
    tokens = (_row(raw, _TOKEN, "bad_token", rejected) for raw in meta.tokens)
    by_index = {token.index: token for token in tokens if token is not None}
    pairs = []
    for raw in meta.universe:
        pair = _row(raw, _PAIR, "bad_pair", rejected)
        if pair is None:
            continue
        if all(token in by_index for token in pair.tokens):
            pairs.append(pair)
        else:
            _refuse(WireRejection("unknown_token", bytes(raw)), rejected)
    return SpotMeta(pairs, by_index)


# --- decoding with a reason -----------------------------------------------------------------------------------------


def _decoded(payload: bytes, decoder: "msgspec.json.Decoder[Row]", reason: str) -> Row:
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise WireRejection(reason, payload) from None


def _rows(
    payload: bytes,
    whole: "msgspec.json.Decoder[list[Row]]",
    single: "msgspec.json.Decoder[Row]",
    reason: str,
    rejected: Rejections | None,
) -> Iterator[Row]:
    """All rows in one decode; only where that fails, row by row, to find the bad ones."""
    try:
        yield from whole.decode(payload)
        return
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raws = _decoded(payload, _RAWS, f"{reason}s")
    for raw in raws:
        row = _row(raw, single, reason, rejected)
        if row is not None:
            yield row


def _row(raw: Any, decoder: "msgspec.json.Decoder[Row]", reason: str, rejected: Rejections | None) -> Row | None:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        _refuse(WireRejection(reason, bytes(raw)), rejected)
        return None


def _refuse(refusal: WireRejection, rejected: Rejections | None) -> None:
    if rejected is None:
        raise refusal
    rejected.append(refusal)


_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
