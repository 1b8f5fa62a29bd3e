"""Hyperliquid's `/info` by hand: prepared answers, or a venue that counts weight and refuses what is over its limit."""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from clash_pipeline.market.http import VenueUnavailable

MINUTE_MS = 60_000
RECORDED = {
    "meta": "meta.json",
    "spotMeta": "spot_meta.json",
    "metaAndAssetCtxs": "meta_and_asset_ctxs.json",
    "spotMetaAndAssetCtxs": "spot_meta_and_asset_ctxs.json",
    "predictedFundings": "predicted_fundings.json",
    "allMids": "all_mids.json",
}


class PreparedInfo:
    """Answers by question; an answer that is an exception is raised. Remembers what was asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.asked: list[dict[str, Any]] = []

    @classmethod
    def recorded(cls, recordings: Path) -> "PreparedInfo":
        return cls({kind: (recordings / "hyperliquid" / name).read_bytes() for kind, name in RECORDED.items()})

    async def post_bytes(self, url: str, body: Any) -> bytes:
        self.asked.append(body)
        answer = self.answers[body["type"]]
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else msgspec.json.encode(answer)


class WeighedInfo:
    """Counts weight as it arrives, over any 60 s, and answers 429 above the limit; answers take some time."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
        *,
        limit: int = 1_200,
        latency_ms: int = 200,
        seed: int = 0,
    ) -> None:
        self._now_ms = now_ms
        self._sleep = sleep
        self._limit = limit
        self._latency_ms = latency_ms
        self._random = random.Random(seed)
        self._window: deque[tuple[int, int]] = deque()
        self.peak = 0
        self.total = 0
        self.refused = 0
        self.asked: list[str] = []

    async def post_bytes(self, url: str, body: Any) -> bytes:
        await self._sleep(self._random.uniform(0, self._latency_ms) / 1000)
        rows = _minutes(body["req"]) if body["type"] == "candleSnapshot" else []
        self._count(20 + -(-len(rows) // 60))
        self.asked.append(body["req"]["coin"] if rows else body["type"])
        await self._sleep(self._random.uniform(0, self._latency_ms) / 1000)
        return msgspec.json.encode(rows)

    def _count(self, weight: int) -> None:
        now = self._now_ms()
        while self._window and self._window[0][0] < now - MINUTE_MS:
            self._window.popleft()
        spent = sum(part for _, part in self._window) + weight
        if spent > self._limit:
            self.refused += 1
            raise VenueUnavailable("hyperliquid", "/info answered 429", retry_after_ms=5_000, status=429)
        self._window.append((now, weight))
        self.total += weight
        self.peak = max(self.peak, spent)


def _minutes(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    first = request["startTime"] // MINUTE_MS * MINUTE_MS
    last = min(request["endTime"] // MINUTE_MS * MINUTE_MS, first + 4_999 * MINUTE_MS)
    return [
        {"t": t, "T": t + MINUTE_MS - 1, "s": request["coin"], "i": "1m", "o": "2.0", "c": "2.5", "h": "3.0",
         "l": "1.5", "v": "10.0", "n": 4}
        for t in range(first, last + 1, MINUTE_MS)
    ]  # fmt: skip
