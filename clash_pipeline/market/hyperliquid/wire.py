"""What Hyperliquid says, turned into values without any I/O: WebSocket frames and candle snapshots (sources 1).

Unknown fields are ignored. Whatever does not have the documented shape raises `WireRejection` with a stable reason
code; decoders of lists take a `rejected` list that collects the bad rows instead, so that one bad row does not cost
the good ones. Whether a price makes sense is asked elsewhere (`market.candles.problem`).
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from clash_pipeline.market.candles import INTERVAL_MS, Candle

Interval = Literal["1m", "1h"]
_LAST_MS: Final[dict[str, int]] = {interval: length - 1 for interval, length in INTERVAL_MS.items()}
_new: Final = tuple.__new__

GREETING = "Websocket connection established."
"""The first text frame may be this sentence, which is not JSON."""
SAMPLE_BYTES = 2_000

Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
Number = Annotated[str, Meta(min_length=1, max_length=48)]
TimeMs = Annotated[int, Meta(ge=0, le=2**47)]
Count = Annotated[int, Meta(ge=0, le=2**53)]

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
    message = decode_frame(raw, interval)
    return CandleFrames([message]) if isinstance(message, Candle) else message


def decode_frame(raw: str | bytes, interval: Interval = "1m") -> Candle | Message:
    """The same for the hot path of the system: a candle that comes alone is not put into a list."""
    try:
        frame = _FRAMES.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if raw in (GREETING, GREETING.encode()):
            return Banner()
        raise _why_not(raw) from None
    if type(frame) is not _CandleFrame:
        return _other(frame)
    row = frame.data
    if type(row) is CandleRow:
        return _candle(row, interval)
    return CandleFrames([_candle(row, interval) for row in row])  # type: ignore[union-attr]


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
    # as `Candle(...)`, without its call of a Python function
    return _new(Candle, (row.s, row.t, row.o, row.h, row.l, row.c, row.v, row.n))


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


# --- candleSnapshot -------------------------------------------------------------------------------------------------


def decode_candles(
    payload: bytes, *, symbol: str | None = None, interval: Interval = "1m", rejected: Rejections | None = None
) -> list[Candle]:
    """The rows of a `candleSnapshot`, oldest first as sent; the last may be a candle still forming.

    Raises:
        WireRejection: the answer is no list; or, without a `rejected` list, one of its rows is wrong.
    """
    candles: list[Candle] = []
    for row in each_row(payload, _CANDLES, _CANDLE, "bad_candle", rejected):
        try:
            if symbol is not None and row.s != symbol:
                raise WireRejection("wrong_symbol", msgspec.json.encode(row))
            candles.append(_candle(row, interval))
        except WireRejection as refusal:
            refuse(refusal, rejected)
    return candles


_CANDLES: Final = msgspec.json.Decoder(list[CandleRow])
_CANDLE: Final = msgspec.json.Decoder(CandleRow)


# --- decoding with a reason -----------------------------------------------------------------------------------------


def decoded(payload: bytes, decoder: "msgspec.json.Decoder[Row]", reason: str) -> Row:
    """A whole answer.

    Raises:
        WireRejection: with `reason`.
    """
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise WireRejection(reason, payload) from None


def each_row(
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
        raws = decoded(payload, _RAWS, f"{reason}s")
    for raw in raws:
        row = one_row(raw, single, reason, rejected)
        if row is not None:
            yield row


def one_row(raw: Any, decoder: "msgspec.json.Decoder[Row]", reason: str, rejected: Rejections | None) -> Row | None:
    """One row of an answer, or None once its refusal was collected."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        refuse(WireRejection(reason, bytes(raw)), rejected)
        return None


def refuse(refusal: WireRejection, rejected: Rejections | None) -> None:
    """Collect a refusal where the caller wants them, else raise it."""
    if rejected is None:
        raise refusal
    rejected.append(refusal)


_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
