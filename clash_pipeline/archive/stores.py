"""Where immutable objects go: one interface, three stores (memory, file, S3), two families of error.

A store is never trusted: whoever must rely on an object reads it back and compares its hash (01 Retention).
"""

import hashlib
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol

KEY_CHARACTERS = 512
_PART = re.compile(r"[A-Za-z0-9_@=+%~-][A-Za-z0-9_@=+%~.-]*", re.ASCII)


class StoreError(Exception):
    """The store could not do it; the message is one line for a person."""


class StoreUnavailable(StoreError):
    """No answer, too slow, or no space: trying again can help."""


class StoreRefused(StoreError):
    """Wrong credentials, wrong bucket, or a key that cannot be: trying again cannot help."""


class StoreMissing(StoreRefused):
    """No object has this key."""


class StoreConflict(StoreError):
    """The key already holds other bytes; they were left alone."""


class StoreCorrupt(StoreError):
    """The object is not what was put there: cut off, altered, or of another hash."""


class Put(StrEnum):
    """What a put found."""

    CREATED = "created"
    ALREADY_THERE = "already_there"
    REPLACED = "replaced"


class Head(NamedTuple):
    """What a store says about an object without sending it; `sha256` is None where it does not know."""

    size: int
    sha256: str | None


class ArtifactStore(Protocol):
    """Objects by key. Every method may raise `StoreUnavailable` (transient) or `StoreRefused` (permanent)."""

    @property
    def name(self) -> str:
        """How rows and people call this store: `memory`, `file`, `s3`."""
        ...

    def put(self, key: str, body: bytes, *, if_absent: bool = True) -> Put:
        """Store bytes; with `if_absent` an existing object is never replaced.

        Raises:
            StoreConflict: `if_absent`, and the key holds other bytes.
        """
        ...

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            StoreMissing: there is none.
        """
        ...

    def head(self, key: str) -> Head | None:
        """Size and hash as the store knows them, or None when there is no such object."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with `prefix`, ascending."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when it is already gone."""
        ...


def sha256(body: bytes) -> str:
    """The hash by which objects are compared, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def safe_key(key: str) -> str:
    """The key itself, if it means the same thing in every store: plain parts between single slashes.

    Raises:
        StoreRefused: empty, absolute or hidden parts, `..`, other characters, or more than 512 of them.
    """
    if len(key) > KEY_CHARACTERS or not all(_PART.fullmatch(part) for part in key.split("/")):
        raise StoreRefused(
            f"{key[:80]!r} cannot be an object key: at most {KEY_CHARACTERS} of A-Z a-z 0-9 _@=+%~.- between slashes"
        )
    return key


def same_or_conflict(key: str, found: bytes, body: bytes) -> Put:
    """Decide a conditional put that met an existing object.

    Raises:
        StoreConflict: it holds other bytes.
    """
    if found != body:
        raise StoreConflict(f"{key} already holds other bytes ({sha256(found)[:12]}, not {sha256(body)[:12]})")
    return Put.ALREADY_THERE


class MemoryStore:
    """Objects of this process only; for tests and for dry runs."""

    name = "memory"

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes, *, if_absent: bool = True) -> Put:
        """Store a copy under a key: what a compressor hands over keeps the whole buffer that it was cut from."""
        before = self._objects.get(safe_key(key))
        if before is not None and if_absent:
            return same_or_conflict(key, before, body)
        self._objects[key] = bytes(memoryview(body))
        return Put.CREATED if before is None else Put.REPLACED

    def get(self, key: str) -> bytes:
        """The whole object."""
        try:
            return self._objects[safe_key(key)]
        except KeyError:
            raise StoreMissing(f"no object {key} in the memory store") from None

    def head(self, key: str) -> Head | None:
        """Size and hash."""
        body = self._objects.get(safe_key(key))
        return None if body is None else Head(len(body), sha256(body))

    def list(self, prefix: str) -> Iterator[str]:
        """Keys under a prefix, ascending."""
        return iter(sorted(key for key in self._objects if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._objects.pop(safe_key(key), None)
