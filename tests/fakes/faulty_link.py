"""A venue in virtual time over a `CandleTruth`: a link with the faults of 09 D1, a history with those of 09 §6.6."""

import heapq
import json
import random
from collections.abc import Mapping
from typing import Any

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market.candles import Candle
from clash_pipeline.market.http import VenueMalformed, VenueUnavailable
from tests.fakes.candle_truth import CandleTruth, frame

MIDS_EVERY_MS = 5_000
HELD_AT_MOST_MS = 4_000
"""Re-ordering stays below the grace of a minute: a later frame could not be told from one that never came."""
EACH_MINUTE = {"drop": 0.04, "stall": 0.04, "lose": 0.04}
EACH_FRAME = {"duplicate": 0.03, "reorder": 0.04, "truncate": 0.002, "old": 0.01, "future": 0.01, "garbage": 0.004}
EACH_ANSWER = {"refused": 0.1, "malformed": 0.03, "empty": 0.05, "partial": 0.1}
GARBAGE = (
    "{", "[]", "null", '{"channel":"candle"}', '{"channel":"candle","data":7}', '{"channel":"news","data":{}}',
    '{"channel":"candle","data":{"t":1,"T":2,"s":"C00","i":"1m","o":1,"c":1,"h":1,"l":1,"v":1,"n":1}}',
)  # fmt: skip


class FaultyLink:
    """The socket's other end. `mischief` scales every rate; a rate given by name replaces the usual one."""

    def __init__(self, truth: CandleTruth, seed: int, rates: Mapping[str, float] | None = None) -> None:
        self.truth = truth
        self.now_ms = truth.start_t
        self.is_open = False
        self.behaves = False
        self.struck: dict[str, int] = {}
        self._rates = {**EACH_MINUTE, **EACH_FRAME, **EACH_ANSWER, "swallow": 0.0, **(rates or {})}
        self._chance = random.Random(f"link {seed}")
        self._subscribed: set[str] = set()
        self._position = 0
        self._order = 0
        self._held: list[tuple[int, int, str]] = []
        self._stalled_until = 0
        self._backlog: list[str] = []
        self._past: dict[str, list[Candle]] = {}

    # what the client does

    def open(self) -> None:
        """Accept a new connection."""
        self.is_open = True
        self._forget_connection()

    def close(self) -> None:
        """The client went away."""
        self.is_open = False
        self._forget_connection()

    def send(self, message: bytes) -> None:
        """Take a message of the client; the answer comes with the next frames."""
        request: dict[str, Any] = json.loads(message)
        if request["method"] == "ping":
            self._say('{"channel":"pong"}')
            return
        wanted = request["subscription"]
        coin = wanted.get("coin")
        if coin is not None and coin in self._subscribed:
            text = f"Already subscribed: {json.dumps(wanted)}"
            self._say(json.dumps({"channel": "error", "data": text}))
            return
        if self._strikes("mute"):
            return
        if coin is not None:
            self._subscribed.add(coin)
        self._say(json.dumps({"channel": "subscriptionResponse", "data": request}))

    # time

    def skip_to(self, now_ms: int) -> None:
        """Go on from a later moment, as for a client that starts then."""
        self.now_ms = now_ms
        while self._position < len(self.truth.states) and self.truth.states[self._position][0] <= now_ms:
            self._position += 1

    def advance(self, to_ms: int) -> list[tuple[int, str]]:
        """What reaches the client until then, each with its moment."""
        reached: list[tuple[int, str]] = []
        while self.now_ms < to_ms:
            self.now_ms = min(to_ms, self.now_ms + 1_000)
            if self.now_ms % MINUTE_MS < 1_000:
                self._each_minute()
            self._speak()
            if self.now_ms >= self._stalled_until and self._backlog:
                reached += [(self.now_ms, text) for text in self._backlog]
                self._backlog.clear()
        return reached if self.is_open else []

    def _speak(self) -> None:
        states = self.truth.states
        while self._position < len(states) and states[self._position][0] <= self.now_ms:
            candle = states[self._position][1]
            self._position += 1
            if candle.symbol in self._subscribed:
                self._frames(candle)
            self._past.setdefault(candle.symbol, []).append(candle)
        while self._held and self._held[0][0] <= self.now_ms:
            self._say(heapq.heappop(self._held)[2])
        if self.now_ms % MIDS_EVERY_MS < 1_000:
            self._say('{"channel":"allMids","data":{"mids":{"C00":"100.0"}}}')

    def _frames(self, candle: Candle) -> None:
        if self._strikes("swallow"):
            return
        text = frame(candle)
        if self._strikes("truncate"):
            text = text[: self._chance.randrange(1, len(text) - 1)]
        if self._strikes("reorder"):
            self._order += 1
            heapq.heappush(self._held, (self.now_ms + self._chance.randint(0, HELD_AT_MOST_MS), self._order, text))
            return
        self._say(text)
        if self._strikes("duplicate"):
            self._say(text)
        if self._strikes("old") and candle.symbol in self._past:
            self._say(frame(self._chance.choice(self._past[candle.symbol])))
        if self._strikes("future"):
            self._say(frame(candle._replace(t=candle.t + self._chance.randint(3, 50) * MINUTE_MS, n=candle.n + 99)))
        if self._strikes("garbage"):
            self._say(self._chance.choice(GARBAGE))

    def _each_minute(self) -> None:
        if self._strikes("drop"):
            self.close()
        if self._strikes("stall"):
            self._stalled_until = self.now_ms + self._chance.randint(2, 40) * 1_000
        if self._strikes("lose") and self._subscribed:
            self._subscribed.discard(self._chance.choice(sorted(self._subscribed)))

    def _say(self, text: str) -> None:
        if self.is_open:
            self._backlog.append(text)

    def _forget_connection(self) -> None:
        self._subscribed.clear()
        self._held.clear()
        self._backlog.clear()
        self._stalled_until = 0

    def _strikes(self, fault: str) -> bool:
        if self.behaves or self._chance.random() >= self._rates.get(fault, 0.0):
            return False
        self.struck[fault] = self.struck.get(fault, 0) + 1
        return True

    # history

    async def candle_snapshot(
        self, coin: str, interval: str, from_t: int, to_t: int, *, rejected: list[Any] | None = None
    ) -> list[Candle]:
        """The history, or one of its faults."""
        assert interval == "1m"
        if self._strikes("refused"):
            raise VenueUnavailable("hyperliquid", "answered 503")
        if self._strikes("malformed"):
            raise VenueMalformed("hyperliquid", "the answer is not JSON: b'<html>'")
        rows = self.truth.snapshot(coin, from_t, to_t, self.now_ms)
        if self._strikes("empty"):
            return []
        return rows[: len(rows) // 2] if self._strikes("partial") else rows
