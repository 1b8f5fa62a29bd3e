"""Fields of untyped JSON: tolerant in form (numbers as text, absent keys), strict in meaning, each refusal with a code.

For sources whose answers have no fixed shape; one bad entry of a list is refused, counted and sampled, its
neighbours are kept.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from clash_pipeline.market.text import clean, key

T = TypeVar("T")

LATEST_MS = 7_258_118_400_000
"""2200-01-01: later times are mistakes."""
LARGEST = 1e18
SAMPLE_BYTES = 2_000

_DECIMAL = re.compile(r"-?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})", re.ASCII)


class Malformed(ValueError):
    """One entry is not what the venue documents; the message is a stable reason code."""


class Refused(NamedTuple):
    """An entry that was not taken: why, and what it looked like."""

    reason: str
    sample: str


class Decoded(NamedTuple, Generic[T]):
    """The entries that were understood, and the others."""

    items: tuple[T, ...]
    refused: tuple[Refused, ...]


def each(raw: object, decode: Callable[[Mapping[str, Any]], T], reason: str) -> Decoded[T]:
    """Decode the entries of a list one by one.

    Raises:
        Malformed: `raw` is not a list.
    """
    if not isinstance(raw, list):
        raise Malformed(reason)
    items: list[T] = []
    refused: list[Refused] = []
    for entry in raw:
        try:
            items.append(decode(mapping(entry, reason)))
        except Malformed as problem:
            refused.append(Refused(str(problem), sample(entry)))
    return Decoded(tuple(items), tuple(refused))


def sample(entry: object) -> str:
    """An entry as JSON, cut to what a rejection keeps."""
    try:
        return msgspec.json.encode(entry)[:SAMPLE_BYTES].decode("utf-8", "ignore")
    except RecursionError:  # decoded nearer to the limit than we stand now
        return "nested too deeply to be shown"


def mapping(value: object, reason: str) -> Mapping[str, Any]:
    """A JSON object, or the reason."""
    if not isinstance(value, dict):
        raise Malformed(reason)
    return value


def listing(value: object, reason: str) -> list[Any]:
    """A list, also one written as JSON inside a string; absent is empty."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            raise Malformed(reason) from None
    if not isinstance(value, list):
        raise Malformed(reason)
    return value


def words(value: object, reason: str, *, max_bytes: int, at_most: int | None = None) -> str:
    """Cleaned, bounded and not empty text; `at_most` refuses longer raw text instead of cutting it."""
    if not isinstance(value, str) or (at_most is not None and len(value) > at_most):
        raise Malformed(reason)
    cleaned = clean(value, max_bytes=max_bytes)
    if not cleaned:
        raise Malformed(reason)
    return cleaned


def identity(value: object, reason: str) -> str:
    """An id or slug that can stand in keys and addresses; whole numbers are taken as their digits."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return str(value)
    found = key(value) if isinstance(value, str) else None
    if found is None:
        raise Malformed(reason)
    return found


def flag(value: object, reason: str, *, absent: bool) -> bool:
    """A boolean, also as text or 0 and 1."""
    if value is None:
        return absent
    if isinstance(value, bool):
        return value
    if value in ("true", "false", 0, 1):
        return value in ("true", 1)
    raise Malformed(reason)


def number(value: object, reason: str, *, low: float = -LARGEST, high: float = LARGEST) -> float | None:
    """A finite number within bounds, also as text; absent, null and empty text are unknown."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = float(value) if _DECIMAL.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(reason)
    if not (low <= value <= high and math.isfinite(value)):
        raise Malformed(reason)
    return float(value)


def decimal_text(value: object, reason: str, *, low: int = 0, high: int = 1) -> str | None:
    """A price as plain decimal text: `.48` becomes `0.48`, a number its shortest form; absent is unknown."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed(reason)
    if not isinstance(value, str) and not abs(value) <= LARGEST:
        raise Malformed(reason)
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    if not _DECIMAL.fullmatch(text):
        raise Malformed(reason)
    if not low <= Decimal(text) <= high:
        raise Malformed(reason)
    return f"0{text}" if text.startswith(".") else text


def moment(value: object, reason: str) -> int | None:
    """Epoch ms of an ISO time (`Z`, `+00`, 0 to 6 decimals, or a date alone); absent is unknown."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 40 or not value.isascii():
        raise Malformed(reason)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise Malformed(reason) from None
    at_ms = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    if not 0 <= at_ms < LATEST_MS:
        raise Malformed(reason)
    return at_ms


def tally(refused: Iterable[Refused]) -> dict[str, tuple[int, str]]:
    """How many of each reason, with the first sample of each."""
    counts: dict[str, tuple[int, str]] = {}
    for reason, shown in refused:
        count, first = counts.get(reason, (0, shown))
        counts[reason] = (count + 1, first)
    return counts
