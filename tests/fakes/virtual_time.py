"""A clock and a `sleep` that belong together: time passes only when every task of the test is asleep."""

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any

IDLE_TURNS = 50
"""Turns of the event loop after which tasks that do no real I/O have all come to rest."""


class VirtualTime:
    """Both a `Clock` and the sleep of whoever waits; `run` drives tasks to their end."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = 0

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._now_ms + max(round(seconds * 1000), 1), self._order, woken))
        await woken

    async def run(self, *work: Coroutine[Any, Any, Any]) -> list[Any]:
        tasks = [asyncio.ensure_future(job) for job in work]
        while True:
            for _ in range(IDLE_TURNS):
                await asyncio.sleep(0)
            if all(task.done() for task in tasks):
                return [task.result() for task in tasks]
            assert self._sleepers, "every task waits and nobody sleeps"
            self._now_ms, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
