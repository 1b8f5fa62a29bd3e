"""One coin of the stream: its running minute, those that wait for their grace, and what can still be said of earlier
ones. Times are the venue's, epoch ms."""

from typing import NamedTuple

from clash_pipeline.clock import MINUTE_MS
from clash_pipeline.market.candles import Candle, flat
from clash_pipeline.units import Grid

REMEMBERED_MS = 5 * MINUTE_MS
"""So long can a settled minute still be corrected by a late frame."""
LIVELY_MINUTES = 10
"""A coin that traded in so many minutes on end should not fall silent."""
SILENT_MINUTES = 2


class ClosedMinute(NamedTuple):
    """A settled minute; `origin` is `stream` or `flat`. A later one of the same minute corrects or completes it."""

    candle: Candle
    origin: str
    final: bool


class Coin:
    """`next_t` is the first minute that is not settled; a minute that began before `clean_from` cannot become final."""

    __slots__ = (
        "clean_from", "grid", "highest", "last_close", "live_since", "lively", "lowest", "next_t", "running", "settled",
        "silent", "symbol", "unproven", "waiting",
    )  # fmt: skip

    def __init__(self, symbol: str, grid: Grid | None, next_t: int) -> None:
        self.symbol = symbol
        self.grid = grid
        self.next_t = next_t
        self.clean_from = next_t
        self.live_since: int | None = None
        self.running: Candle | None = None
        self.waiting: dict[int, Candle] = {}
        self.settled: dict[int, ClosedMinute] = {}
        self.unproven: dict[int, Candle] = {}
        self.last_close: str | None = None
        self.lowest, self.highest = 0.0, float("inf")
        """Closes outside of this are a jump."""
        self.lively = self.silent = 0

    def closes_at(self, close: str | None, jump_pct: int) -> None:
        """Remember the close that the next prices are compared with, or that it is not known."""
        self.last_close = close
        if close is not None:
            price = float(close)
            self.lowest, self.highest = price * (100 - jump_pct) / 100, price * (100 + jump_pct) / 100

    def taint(self, until_ms: int) -> None:
        """Nothing that overlaps the time until then is proven by the stream."""
        if until_ms >= self.clean_from:
            self.clean_from = until_ms + 1

    def acknowledge(self, at_ms: int) -> None:
        """A subscription begins; it proves nothing about the time before it."""
        self.live_since = at_ms
        self.clean_from = max(self.clean_from, at_ms)
        self.unproven.clear()

    def lose(self, at_ms: int) -> bool:
        """The connection is gone, and with it what was not settled; says whether there was anything to lose."""
        had_any = self.live_since is not None or self.running is not None
        self.live_since = self.running = None
        self.waiting.clear()
        self.unproven.clear()
        self.clean_from = at_ms + 1
        return had_any

    def known(self, t: int) -> Candle | None:
        """The last state of a minute other than the running one."""
        if t >= self.next_t:
            return self.waiting.get(t)
        settled = self.settled.get(t)
        return None if settled is None else settled.candle

    def place(self, candle: Candle) -> bool:
        """Put a new state of an unsettled minute in its place; says whether it is the first of a later minute."""
        running = self.running
        if running is None or candle.t > running.t:
            if running is not None and running.t >= self.next_t:
                self.waiting[running.t] = running
            self.running = candle
            return True
        if candle.t == running.t:
            self.running = candle
        else:
            self.waiting[candle.t] = candle
        return False

    def correct(self, candle: Candle, jump_pct: int) -> ClosedMinute:
        """A late frame of a settled minute that was not final."""
        self.unproven.pop(candle.t, None)
        if candle.t == self.next_t - MINUTE_MS:
            self.closes_at(candle.c, jump_pct)
        return self._settled(ClosedMinute(candle, "stream", False))

    def settle(self, is_clean: bool, is_heard: bool, jump_pct: int) -> ClosedMinute | None:
        """Settle the next minute; None where it may have been missed.

        `is_clean` says that nothing overlapped the minute on the whole link, `is_heard` that a message came after its
        grace. The candle is final if besides a later frame of the coin has come; otherwise it waits for that.
        """
        t = self.next_t
        self.next_t = t + MINUTE_MS
        is_clean = is_clean and self.live_since is not None and t >= self.clean_from
        running = self.running
        candle = running if running is not None and running.t == t else self.waiting.pop(t, None)
        if candle is not None:
            is_proven = is_clean and is_heard and running is not None and running.t > t
            if is_clean and not is_proven:
                self.unproven[t] = candle
            self.closes_at(candle.c, jump_pct)
            self.lively, self.silent = self.lively + 1, 0
            return self._settled(ClosedMinute(candle, "stream", is_proven))
        if is_clean and self.last_close is not None:
            self.silent += 1
            if self.silent > SILENT_MINUTES:
                self.lively = 0
            return self._settled(ClosedMinute(flat(self.symbol, t, self.last_close), "flat", False))
        self.last_close = None
        return None

    def prove(self, link_clean_from: int, heard_to: int) -> list[ClosedMinute]:
        """The minutes before `heard_to` that have become final, now that a later frame has come."""
        running = self.running
        if running is None:
            return []
        proven = []
        for t in [t for t in self.unproven if t < heard_to and t < running.t]:
            candle = self.unproven.pop(t)
            if t >= self.clean_from and t >= link_clean_from:
                proven.append(self._settled(ClosedMinute(candle, "stream", True)))
        return proven

    @property
    def fell_silent(self) -> bool:
        """Whether a lively coin has just fallen silent: it may have lost its subscription without a word."""
        return self.silent == SILENT_MINUTES and self.lively >= LIVELY_MINUTES

    def _settled(self, minute: ClosedMinute) -> ClosedMinute:
        t = minute.candle.t
        self.settled[t] = minute
        self.settled.pop(t - REMEMBERED_MS, None)
        return minute
