"""Request bodies: JSON as the standard has it and no kinder, bounded before anything looks at it (09 §6.1).

Python's reader takes NaN, keeps the last of two equal keys, passes lone surrogates on and recurses as deep as it is
told. All of that ends here, so that no validator below can meet it.
"""

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

from clash_pipeline.api.problems import Problem

DEEPEST = 32
NODES = 10_000
DIGITS = 40
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{,]|([\]}])', re.DOTALL)


def decode(content: bytes) -> Any:
    """The objects of a JSON body; fractions are `Decimal`.

    Raises:
        Problem: 400 `malformed_json`, `duplicate_key` or `too_complex`.
    """
    _bounded(content)
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_fraction,
            parse_int=_integer,
            parse_constant=_refused,
        )
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise _malformed("The body is not JSON in UTF-8.") from None
    if b"\\u" in content or b"\\U" in content:
        _no_lone_surrogates(value)
    return value


def _bounded(content: bytes) -> None:
    """Count depth and values by their brackets and commas before a recursive reader sees them."""
    depth = nodes = 0
    for match in _TOKENS.finditer(content):
        token = match.group()
        if match.group(1):
            depth -= 1
        elif token in (b"[", b"{"):
            depth += 1
            nodes += 1
        else:
            nodes += 1
        if depth > DEEPEST or nodes > NODES:
            raise Problem(
                400, "too_complex", f"A body is nested at most {DEEPEST} deep and has at most {NODES:,} values."
            )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Problem(400, "duplicate_key", "A field stands twice in its object.")
    return made


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise _malformed(f"A number has at most {DIGITS} digits.")
    return int(text)


def _fraction(text: str) -> Decimal:
    number = Decimal(text) if len(text) <= DIGITS else None
    if number is None or abs(number.adjusted()) > DIGITS:
        raise _malformed(f"A number has at most {DIGITS} digits.")
    return number


def _refused(_: str) -> NoReturn:
    raise _malformed("A number must be finite.")


def _no_lone_surrogates(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if any("\ud800" <= character <= "\udfff" for character in item):
                raise _malformed("A text has half a character (a lone surrogate).")
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed_json", detail)
