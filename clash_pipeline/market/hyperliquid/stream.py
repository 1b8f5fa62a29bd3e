"""The candle stream as a state machine without I/O: frames, connection events and time in; closed minutes, gaps and
subscriptions out.

A minute settles once its end has passed by the grace, by venue time. It is *final* when the coin's subscription
provably lived through it: acknowledged before the minute began, nothing malformed, re-ordered, stalled or reconnected
since, a frame of a later minute has come, and some message after the grace. Without that proof a traded minute is
stored open to confirmation, a silent one as a flat row likewise, and a minute we may have missed becomes a gap.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.market.candles import Candle, problem, problem_after
from clash_pipeline.market.hyperliquid.coin import ClosedMinute, Coin
from clash_pipeline.market.hyperliquid.skew import SkewEstimate
from clash_pipeline.market.hyperliquid.wire import (
    PING,
    AllMids,
    CandleFrames,
    Message,
    Pong,
    SubscriptionResponse,
    VenueError,
    WireRejection,
    decode_frame,
    subscribe,
)
from clash_pipeline.units import Grid

MOST_SUBSCRIPTIONS = 1_000
"""Of one address, the one for the mids included (sources 1.10)."""
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


class CandleStream:
    """One connection's worth of candle subscriptions; times are our clock's, epoch ms."""

    def __init__(self, policy: StreamPolicy | None = None) -> None:
        self.policy = policy or StreamPolicy()
        self.counts = Counts()
        self.skew = SkewEstimate()
        self.is_open = False
        self.pongs = 0
        """Answers to our pings on this connection."""
        self._coins: dict[str, Coin] = {}
        self._asked: dict[str | None, int] = {}
        self._mids: dict[str, float] = {}
        self._proving: set[Coin] = set()
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
        for symbol in self._coins.keys() - wanted.keys():
            self._drop(symbol)
        for symbol, grid in wanted.items():
            coin = self._coins.get(symbol)
            if coin is None:
                self._coins[symbol] = Coin(symbol, grid, minute_of(self._venue(now_ms)))
                self._ask(symbol, now_ms)
            else:
                coin.grid = grid
        self.skew.expect(len(self._coins))
        self._settled_t = self._settled_t or minute_of(self._venue(now_ms))

    def seed(self, symbol: str, next_t: int, last_close: str | None) -> None:
        """Go on from the memory: the coin's first minute that is not in it, and the close before that."""
        coin = self._coins[symbol]
        coin.next_t = next_t
        coin.closes_at(last_close, self.policy.jump_pct)

    def learn_close(self, symbol: str, t: int, close: str) -> None:
        """Take a repaired minute's close as the price of the silence after it."""
        coin = self._coins.get(symbol)
        if coin is not None and coin.last_close is None and t == coin.next_t - MINUTE_MS:
            coin.closes_at(close, self.policy.jump_pct)

    def suspect(self, symbol: str, now_ms: int) -> None:
        """Ask again for a coin whose subscription seems to have been lost; the answer shows whether it was."""
        if symbol in self._coins and symbol not in self._asked:
            self._ask(symbol, now_ms)

    @property
    def symbols(self) -> list[str]:
        """The coins followed."""
        return list(self._coins)

    @property
    def live(self) -> int:
        """How many coins have an acknowledged subscription."""
        return sum(coin.live_since is not None for coin in self._coins.values())

    def unanswered(self, now_ms: int) -> list[str]:
        """Coins whose subscription is not acknowledged although the time for it has passed."""
        limit = now_ms - self.policy.subscribe_timeout_ms
        waiting = (coin for coin in self._coins.values() if coin.live_since is None)
        return [coin.symbol for coin in waiting if coin.clean_from < limit]

    # connection events

    def opened(self, now_ms: int) -> None:
        """A connection stands: subscribe to everything."""
        self.is_open = True
        self.pongs = 0
        self._last_message = self._last_ping = now_ms
        self._asked.clear()
        for symbol in (None, *self._coins):
            self._ask(symbol, now_ms)

    def closed(self, now_ms: int, reason: str) -> None:
        """The connection is gone: whatever was not settled by its last message is a gap."""
        if not self.is_open:
            return
        self.is_open = False
        self._asked.clear()
        self._proving.clear()
        self._out.send.clear()
        self._out.reconnect = None
        venue_ms = self._venue(now_ms)
        heard_t = minute_of(self._venue(self._last_message))
        for coin in self._coins.values():
            if coin.lose(venue_ms):
                self._gap(coin.symbol, min(coin.next_t, heard_t), minute_of(venue_ms) + MINUTE_MS, reason)

    def receive(self, raw: str | bytes, now_ms: int) -> None:
        """Take one text frame."""
        self.counts.messages += 1
        self._last_message = now_ms
        try:
            message = decode_frame(raw)
        except WireRejection as rejection:
            self.refuse(rejection.reason, rejection.sample, now_ms)
            return
        if isinstance(message, Candle):
            self._take(message, now_ms)
        elif isinstance(message, CandleFrames):
            for candle in message.candles:
                self._take(candle, now_ms)
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

    def _take(self, candle: Candle, now_ms: int) -> None:
        self.counts.frames += 1
        coin = self._coins.get(candle.symbol)
        if coin is None:
            self._reject("unknown_coin", repr(candle))
            return
        t, running = candle.t, coin.running
        is_running = running is not None and running.t == t
        known = running if is_running else coin.known(t)
        if known is not None and candle.n <= known.n and self._is_no_news(coin, known, candle, now_ms):
            return
        skew = self.skew
        is_timely = -MINUTE_MS <= t - now_ms - skew.ms <= 0 and not skew.is_disputed
        reason = None if is_timely else self._untimely(coin, t, now_ms)
        if reason is None:
            reason = self._unfit(coin, candle, known)
        if reason is not None:
            self._reject(reason, repr(candle))
            coin.taint(self._venue(now_ms))
        elif is_running and t >= coin.next_t:
            coin.running = candle
        elif t < coin.next_t:
            self._correct(coin, candle)
        elif coin.place(candle) and coin.unproven:
            self._proving.add(coin)

    def _is_no_news(self, coin: Coin, known: Candle, candle: Candle, now_ms: int) -> bool:
        """A duplicate changes nothing; an older state shows that the link re-orders."""
        if candle.n == known.n:
            is_duplicate = candle == known
            self.counts.duplicates += is_duplicate
            return is_duplicate
        self.counts.older += 1
        coin.taint(self._venue(now_ms))
        return True

    def _untimely(self, coin: Coin, t: int, now_ms: int) -> str | None:
        """Whether a minute lies too far ahead; its frame also says something about our clock."""
        skew = self.skew
        if t - now_ms - skew.ms > self.policy.future_ms:
            return "future"
        if self.policy.is_skew_estimated:
            if coin.running is None or t >= coin.running.t:
                skew.observe(coin.symbol, t, now_ms)
            if t - now_ms - skew.ms > EARLY_MS:
                return "early"
        return None

    def _unfit(self, coin: Coin, candle: Candle, known: Candle | None) -> str | None:
        if known is None:
            reason = problem(candle, MINUTE_MS, coin.grid)
        else:
            reason = problem_after(candle, known, MINUTE_MS, coin.grid)
            if candle.c == known.c:
                return reason
        if reason is None and not coin.lowest <= float(candle.c) <= coin.highest:
            return self._jump(candle)
        return reason

    def _jump(self, candle: Candle) -> str | None:
        """A jump counts only against both witnesses; without a mid the minute is left to confirmation."""
        mid = self._mids.get(candle.symbol)
        if mid is None or abs(float(candle.c) - mid) * 100 <= mid * self.policy.jump_pct:
            return None
        return "price_jump"

    def _correct(self, coin: Coin, candle: Candle) -> None:
        """A frame of a settled minute: more trades than we knew of make a correction, unless it was already final."""
        settled = coin.settled.get(candle.t)
        if settled is None:
            self.counts.older += 1
        elif settled.final:
            self._reject("after_final", repr(candle))
        else:
            self._out.minutes.append(coin.correct(candle, self.policy.jump_pct))
            if coin.running is not None and coin.running.t == candle.t:
                coin.running = candle

    # settling

    def _settled_end(self, venue_ms: int) -> int:
        """Where the settled minutes end now; a sign of life from after the grace is worth a moment's patience."""
        end_t = minute_of(venue_ms - self.policy.grace_ms)
        is_late = venue_ms - end_t - self.policy.grace_ms >= PATIENCE_MS
        return end_t if is_late or not self.is_open or self._heard_to() >= end_t else end_t - MINUTE_MS

    def _heard_to(self) -> int:
        """The end of the minutes after whose grace a message came: all that was sent before it has come too."""
        return minute_of(self._venue(self._last_message) - self.policy.grace_ms)

    def _settle_to(self, end_t: int) -> None:
        if end_t <= self._settled_t:
            return
        self._settled_t = end_t
        heard_to = self._heard_to() if self.policy.is_final_by_stream else 0
        for coin in self._coins.values():
            while coin.next_t < end_t:
                self._settle(coin, coin.next_t, heard_to)
        self._out.settled_to = end_t

    def _settle(self, coin: Coin, t: int, heard_to: int) -> None:
        minute = coin.settle(t >= self._clean_from, t < heard_to, self.policy.jump_pct)
        if minute is None:
            self._gap(coin.symbol, t, t + MINUTE_MS, "missed" if self.is_open else "disconnect")
            return
        self._out.minutes.append(minute)
        if minute.origin == "flat":
            if coin.fell_silent:
                self._ask(coin.symbol, self._last_message)
        elif coin.running is not None and coin.running.t > t and coin.unproven:
            self._proving.add(coin)

    def _prove(self) -> None:
        """Minutes that settled before a later frame or sign of life came are final now, if nothing went wrong since."""
        if not self._proving or not self.policy.is_final_by_stream:
            return
        heard_to = self._heard_to()
        for coin in list(self._proving):
            self._out.minutes += coin.prove(self._clean_from, heard_to)
            if not coin.unproven:
                self._proving.discard(coin)

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
                self._take_mids(mids)
            case SubscriptionResponse(method="subscribe", type=kind, coin=symbol):
                self._acknowledged(symbol if kind == "candle" else None, now_ms)
            case VenueError():
                self._complaint(message, now_ms)
            case Pong():
                self.pongs += 1
            case _:  # the greeting, and answers to what we no longer want
                pass

    def _take_mids(self, mids: dict[str, str]) -> None:
        self._asked.pop(None, None)
        self._out.mids.update(mids)
        for symbol in mids.keys() & self._coins.keys():
            try:
                self._mids[symbol] = float(mids[symbol])
            except ValueError:
                self._reject("bad_mid", f"{symbol} {mids[symbol]}")

    def _acknowledged(self, symbol: str | None, now_ms: int) -> None:
        was_asked = self._asked.pop(symbol, None) is not None
        coin = self._coins.get(symbol) if symbol is not None else None
        if coin is not None and (was_asked or coin.live_since is None):
            coin.acknowledge(self._venue(now_ms))

    def _complaint(self, message: VenueError, now_ms: int) -> None:
        subscription = message.subscription
        if subscription is not None and message.text.startswith("Already subscribed"):
            coin = self._coins.get(subscription.coin or "")
            if coin is None or coin.live_since is None:
                self._acknowledged(subscription.coin, now_ms)
            else:
                self._asked.pop(subscription.coin, None)  # it lived all the time
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
        self._proving.discard(self._coins.pop(symbol))
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
