"""Canonical JSON and its SHA-256: the identity of graphs, plans, packets, policies and ledger groups.

Sorted keys, no spaces, UTF-8, shortest floats; the same value gives the same bytes in every process.
"""

import hashlib
from typing import Any

import msgspec

ZERO_HASH = "0" * 64
"""What the first link of a hash chain points back to."""

_ENCODER = msgspec.json.Encoder(order="sorted", decimal_format="string")


def encode(value: Any) -> bytes:
    """A value of dicts, lists, text, ints, floats, None or msgspec structs as canonical JSON."""
    return _ENCODER.encode(value)


def text(value: Any) -> str:
    """The same as text, for a database column."""
    return encode(value).decode()


def sha256(content: bytes) -> str:
    """The digest of some bytes, in lower-case hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest(value: Any) -> str:
    """The digest of a value's canonical JSON."""
    return sha256(encode(value))


def link(previous: str, value: Any) -> str:
    """The next hash of a chain: SHA-256 of the previous hash followed by the canonical JSON (09 I8)."""
    return sha256(previous.encode("ascii") + encode(value))
