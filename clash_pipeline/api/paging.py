"""Cursor paging: a page, and a sealed cursor to the next one. A cursor that we did not write is refused."""

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar

import msgspec

from clash_pipeline.api.problems import Problem

Item = TypeVar("Item")
SEAL_BYTES = 12


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Items and the cursor of those after them, None at the end."""

    items: list[Item]
    next_cursor: str | None


@dataclass(frozen=True)
class Cursors:
    """Seals cursors with a key of the server, each for one list."""

    key: bytes

    def seal(self, of: str, position: list[int | str]) -> str:
        """A cursor to what follows `position` in a list."""
        content = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._seal(of, content) + content).decode().rstrip("=")

    def open(self, of: str, cursor: str | None) -> list[Any] | None:
        """The position of a cursor; None without one.

        Raises:
            Problem: 422 when it was not sealed here for this list.
        """
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _bad() from None
        content = raw[SEAL_BYTES:]
        is_ours = hmac.compare_digest(raw[:SEAL_BYTES], self._seal(of, content))
        if not is_ours or self.seal(of, _list(content)) != cursor:  # one way to write it
            raise _bad()
        return _list(content)

    def page(
        self, of: str, found: Sequence[Item], limit: int, position: Callable[[Item], list[int | str]]
    ) -> Page[Item]:
        """A page from `limit + 1` rows that were asked for: the extra one only says that there is more."""
        items = list(found[:limit])
        more = len(found) > limit
        return Page(items, self.seal(of, position(items[-1])) if more else None)

    def _seal(self, of: str, content: bytes) -> bytes:
        return hmac.new(self.key, of.encode() + b"\0" + content, sha256).digest()[:SEAL_BYTES]


def _list(content: bytes) -> list[Any]:
    try:
        return msgspec.json.decode(content, type=list[Any])
    except msgspec.DecodeError:
        raise _bad() from None


def _bad() -> Problem:
    return Problem(422, "cursor_invalid", "This is not a cursor that was given out here.", pointer="?cursor")
