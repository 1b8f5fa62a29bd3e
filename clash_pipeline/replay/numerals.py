"""Numbers as the venues write them, and draws that depend on nothing but their key."""

from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache
from zlib import crc32

import msgspec

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def text(value: float) -> str:
    """A number as Hyperliquid prints it: shortest text that reads back the same, no exponent, at least one decimal."""
    shortest = repr(float(value))
    if "e" not in shortest:
        return shortest
    plain = format(Decimal(shortest), "f")
    return plain if "." in plain else f"{plain}.0"


def texts(values: list[float]) -> list[str]:
    """`text` of each number of a column, many times faster than one by one."""
    written = msgspec.json.encode(values).decode()[1:-1]
    found = written.split(",") if written else []
    return [text(float(one)) for one in found] if "e" in written else found


def mix(key: int) -> int:
    """Scramble a key into 64 well-spread bits (the finaliser of splitmix64)."""
    key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    key = (key ^ (key >> 27)) * 0x94D049BB133111EB & MASK
    return key ^ (key >> 31)


def key_of(seed: int, *parts: int | str) -> int:
    """One 64-bit key of a seed and some names and numbers; the same in every process."""
    key = mix((seed + GOLDEN) & MASK)
    for part in parts:
        number = _name(part) if isinstance(part, str) else part
        key = mix((key ^ (number & MASK)) + GOLDEN & MASK)
    return key


def unit(key: int) -> float:
    """A number in [0, 1) that the key decides."""
    return (mix(key + GOLDEN & MASK) >> 11) / 9007199254740992.0


def draws(key: int) -> Iterator[int]:
    """Endless 64-bit numbers that the key decides."""
    while True:
        key = (key + GOLDEN) & MASK
        yield mix(key)


@lru_cache(maxsize=65_536)
def _name(part: str) -> int:
    data = part.encode()
    return crc32(data) << 32 | crc32(data[::-1], len(data))
