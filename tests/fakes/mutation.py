"""Messages gone wrong: bytes flipped, cut or repeated, structure bent; the same seed gives the same mess (09 D5)."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import msgspec

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 2**63, -(2**63), 10**30, 0.5, -0.5, 1.5, 1e300, -1e300, 5e-324, "", " ", "0", "-1",
    "NaN", "Infinity", "1e999", "0x10", "١٢", "true", "null", "[]", "{}", "[\"a\"", "\"", "[" * 3_000, "x" * 5_000,
    "\u202e\u2066evil\u200b", "\x00", "\U000e0041" * 20, "<script>alert(1)</script>", "'; DROP TABLE x; --",
    "../../etc", "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31", [], {}, [[]], [None], [{}],
    {"a": {"b": []}}, ["0.5", "0.5", "0.5"], {"peggedUSD": -5}, {"peggedUSD": "many"}, {"": {"": 1}},
)  # fmt: skip


def bent(source: random.Random, message: Any) -> Any:
    """The message with one to three places replaced, left out, doubled or wrapped."""
    holder = [message]
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        _bend_once(source, holder)
    return holder[0]


def garbled(source: random.Random, body: bytes) -> bytes:
    """The bytes with one to three places flipped, cut out, repeated, or the rest gone."""
    made = bytearray(body)
    for _ in range(source.choice((1, 1, 2, 3))):
        place = source.randrange(len(made) or 1)
        kind = source.randrange(5)
        if kind == 0 and made:
            made[place % len(made)] = source.randrange(256)
        elif kind == 1:
            made[place:place] = bytes([source.randrange(256)])
        elif kind == 2:
            del made[place : place + source.randint(1, 8)]
        elif kind == 3:
            made[place:place] = made[place : place + source.randint(1, 30)]
        else:
            del made[place:]
    return bytes(made)


def mutated(source: random.Random, seeds: list[bytes], count: int) -> Iterator[tuple[bool, Any]]:
    """`count` messages: (True, a decoded message that may be anything) or (False, bytes that are no JSON)."""
    for _ in range(count):
        seed = source.choice(seeds)
        if source.random() < 0.6:
            yield True, bent(source, msgspec.json.decode(seed))
            continue
        body = garbled(source, seed)
        try:
            yield True, msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield False, body


def _bend_once(source: random.Random, holder: list[Any]) -> None:
    parent, place = _some_place(source, holder)
    kind = source.randrange(6)
    if kind == 0 and isinstance(parent, dict):
        del parent[place]
    elif kind == 1 and isinstance(parent, dict):
        parent[source.choice(("extra", "id", "tvl", "markets", ""))] = copy.deepcopy(parent[place])
    elif kind == 2:
        parent[place] = [parent[place]]
    elif kind == 3:
        parent[place] = {"value": parent[place]}
    else:
        parent[place] = copy.deepcopy(source.choice(STRANGE))


def _some_place(source: random.Random, holder: list[Any]) -> tuple[Any, Any]:
    parent: Any = holder
    place: Any = 0
    while isinstance(parent[place], dict | list) and parent[place] and source.random() < 0.85:
        parent = parent[place]
        place = source.choice(list(parent)) if isinstance(parent, dict) else source.randrange(len(parent))
    return parent, place
