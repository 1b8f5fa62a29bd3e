"""A client of the replayed socket, for tests: says things, and reads everything that was handed over."""

import json
from contextlib import ExitStack, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from clash_pipeline.replay.controls import VenueControls


class Conversation:
    """One WebSocket; `heard` reads up to the answer to a ping, behind which nothing can wait."""

    def __init__(self, controls: VenueControls, *, with_banner: bool = True) -> None:
        url = controls.base_url.replace("http", "ws", 1) + "/ws"
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(connect(url, compression=None, close_timeout=2))
        self.banner = self.socket.recv(5) if with_banner else None

    def say(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def subscribe(self, kind: str, **fields: str) -> None:
        self.say({"method": "subscribe", "subscription": {"type": kind, **fields}})

    def candles(self, *coins: str) -> None:
        for coin in coins:
            self.subscribe("candle", coin=coin, interval="1m")

    def raw(self) -> list[str | bytes]:
        self.say({"method": "ping"})
        found: list[str | bytes] = []
        while (message := self.socket.recv(10)) != '{"channel":"pong"}':
            found.append(message)
        return found

    def heard(self, channel: str | None = None) -> list[dict[str, Any]]:
        messages = [json.loads(message) for message in self.raw()]
        return [message for message in messages if channel is None or message["channel"] == channel]

    def states(self) -> list[dict[str, Any]]:
        return [message["data"] for message in self.heard("candle")]

    def rest(self) -> list[str | bytes]:
        """Everything up to the end of the connection."""
        found: list[str | bytes] = []
        with suppress(ConnectionClosed):
            while True:
                found.append(self.socket.recv(5))
        return found

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
