"""The candle stream as a state machine without I/O: frames, connection events and time in; closed minutes, gaps and
subscriptions out.

A minute settles once its end has passed by the grace, by venue time. It is *final* when the coin's subscription
provably lived through it: acknowledged before the minute began, nothing malformed, re-ordered, stalled or reconnected
since, and a frame of a later minute has come. Without that proof a traded minute is stored open to confirmation, a
silent one as a flat row likewise, and a minute we may have missed becomes a gap, never a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.market.candles import Candle, flat, problem
from clash_pipeline.market.hyperliquid.skew import SkewEstimate
from clash_pipeline.market.hyperliquid.wire import (
    PING,
    AllMids,
    Banner,
    CandleFrames,
    Message,
    Pong,
    SubscriptionResponse,
    VenueError,
    WireRejection,
    decode_ws,
    subscribe,
)
from clash_pipeline.units import Grid

MOST_SUBSCRIPTIONS = 1_000
"""Of one address, the one for the mids included (sources 1.10)."""
REMEMBERED_MINUTES = 5
"""So many settled minutes of a coin can still be corrected by a late frame."""
LIVELY_MINUTES = 10
"""A coin that traded in so many minutes on end should not fall silent."""
SILENT_MINUTES = 2
PATIENCE_MS = 2_000
"""A minute is settled this much later when nothing has been heard since its grace ended."""
EARLY_MS = 2_000
"""A frame of a minute that begins later than this is not from a minute that can have traded."""


class StreamPolicy(NamedTuple):
    """Limits of the stream, in milliseconds and percent; the defaults are those of the settings.

    `is_final_by_stream` off leaves every minute to confirmation: a peer that swallows single frames cannot be told from
    silence. `is_skew_estimated` off is for a replayed venue, whose clock we read instead of our own.
    """

    grace_ms: int = 5_000
    silence_ms: int = 15_000
    ping_ms: int = 30_000
    subscribe_timeout_ms: int = 30_000
    future_ms: int = 120_000
    jump_pct: int = 20
    is_final_by_stream: bool = True
    is_skew_estimated: bool = True


class ClosedMinute(NamedTuple):
    """A settled minute; `origin` is `stream` or `flat`. A later one of the same minute corrects or completes it."""

    candle: Candle
    origin: str
    final: bool


class Gap(NamedTuple):
    """Minutes in `[from_t, to_t)` that may have been missed."""

    symbol: str
    from_t: int
    to_t: int
    reason: str


class Refused(NamedTuple):
    """Messages that were refused for one reason, with the first of them."""

    reason: str
    sample: str
    times: int


@dataclass
class Output:
    """What the shell has to do, in this order: write the gaps, the minutes and the rejections; then send; then, where
    `reconnect` names a reason, give the connection up."""

    gaps: list[Gap] = field(default_factory=list)
    minutes: list[ClosedMinute] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    mids: dict[str, str] = field(default_factory=dict)
    send: list[bytes] = field(default_factory=list)
    reconnect: str | None = None
    settled_to: int | None = None


@dataclass
class Counts:
    """What came in, since the beginning."""

    messages: int = 0
    frames: int = 0
    duplicates: int = 0
    older: int = 0
    refused: int = 0


class _Track:
    """One coin. `next_t` is its first minute that is not settled; a minute before `clean_from` cannot become final."""

    __slots__ = (
        "band", "clean_from", "grid", "last_close", "live_since", "lively", "next_t", "running", "settled", "silent",
        "symbol", "unproven", "waiting",
    )  # fmt: skip

    def __init__(self, symbol: str, grid: Grid | None, next_t: int) -> None:
        self.symbol = symbol
        self.grid = grid
        self.next_t = next_t
        self.running: Candle | None = None
        self.waiting: dict[int, Candle] = {}
        self.settled: dict[int, ClosedMinute] = {}
        self.unproven: dict[int, Candle] = {}
        self.last_close: str | None = None
        self.band: tuple[float, float] | None = None
        self.live_since: int | None = None
        self.clean_from = next_t
        self.lively = 0
        self.silent = 0

    def closes_at(self, close: str | None, jump_pct: int) -> None:
        """Remember the close that the next prices are compared with."""
        self.last_close = close
        if close is not None:
            price = float(close)
            self.band = (price * (100 - jump_pct) / 100, price * (100 + jump_pct) / 100)


class CandleStream:
    """One connection's worth of candle subscriptions; times are our clock's, epoch ms."""

    def __init__(self, policy: StreamPolicy | None = None) -> None:
        self.policy = policy or StreamPolicy()
        self.counts = Counts()
        self.skew = SkewEstimate()
        self.is_open = False
        self.pongs = 0
        """Answers to our pings on this connection."""
        self._tracks: dict[str, _Track] = {}
        self._asked: dict[str | None, int] = {}
        self._mids: dict[str, float] = {}
        self._proving: set[_Track] = set()
        self._refused: dict[str, Refused] = {}
        self._clean_from = 0
        self._settled_t = 0
        self._last_message = 0
        self._last_ping = 0
        self._out = Output()

    # what is followed

    def follow(self, grids: Mapping[str, Grid | None], now_ms: int) -> None:
        """Follow exactly these coins, the first ones where there are more than one address may subscribe to."""
        wanted = dict(list(grids.items())[: MOST_SUBSCRIPTIONS - 1])
        for symbol in self._tracks.keys() - wanted.keys():
            self._drop(symbol)
        for symbol, grid in wanted.items():
            track = self._tracks.get(symbol)
            if track is None:
                self._tracks[symbol] = _Track(symbol, grid, minute_of(self._venue(now_ms)))
                self._ask(symbol, now_ms)
            else:
                track.grid = grid
        self.skew.expect(len(self._tracks))
        self._settled_t = self._settled_t or minute_of(self._venue(now_ms))

    def seed(self, symbol: str, next_t: int, last_close: str | None) -> None:
        """Go on from the memory: the coin's first minute that is not in it, and the close before that."""
        track = self._tracks[symbol]
        track.next_t = next_t
        track.closes_at(last_close, self.policy.jump_pct)

    def learn_close(self, symbol: str, t: int, close: str) -> None:
        """Take a repaired minute's close as the price of the silence after it."""
        track = self._tracks.get(symbol)
        if track is not None and track.last_close is None and t == track.next_t - MINUTE_MS:
            track.closes_at(close, self.policy.jump_pct)

    def suspect(self, symbol: str, now_ms: int) -> None:
        """Ask again for a coin whose subscription seems to have been lost; an answer shows which it is."""
        if symbol in self._tracks and symbol not in self._asked:
            self._ask(symbol, now_ms)

    @property
    def symbols(self) -> list[str]:
        """The coins followed."""
        return list(self._tracks)

    @property
    def live(self) -> int:
        """How many coins have an acknowledged subscription."""
        return sum(track.live_since is not None for track in self._tracks.values())

    def unanswered(self, now_ms: int) -> list[str]:
        """Coins whose subscription is not acknowledged although the time for it has passed."""
        limit = now_ms - self.policy.subscribe_timeout_ms
        silent = (track for track in self._tracks.values() if track.live_since is None)
        return [track.symbol for track in silent if track.clean_from < limit]

    # connection events

    def opened(self, now_ms: int) -> None:
        """A connection stands: subscribe to everything."""
        self.is_open = True
        self.pongs = 0
        self._last_message = self._last_ping = now_ms
        self._asked.clear()
        for symbol in (None, *self._tracks):
            self._ask(symbol, now_ms)

    def closed(self, now_ms: int, reason: str) -> None:
        """The connection is gone: whatever was not settled by its last message is a gap."""
        if not self.is_open:
            return
        self.is_open = False
        self._asked.clear()
        self._out.send.clear()
        self._out.reconnect = None
        venue_ms = self._venue(now_ms)
        heard_t = minute_of(self._venue(self._last_message))
        for track in self._tracks.values():
            if track.live_since is not None or track.running is not None:
                self._gap(track.symbol, min(track.next_t, heard_t), minute_of(venue_ms) + MINUTE_MS, reason)
            track.live_since = track.running = None
            track.waiting.clear()
            track.unproven.clear()
            track.clean_from = venue_ms + 1

    def receive(self, raw: str | bytes, now_ms: int) -> None:
        """Take one text frame."""
        self.counts.messages += 1
        self._last_message = now_ms
        try:
            message = decode_ws(raw)
        except WireRejection as rejection:
            self.refuse(rejection.reason, rejection.sample, now_ms)
            return
        if type(message) is CandleFrames:
            for candle in message.candles:
                self._candle(candle, now_ms)
        else:
            self._other(message, now_ms)

    def refuse(self, reason: str, sample: str, now_ms: int) -> None:
        """Count a message nobody can read; it may have been a candle of any coin, so nothing overlapping is proven."""
        self._reject(reason, sample)
        if reason != "unknown_channel":
            self._clean_from = self._venue(now_ms) + 1

    def tick(self, now_ms: int) -> None:
        """Let time pass: settle minutes, repeat unanswered subscriptions, keep the connection alive or give it up."""
        self._prove()
        self._settle_to(self._settled_end(self._venue(now_ms)))
        if self.is_open:
            self._ask_again(now_ms)
            self._keep_alive(now_ms)

    def drain(self) -> Output:
        """Hand out everything decided since the last call."""
        out, self._out = self._out, Output()
        out.refused += self._refused.values()
        self._refused = {}
        return out

    # candles

    def _candle(self, candle: Candle, now_ms: int) -> None:
        self.counts.frames += 1
        track = self._tracks.get(candle.symbol)
        if track is None:
            self._reject("unknown_coin", repr(candle))
            return
        t, running = candle.t, track.running
        known = running if running is not None and running.t == t else self._known(track, t)
        if known is not None and self._is_no_news(track, known, candle, now_ms):
            return
        reason = self._unfit(track, candle, now_ms)
        if reason is not None:
            self._reject(reason, repr(candle))
            track.clean_from = self._venue(now_ms) + 1
            return
        if t < track.next_t:
            self._correct(track, candle)
        elif running is None or t > running.t:
            self._next_minute(track, candle)
        elif t == running.t:
            track.running = candle
        else:
            track.waiting[t] = candle

    def _known(self, track: _Track, t: int) -> Candle | None:
        if t >= track.next_t:
            return track.waiting.get(t)
        settled = track.settled.get(t)
        return settled.candle if settled else None

    def _is_no_news(self, track: _Track, known: Candle, candle: Candle, now_ms: int) -> bool:
        if candle.n > known.n:
            return False
        if candle.n == known.n:
            is_duplicate = candle == known
            self.counts.duplicates += is_duplicate
            return is_duplicate
        self.counts.older += 1
        track.clean_from = max(track.clean_from, self._venue(now_ms) + 1)
        return True

    def _unfit(self, track: _Track, candle: Candle, now_ms: int) -> str | None:
        ahead_ms = candle.t - self._venue(now_ms)
        if ahead_ms > self.policy.future_ms:
            return "future"
        is_newest = track.running is None or candle.t >= track.running.t
        if self.policy.is_skew_estimated and is_newest:
            self.skew.observe(candle.symbol, candle.t, now_ms)
            if ahead_ms > EARLY_MS and candle.t - self._venue(now_ms) > EARLY_MS:
                return "early"
        reason = problem(candle, MINUTE_MS, track.grid)
        if reason is not None:
            return reason
        if track.band is not None and not track.band[0] <= float(candle.c) <= track.band[1]:
            return self._jump(candle)
        return None

    def _jump(self, candle: Candle) -> str | None:
        """A jump counts only against both witnesses; without a mid the minute is left to confirmation."""
        mid = self._mids.get(candle.symbol)
        if mid is None or abs(float(candle.c) - mid) * 100 <= mid * self.policy.jump_pct:
            return None
        return "price_jump"

    def _next_minute(self, track: _Track, candle: Candle) -> None:
        if track.running is not None and track.running.t >= track.next_t:
            track.waiting[track.running.t] = track.running
        track.running = candle
        if track.unproven:
            self._proving.add(track)

    def _correct(self, track: _Track, candle: Candle) -> None:
        """A frame of a settled minute: more trades than we knew of make a correction, unless it was already final."""
        settled = track.settled.get(candle.t)
        if settled is None:
            self.counts.older += 1
            return
        if settled.final:
            self._reject("after_final", repr(candle))
            return
        track.unproven.pop(candle.t, None)
        self._emit(track, ClosedMinute(candle, "stream", False))
        if candle.t == track.next_t - MINUTE_MS:
            track.closes_at(candle.c, self.policy.jump_pct)

    # settling

    def _settled_end(self, venue_ms: int) -> int:
        """Where the settled minutes end now; a sign of life from after the grace is worth a moment's patience."""
        end_t = minute_of(venue_ms - self.policy.grace_ms)
        if self.is_open and not self._was_heard_after(end_t) and venue_ms - end_t - self.policy.grace_ms < PATIENCE_MS:
            return end_t - MINUTE_MS
        return end_t

    def _was_heard_after(self, end_t: int) -> bool:
        """Whether a message came after the grace of the minutes before `end_t`; all sent before it has come then."""
        return self._venue(self._last_message) >= end_t + self.policy.grace_ms

    def _settle_to(self, end_t: int) -> None:
        if end_t <= self._settled_t:
            return
        self._settled_t = end_t
        for track in self._tracks.values():
            while track.next_t < end_t:
                self._settle(track, track.next_t)
                track.next_t += MINUTE_MS
        self._out.settled_to = end_t

    def _settle(self, track: _Track, t: int) -> None:
        running = track.running
        candle = running if running is not None and running.t == t else track.waiting.pop(t, None)
        is_clean = self._is_clean(track, t)
        if candle is not None:
            has_later = running is not None and running.t > t
            is_heard = self._was_heard_after(t + MINUTE_MS)
            final = is_clean and has_later and is_heard and self.policy.is_final_by_stream
            if is_clean and not final:
                track.unproven[t] = candle
                if has_later:
                    self._proving.add(track)
            track.closes_at(candle.c, self.policy.jump_pct)
            track.lively, track.silent = track.lively + 1, 0
            self._emit(track, ClosedMinute(candle, "stream", final))
        elif is_clean and track.last_close is not None:
            self._emit(track, ClosedMinute(flat(track.symbol, t, track.last_close), "flat", False))
            self._listen_for_silence(track)
        else:
            self._gap(track.symbol, t, t + MINUTE_MS, "missed" if self.is_open else "disconnect")
            track.last_close = None

    def _is_clean(self, track: _Track, t: int) -> bool:
        return track.live_since is not None and t >= track.clean_from and t >= self._clean_from

    def _emit(self, track: _Track, minute: ClosedMinute) -> None:
        settled = track.settled
        settled[minute.candle.t] = minute
        if len(settled) > REMEMBERED_MINUTES:
            del settled[min(settled)]
        self._out.minutes.append(minute)

    def _prove(self) -> None:
        """Minutes that settled before a later frame or sign of life came are final now, if nothing went wrong since."""
        for track in list(self._proving):
            if not track.unproven or not self._was_heard_after(max(track.unproven) + MINUTE_MS):
                continue
            for t, candle in track.unproven.items():
                if self._is_clean(track, t) and self.policy.is_final_by_stream:
                    self._emit(track, ClosedMinute(candle, "stream", True))
            track.unproven.clear()
        self._proving = {track for track in self._proving if track.unproven}

    def _listen_for_silence(self, track: _Track) -> None:
        """A lively coin that falls silent may have lost its subscription without a word."""
        track.silent += 1
        if track.silent == SILENT_MINUTES:
            if track.lively >= LIVELY_MINUTES:
                self._ask(track.symbol, self._last_message)
            track.lively = 0

    def _gap(self, symbol: str, from_t: int, to_t: int, reason: str) -> None:
        last = self._out.gaps[-1] if self._out.gaps else None
        if last is not None and last.symbol == symbol and last.reason == reason and last.to_t == from_t:
            self._out.gaps[-1] = last._replace(to_t=to_t)
        elif to_t > from_t:
            self._out.gaps.append(Gap(symbol, from_t, to_t, reason))

    # subscriptions, mids, liveness

    def _other(self, message: Message, now_ms: int) -> None:
        match message:
            case AllMids(mids=mids):
                self._take_mids(mids, now_ms)
            case SubscriptionResponse(method="subscribe", type=kind, coin=coin):
                self._acknowledged(coin if kind == "candle" else None, now_ms, was_alive=False)
            case VenueError():
                self._complaint(message, now_ms)
            case Pong():
                self.pongs += 1
            case Banner():
                pass

    def _take_mids(self, mids: dict[str, str], now_ms: int) -> None:
        self._asked.pop(None, None)
        self._out.mids.update(mids)
        for symbol in mids.keys() & self._tracks.keys():
            try:
                self._mids[symbol] = float(mids[symbol])
            except ValueError:
                self._reject("bad_mid", f"{symbol} {mids[symbol]}")

    def _acknowledged(self, coin: str | None, now_ms: int, *, was_alive: bool) -> None:
        was_asked = self._asked.pop(coin, None) is not None
        track = self._tracks.get(coin) if coin is not None else None
        if track is None or (was_alive and track.live_since is not None) or not (was_asked or track.live_since is None):
            return
        # a fresh acknowledgement proves nothing about the time before it
        track.live_since = self._venue(now_ms)
        track.clean_from = max(track.clean_from, track.live_since)
        track.unproven.clear()

    def _complaint(self, message: VenueError, now_ms: int) -> None:
        subscription = message.subscription
        if subscription is not None and message.text.startswith("Already subscribed"):
            self._acknowledged(subscription.coin, now_ms, was_alive=True)
        elif not message.text.startswith("Already unsubscribed"):
            self._reject("venue_error", message.text)

    def _ask(self, symbol: str | None, now_ms: int) -> None:
        if self.is_open:
            self._asked[symbol] = now_ms
            self._out.send.append(subscribe(symbol, kind="candle" if symbol is not None else "allMids"))

    def _ask_again(self, now_ms: int) -> None:
        limit = now_ms - self.policy.subscribe_timeout_ms
        for symbol in [symbol for symbol, asked_at in self._asked.items() if asked_at <= limit]:
            self._reject("subscription_unanswered", symbol or "allMids")
            self._ask(symbol, now_ms)

    def _drop(self, symbol: str) -> None:
        track = self._tracks.pop(symbol)
        self._proving.discard(track)
        self._asked.pop(symbol, None)
        if self.is_open:
            self._out.send.append(subscribe(symbol, method="unsubscribe"))

    def _keep_alive(self, now_ms: int) -> None:
        silence = now_ms - self._last_message
        patience = self.policy.silence_ms // 3
        if silence > self.policy.silence_ms:
            self._out.reconnect = "stall"
        elif now_ms - self._last_ping >= (patience if silence > patience else self.policy.ping_ms):
            self._last_ping = now_ms
            self._out.send.append(PING)

    def _venue(self, now_ms: int) -> int:
        return now_ms + self.skew.ms

    def _reject(self, reason: str, sample: str) -> None:
        self.counts.refused += 1
        before = self._refused.get(reason, Refused(reason, sample, 0))
        self._refused[reason] = before._replace(times=before.times + 1)
