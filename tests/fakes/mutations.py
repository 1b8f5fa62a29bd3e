"""Damage done to messages: bytes flipped, cut, doubled and inserted; JSON values replaced, dropped, renamed, nested."""

import copy
import json
import random
from typing import Any

ODD_BYTES = b'\x00\xff\xed\xa0\x80{}[]",:\\-+eE.0919nulltrue\xf0\x9f\x99\x80 \n'
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**64, -(2**63) - 1, 10**40, 0.1, -0.0, 1e308, "", "0", "-1", "NaN",
    "Infinity", "1e-9", "1e999", "0x10", " 1", "1_000", "١٢", "9" * 30, "9" * 5_000, "\u202e", "\x00", "a" * 70, [], {},
    [[]], [None], {"t": None}, "candle", "BTC",
)  # fmt: skip


def damage_bytes(rng: random.Random, message: bytes) -> bytes:
    """One to four small changes of the bytes."""
    made = bytearray(message)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(made) + 1)
        to = min(len(made), at + rng.randint(1, 12))
        match rng.randrange(6):
            case 0:
                made[at:to] = b""
            case 1:
                made[at:at] = bytes(rng.choices(ODD_BYTES, k=rng.randint(1, 6)))
            case 2 if at < len(made):
                made[at] = rng.randrange(256)
            case 3:
                made[at:at] = made[at:to]
            case 4 if at < len(made):
                made[at] = rng.choice(ODD_BYTES)
            case 5 if rng.random() < 0.2:
                del made[at:]
    return bytes(made)


def damage_structure(rng: random.Random, message: Any) -> bytes:
    """One to three changes of decoded JSON; the message itself is left alone."""
    made = json.loads(json.dumps(message))
    for _ in range(rng.randint(1, 3)):
        made = _changed(rng, made)
    return json.dumps(made).encode()


def _changed(rng: random.Random, value: Any) -> Any:
    is_leaf = not isinstance(value, dict | list) or not value
    if is_leaf or rng.random() < 0.1:
        return _odd(rng, value)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                del value[key]
            case 1:
                value[key + rng.choice("sX_")] = value.pop(key)
            case 2:
                value[rng.choice(["extra", "t", "s", "data"])] = _any_odd(rng)
            case _:
                value[key] = _changed(rng, value[key])
        return value
    at = rng.randrange(len(value))
    match rng.randrange(8):
        case 0:
            del value[at]
        case 1:
            value.insert(at, value[at])
        case 2:
            value.insert(at, _any_odd(rng))
        case _:
            value[at] = _changed(rng, value[at])
    return value


def _odd(rng: random.Random, value: Any) -> Any:
    if rng.random() < 0.02:
        for _ in range(400):
            value = [value]
        return value
    if isinstance(value, str) and rng.random() < 0.3:
        return "-" + value if rng.random() < 0.5 else value + rng.choice(["0", "e5", ".", "x", "\ud800"])
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice([1, -1, 60_000, -60_000, 10**6])
    return _any_odd(rng)


def _any_odd(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(ODD_VALUES))
