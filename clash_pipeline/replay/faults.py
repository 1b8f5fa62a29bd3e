"""Faults of the replayed venues: switchable while they run, each deterministic from the seed.

A fault is written `KIND[.TARGET][=VALUE][@OFFSET][:DURATION][%PERCENT][*COUNT]`, several with commas:
`drop@30m,stall@2h:120s,duplicate%5,429.hyperliquid@1h:5m,lose_subscription.BTC@10m`. Offsets count from the start of
the replay, or from now when added over `/faults`. Without a duration a fault lasts until it struck COUNT times, or for
ever; the kinds of `AT_ONCE` strike once at their offset.
"""

import re
from dataclasses import dataclass, field

from clash_pipeline.clock import HOUR_MS, MINUTE_MS, SECOND_MS
from clash_pipeline.replay.numerals import key_of, unit

AT_ONCE = {
    "drop": "close the WebSocket connections; with a duration, again and again (PERCENT of the 10-second beats)",
    "lose_subscription": "silently forget candle subscriptions (TARGET: one coin; PERCENT of the coins otherwise)",
    "stall": "send no byte to the connections that are open now (default 30 s of venue time; =wall: of real time)",
}
MESSAGES = {
    "duplicate": "send candle frames twice",
    "reorder": "hold candle frames back for up to 4 s, so that later ones overtake them",
    "truncate": "cut candle frames short",
    "old": "send frames of minutes long past beside the right ones",
    "future": "send frames of minutes far ahead beside the right ones",
    "garbage": "send nonsense beside the right frames: binary, wrong types, unknown channels and coins, bad prices",
}
LINK = {
    "outage": "answer 503 (=refuse: cut the connection) and, for Hyperliquid, drop and refuse WebSockets (60 s)",
    "mute_subscription": "ignore subscribe messages",
    "refuse_subscription": "answer subscribe messages with an error",
}
ANSWERS = {
    "429": "answer 429, every second time with Retry-After",
    "html": "answer 200 with a page of HTML",
    "slow": "answer after =SECONDS of real time (default 2)",
    "cut": "cut the answer's body in the middle",
    "redirect": "answer with a redirect",
    "huge": "answer with a body that does not end before 64 MB",
    "empty": "answer with an empty list",
    "partial": "leave out the second half of a list",
}
KINDS = AT_ONCE | MESSAGES | LINK | ANSWERS
VALUES = {"stall": "wall", "outage": "refuse", "slow": r"\d+(?:\.\d+)?"}
DEFAULT_DURATION_MS = {"stall": 30 * SECOND_MS, "outage": MINUTE_MS}
BEAT_MS = 10 * SECOND_MS

_UNITS = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS}
_TIME = r"\d+(?:ms|s|m|h)?"
_FORM = re.compile(
    rf"(?P<kind>[a-z0-9_]+)(?:\.(?P<target>[^=%*,]+?))?(?:=(?P<value>[a-z0-9.]+))?(?:@(?P<offset>{_TIME}))?"
    rf"(?::(?P<duration>{_TIME}))?(?:%(?P<percent>\d+(?:\.\d+)?))?(?:\*(?P<count>\d+))?"
)


class UnknownFault(ValueError):
    """A fault that is not written in the form, or of a kind that does not exist; names both."""


@dataclass
class Fault:
    """One fault with its window of venue time and how often it struck."""

    spec: str
    kind: str
    target: str | None
    value: str | None
    from_ms: int
    to_ms: int | None
    chance: float
    count: int | None
    number: int
    hits: int = field(default=0)

    def is_active(self, now_ms: int) -> bool:
        """Whether the window is open and the count is not used up."""
        within = self.from_ms <= now_ms and (self.to_ms is None or now_ms < self.to_ms)
        return within and (self.count is None or self.hits < self.count)

    def moments(self, after_ms: int, until_ms: int) -> list[int]:
        """When a fault of `AT_ONCE` strikes in (after, until]."""
        if self.to_ms is None or self.kind == "stall":
            return [self.from_ms] if after_ms < self.from_ms <= until_ms else []
        first = max(self.from_ms, after_ms + 1)
        first += -(first - self.from_ms) % BEAT_MS
        return list(range(first, min(self.to_ms, until_ms + 1), BEAT_MS))


class FaultBook:
    """The faults of one replay."""

    def __init__(self, seed: int = 0) -> None:
        self.faults: list[Fault] = []
        self._seed = seed
        self._numbers = 0

    def add(self, specification: str, origin_ms: int) -> list[Fault]:
        """Add the faults of a comma-separated list; offsets count from `origin_ms`.

        Raises:
            UnknownFault: nothing was added.
        """
        parsed = [_parsed(text.strip(), origin_ms) for text in specification.split(",") if text.strip()]
        for fault in parsed:
            fault.number = self._numbers
            self._numbers += 1
        self.faults += parsed
        return parsed

    def clear(self) -> None:
        """Behave from now on."""
        self.faults.clear()

    def striking(self, kind: str, now_ms: int, *key: int | str, target: str | None = None) -> Fault | None:
        """The first active fault of a kind whose dice say yes for this key; counts the hit."""
        for fault in self.faults:
            if fault.kind != kind or not fault.is_active(now_ms):
                continue
            if fault.target is not None and fault.target != target:
                continue
            if self.says_yes(fault, *key):
                fault.hits += 1
                return fault
        return None

    def says_yes(self, fault: Fault, *key: int | str) -> bool:
        """Throw the fault's dice for a key: the same key gives the same answer in every run of a seed."""
        return fault.chance >= 1 or unit(key_of(self._seed, fault.kind, fault.number, *key)) < fault.chance

    def speaking(self, now_ms: int) -> bool:
        """Whether any fault that changes messages is active."""
        return any(fault.kind in MESSAGES and fault.is_active(now_ms) for fault in self.faults)

    def moments(self, after_ms: int, until_ms: int) -> list[tuple[int, Fault]]:
        """The faults of `AT_ONCE` and the beginnings of outages in (after, until]."""
        found = [
            (at, fault) for fault in self.faults if fault.kind in AT_ONCE for at in fault.moments(after_ms, until_ms)
        ]
        found += [(f.from_ms, f) for f in self.faults if f.kind == "outage" and after_ms < f.from_ms <= until_ms]
        return found

    def listed(self) -> list[dict[str, object]]:
        """What is known of each fault, for `GET /faults`."""
        return [
            {"number": f.number, "fault": f.spec, "fromMs": f.from_ms, "toMs": f.to_ms, "hits": f.hits}
            for f in self.faults
        ]


def _parsed(text: str, origin_ms: int) -> Fault:
    match = _FORM.fullmatch(text)
    if match is None:
        raise UnknownFault(f"{text[:60]!r} is not KIND[.TARGET][=VALUE][@OFFSET][:DURATION][%PERCENT][*COUNT]")
    kind = match["kind"]
    if kind not in KINDS:
        raise UnknownFault(f"there is no fault {kind!r}: choose of {', '.join(KINDS)}")
    _check_value(kind, match["value"])
    from_ms = origin_ms + _milliseconds(match["offset"] or "0")
    length = _milliseconds(match["duration"]) if match["duration"] else DEFAULT_DURATION_MS.get(kind)
    chance = float(match["percent"]) / 100 if match["percent"] else 1.0
    count = int(match["count"]) if match["count"] else None
    to_ms = None if length is None else from_ms + length
    return Fault(text, kind, match["target"], match["value"], from_ms, to_ms, chance, count, 0)


def _check_value(kind: str, value: str | None) -> None:
    form = VALUES.get(kind, "")
    if value is not None and not re.fullmatch(form, value):
        raise UnknownFault(f"{kind} takes no value {value!r}" + (f": it must match {form}" if form else ""))


def _milliseconds(text: str) -> int:
    digits = text.rstrip("msh")
    return int(digits) * _UNITS[text[len(digits) :] or "s"]
