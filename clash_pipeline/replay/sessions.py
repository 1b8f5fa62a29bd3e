"""One WebSocket connection of the replayed Hyperliquid: its subscriptions, and the messages on their way to it."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

Send = Callable[[dict[str, Any]], Awaitable[None]]
Key = tuple[str, str, str]
"""Subscription type, coin (or empty) and interval (or empty)."""

BANNER = "Websocket connection established."
MOST_WAITING = 100_000


class Session:
    """A connection; messages wait in order until the socket takes them."""

    def __init__(self, number: int, send: Send) -> None:
        self.number = number
        self.subscriptions: dict[Key, dict[str, Any]] = {}
        self.sent: Counter[str] = Counter()
        self.is_open = True
        self.stalled_until_ms: int | None = None
        self.spoke_at = asyncio.get_running_loop().time()
        self._send = send
        self._waiting: deque[str | bytes] = deque()
        self._has_work = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_flowing = asyncio.Event()
        self._is_drained.set()
        self._is_flowing.set()

    @property
    def is_stalled(self) -> bool:
        """Whether bytes are held back at present."""
        return not self._is_flowing.is_set()

    def push(self, message: str | bytes) -> None:
        """Queue one message; a peer that never reads is dropped like on the real venue."""
        if not self.is_open:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.close()
            return
        self._waiting.append(message)
        self._has_work.set()
        self._is_drained.clear()

    async def drain(self, timeout_sec: float) -> None:
        """Wait until everything queued was handed to the socket; a peer that does not read in time is dropped."""
        if self.is_stalled or not self.is_open:
            return
        try:
            async with asyncio.timeout(timeout_sec):
                await self._is_drained.wait()
        except TimeoutError:
            self.close()

    def stall(self, until_ms: int | None) -> None:
        """Hold all bytes back, until a venue time or (None) until `flow`."""
        self.stalled_until_ms = until_ms
        self._is_flowing.clear()
        self._is_drained.set()

    def flow(self) -> None:
        """End a stall: what waited is sent late, as TCP does."""
        self.stalled_until_ms = None
        if self._waiting:
            self._is_drained.clear()
        self._is_flowing.set()

    def close(self) -> None:
        """Drop the connection after what was already handed over."""
        self.is_open = False
        if self.is_stalled:
            self._waiting.clear()
        self._has_work.set()
        self._is_flowing.set()

    async def send_all(self) -> None:
        """Hand messages to the socket until the connection is closed."""
        while True:
            await self._has_work.wait()
            await self._hand_over()
            if not self.is_open:
                self._is_drained.set()
                return

    async def _hand_over(self) -> None:
        while self._waiting:
            await self._is_flowing.wait()
            if not self._waiting:
                break
            message = self._waiting.popleft()
            kind = "bytes" if isinstance(message, bytes) else "text"
            await self._send({"type": "websocket.send", kind: message})
            self.spoke_at = asyncio.get_running_loop().time()
        self._has_work.clear()
        if self._is_flowing.is_set():
            self._is_drained.set()


class Refusal(ValueError):
    """A client message the venue answers with an error; the text is the venue's."""


def parsed(message: str) -> dict[str, Any]:
    """A client message as an object.

    Raises:
        Refusal: no JSON, or no object.
    """
    try:
        value = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = None
    if not isinstance(value, dict):
        raise Refusal(f"Error parsing JSON into valid websocket request: {message[:200]}")
    return value


def subscription_key(subscription: Any) -> Key | None:
    """What makes two subscriptions the same; None for a form the replay does not speak."""
    if not isinstance(subscription, dict):
        return None
    kind, coin, interval = (subscription.get(name, "") for name in ("type", "coin", "interval"))
    if not (isinstance(kind, str) and isinstance(coin, str) and isinstance(interval, str)):
        return None
    return kind, coin, interval


def echo(method: str, subscription: dict[str, Any]) -> str:
    """The answer to a subscription; the key order differs from what was sent (sources 1.2)."""
    order = ("type", "interval", "coin", "dex")
    fields = {name: subscription[name] for name in order if name in subscription}
    fields |= {name: value for name, value in subscription.items() if name not in fields}
    return _text({"channel": "subscriptionResponse", "data": {"method": method, "subscription": fields}})


def error(text: str) -> str:
    """An error message: `data` is a string."""
    return _text({"channel": "error", "data": text})


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
