"""The replayed venue: one time, one market, its listeners, and everything that is due while time moves."""

import asyncio
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from clash_pipeline.clock import MINUTE_MS, minute_of
from clash_pipeline.replay import contexts, garbage
from clash_pipeline.replay.faults import Fault, FaultBook
from clash_pipeline.replay.frames import Running, candle_frame
from clash_pipeline.replay.history import INTERVALS, bar_at, length_at
from clash_pipeline.replay.live import LiveMarket
from clash_pipeline.replay.numerals import key_of
from clash_pipeline.replay.sessions import Key, Refusal, Session, echo, error, parsed, subscription_key
from clash_pipeline.replay.truth import Asset, MarketTruth
from clash_pipeline.replay.weight import WeightWindow

MIDS_EVERY_MS = 5_000
"""Rhythm of `allMids` and `activeAssetCtx` messages; the venue's own is faster."""
IDLE_SEC = 60.0
MOST_CONNECTIONS = 10
MOST_SUBSCRIPTIONS = 1_000
DRAIN_SEC = 30.0
"""A peer that takes no byte for this long of real time while frames wait is dropped."""
DRAIN_EVERY = 512
HELD_AT_MOST_MS = 4_000
"""Re-ordering stays below the 5 s of grace a minute has: later, no reader could tell silence from truth."""
STREAMS = frozenset({"candle", "allMids", "activeAssetCtx", "bbo"})

Listeners = dict[Key, list[Session]]


class Moment(NamedTuple):
    """Something due at a time: a candle state, a beat of the mids, a fault, or messages that were held back."""

    at: int
    rank: int
    order: int
    subject: Any


class Speech(NamedTuple):
    """A candle state to be spoken."""

    asset: Asset
    state: Running


class Venue:
    """Everything behind the one port of `clash venue`."""

    def __init__(self, truth: MarketTruth, *, faults: FaultBook | None = None, most_frames: int = 4) -> None:
        self.market = LiveMarket(truth, most_frames)
        self.now_ms = truth.start_ms
        self.faults = faults or FaultBook(truth.seed)
        self.weight = WeightWindow()
        self.sessions: dict[int, Session] = {}
        self.requests: Counter[str] = Counter()
        self.frames: Counter[str] = Counter()
        self.connections_total = 0
        self.refused_connections = 0
        self.dropped_connections = 0
        self._held: list[Moment] = []
        self._orders = 0
        self._moving = asyncio.Lock()

    # --- time

    async def advance(self, to_ms: int) -> None:
        """Move venue time and hand every message due by then to the sockets, in order; backwards only time moves."""
        async with self._moving:
            if to_ms <= self.now_ms:
                self.now_ms = to_ms
                self._held.clear()
                return
            while self.now_ms < to_ms:
                until = min(to_ms, minute_of(self.now_ms) + MINUTE_MS)
                await self._pass_through(self.now_ms, until)
                self.now_ms = until
            await self._drained()

    async def _pass_through(self, after_ms: int, until_ms: int) -> None:
        """Say everything due in (after, until]; both lie in one minute."""
        listeners = self._listeners()
        for count, moment in enumerate(self._merged(self._due(listeners, after_ms, until_ms), until_ms), 1):
            self.now_ms = moment.at
            self._release_stalls()
            self._happen(moment, listeners)
            if isinstance(moment.subject, Fault):
                listeners = self._listeners()
            if count % DRAIN_EVERY == 0:
                await self._drained()
                listeners = self._listeners()
        self.now_ms = until_ms
        self._release_stalls()

    def _due(self, listeners: Listeners, after_ms: int, until_ms: int) -> list[Moment]:
        beats = range(after_ms - after_ms % MIDS_EVERY_MS + MIDS_EVERY_MS, until_ms + 1, MIDS_EVERY_MS)
        moments = [
            Moment(at, 0, index, fault) for index, (at, fault) in enumerate(self.faults.moments(after_ms, until_ms))
        ]
        moments += [Moment(at, 2, 0, None) for at in beats]
        coins = {key[1] for key in listeners if key[0] in ("candle", "bbo")}
        for order, asset in enumerate(self.market.trading):
            if asset.symbol not in coins:
                continue
            for t in (minute_of(after_ms) - MINUTE_MS, minute_of(after_ms)):
                moments += [
                    Moment(state.at, 1, order, Speech(asset, state))
                    for state in self.market.frames(asset, t)
                    if after_ms < state.at <= until_ms
                ]
        return sorted(moments, key=lambda moment: moment[:3])

    def _merged(self, due: Iterable[Moment], until_ms: int) -> Iterator[Moment]:
        """What is due and what was held back, by time; happening moments may hold back more."""
        for moment in due:
            while self._held and self._held[0].at <= moment.at:
                yield heapq.heappop(self._held)
            yield moment
        while self._held and self._held[0].at <= until_ms:
            yield heapq.heappop(self._held)

    def _happen(self, moment: Moment, listeners: Listeners) -> None:
        subject = moment.subject
        if subject is None:
            self._beat(listeners)
        elif isinstance(subject, Fault):
            self._strike(subject)
        elif isinstance(subject, Speech):
            self._speak(subject, listeners)
        else:
            key, message = subject
            self._say(key, message, listeners)

    async def _drained(self) -> None:
        for session in list(self.sessions.values()):
            await session.drain(DRAIN_SEC)

    # --- messages

    def _listeners(self) -> Listeners:
        found: Listeners = defaultdict(list)
        for session in self.sessions.values():
            if session.is_open:
                for key in session.subscriptions:
                    found[key].append(session)
        return dict(found)

    def _say(self, key: Key, message: str | bytes, listeners: Listeners) -> None:
        for session in listeners.get(key, ()):
            session.push(message)
            self.frames[key[0]] += 1

    def _speak(self, speech: Speech, listeners: Listeners) -> None:
        asset, state = speech
        key = ("candle", asset.symbol, "1m")
        if key in listeners:
            for message in self._spoken(asset, state, key):
                self._say(key, message, listeners)
        for other in [key for key in listeners if key[0] == "candle" and key[1] == asset.symbol and key[2] != "1m"]:
            bar = bar_at(self.market, asset, other[2], self.now_ms)
            if bar is not None:
                self._say(other, candle_frame(asset.symbol, bar, other[2], length_at(other[2], bar.t)), listeners)
        book = ("bbo", asset.symbol, "")
        if book in listeners:
            self._say(book, contexts.bbo_frame(asset, float(state.c), self.now_ms), listeners)

    def _spoken(self, asset: Asset, state: Running, key: Key) -> list[str | bytes]:
        """The messages one candle state becomes, with the faults that are on."""
        frame = candle_frame(asset.symbol, state)
        if not self.faults.speaking(self.now_ms):
            return [frame]
        identity = (asset.symbol, state.t, state.n)
        if self._strikes("reorder", asset, identity):
            wait = 200 + key_of(0, "held", *identity) % (HELD_AT_MOST_MS - 200)
            self._hold(self.now_ms + wait, (key, frame))
            return []
        messages: list[str | bytes] = [frame]
        if self._strikes("truncate", asset, identity):
            messages = [frame[: 1 + key_of(0, "cut", *identity) % (len(frame) - 2)]]
        if self._strikes("duplicate", asset, identity):
            messages += messages
        if self._strikes("old", asset, identity):
            messages += self._old_frame(asset, state)
        if self._strikes("future", asset, identity):
            ahead = (10 + state.n % 50) * MINUTE_MS
            messages.append(candle_frame(asset.symbol, state._replace(t=state.t + ahead)))
        if self._strikes("garbage", asset, identity):
            messages.append(garbage.message(asset.symbol, state, key_of(0, *identity)))
        return messages

    def _strikes(self, kind: str, asset: Asset, identity: tuple[str, int, int]) -> bool:
        return self.faults.striking(kind, self.now_ms, *identity, target=asset.symbol) is not None

    def _hold(self, at: int, subject: Any) -> None:
        self._orders += 1
        heapq.heappush(self._held, Moment(at, 3, self._orders, subject))

    def _old_frame(self, asset: Asset, state: Running) -> list[str]:
        past = state.t - (2 + state.n % 28) * MINUTE_MS
        states = self.market.frames(asset, past)
        return [candle_frame(asset.symbol, states[-1])] if states else []

    def _beat(self, listeners: Listeners) -> None:
        for key in listeners:
            if key[0] in ("allMids", "activeAssetCtx"):
                message = self._standing(key)
                if message is not None:
                    self._say(key, message, listeners)

    def _standing(self, key: Key) -> str | None:
        """What a stream says of the present: sent on subscription and with each beat."""
        if key[0] == "allMids":
            return contexts.mids_frame(self.market.mids(self.now_ms))
        if key[0] == "activeAssetCtx":
            return contexts.context_frame(self.market, self.market.by_symbol[key[1]], self.now_ms)
        return None

    # --- connections

    def admits(self) -> bool:
        """Whether a new WebSocket is taken at present."""
        is_down = self.faults.striking("outage", self.now_ms, "ws", self.connections_total, target="hyperliquid")
        if is_down or len(self.sessions) >= MOST_CONNECTIONS:
            self.refused_connections += 1
            return False
        return True

    def connect(self, session: Session) -> None:
        """Take a connection in."""
        self.connections_total += 1
        self.sessions[session.number] = session

    def disconnect(self, session: Session) -> None:
        """Forget a connection."""
        session.is_open = False
        self.sessions.pop(session.number, None)

    def close_idle(self, now_sec: float) -> None:
        """Close connections that had nothing to say for a minute of real time (sources 1.2)."""
        for session in self.sessions.values():
            if now_sec - session.spoke_at > IDLE_SEC:
                session.close()

    def receive(self, session: Session, message: str) -> None:
        """Answer one message of a client."""
        try:
            self._answer(session, parsed(message))
        except Refusal as refusal:
            session.push(error(str(refusal)))

    def _answer(self, session: Session, request: dict[str, Any]) -> None:
        method = request.get("method")
        if method == "ping":
            session.push('{"channel":"pong"}')
        elif method == "subscribe":
            self._subscribe(session, request.get("subscription"))
        elif method == "unsubscribe":
            self._unsubscribe(session, request.get("subscription"))
        else:
            raise Refusal(f"Error parsing JSON into valid websocket request: {request}"[:240])

    def _subscribe(self, session: Session, subscription: Any) -> None:
        key = subscription_key(subscription)
        shown = _shown(subscription)
        if key is None or not self._is_spoken(key):
            raise Refusal(f"Invalid subscription {shown}")
        times = sum(session.sent.values())
        session.sent["subscribe"] += 1
        if self.faults.striking("mute_subscription", self.now_ms, key[1], times, target=key[1]):
            return
        if self.faults.striking("refuse_subscription", self.now_ms, key[1], times, target=key[1]):
            raise Refusal(f"Invalid subscription {shown}")
        if key in session.subscriptions:
            raise Refusal(f"Already subscribed: {shown}")
        if sum(len(other.subscriptions) for other in self.sessions.values()) >= MOST_SUBSCRIPTIONS:
            raise Refusal(f"Cannot track more than {MOST_SUBSCRIPTIONS} total subscriptions.")
        session.subscriptions[key] = subscription
        session.push(echo("subscribe", subscription))
        standing = self._standing(key)
        if standing is not None:
            session.push(standing)

    def _unsubscribe(self, session: Session, subscription: Any) -> None:
        key = subscription_key(subscription)
        if key is None or session.subscriptions.pop(key, None) is None:
            raise Refusal(f"Already unsubscribed: {_shown(subscription)}")
        session.push(echo("unsubscribe", subscription))

    def _is_spoken(self, key: Key) -> bool:
        kind, coin, interval = key
        if kind == "allMids":
            return True
        return kind in STREAMS and coin in self.market.by_symbol and (kind != "candle" or interval in INTERVALS)

    # --- faults of the link

    def strike_due_faults(self) -> None:
        """Let faults that were added for right now strike without waiting for time to move."""
        for at, fault in self.faults.moments(self.now_ms - 1, self.now_ms):
            if at == self.now_ms and not fault.hits:
                self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        if fault.count is not None and fault.hits >= fault.count:
            return
        if fault.kind == "lose_subscription":
            fault.hits += 1
            self._lose(fault)
        elif fault.kind == "stall":
            fault.hits += 1
            self._stall(fault)
        elif fault.kind == "outage":
            if fault.target in (None, "hyperliquid"):
                self._drop_all()
        elif self.faults.says_yes(fault, self.now_ms):
            fault.hits += 1
            self._drop_all()

    def _lose(self, fault: Fault) -> None:
        for session in self.sessions.values():
            for key in [key for key in session.subscriptions if key[0] == "candle"]:
                is_meant = fault.target == key[1] if fault.target else self.faults.says_yes(fault, key[1], fault.hits)
                if is_meant:
                    del session.subscriptions[key]

    def _stall(self, fault: Fault) -> None:
        length = (fault.to_ms or self.now_ms) - fault.from_ms
        for session in self.sessions.values():
            if fault.value == "wall":
                session.stall(None)
                asyncio.get_running_loop().call_later(length / 1000, session.flow)
            else:
                session.stall(self.now_ms + length)

    def _release_stalls(self) -> None:
        for session in self.sessions.values():
            if session.stalled_until_ms is not None and self.now_ms >= session.stalled_until_ms:
                session.flow()

    def _drop_all(self) -> None:
        for session in self.sessions.values():
            session.close()
        self.dropped_connections += len(self.sessions)

    # --- what a test or a person may ask

    def stats(self) -> dict[str, Any]:
        """Counts since the start."""
        return {
            "nowMs": self.now_ms,
            "connections": len(self.sessions),
            "connectionsTotal": self.connections_total,
            "connectionsRefused": self.refused_connections,
            "connectionsDropped": self.dropped_connections,
            "subscriptions": sum(len(session.subscriptions) for session in self.sessions.values()),
            "frames": dict(self.frames),
            "requests": dict(self.requests),
            "weight": {
                "limit": self.weight.limit,
                "window": self.weight.used(self.now_ms),
                "highestWindow": self.weight.highest,
                "refused": self.weight.refused,
                "byMinute": {str(t): weight for t, weight in sorted(self.weight.by_minute.items())},
            },
            "faults": self.faults.listed(),
        }


def _shown(subscription: Any) -> str:
    return msgspec.json.encode(subscription).decode()[:300]
