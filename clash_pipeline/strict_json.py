"""JSON from strangers, bounded before a recursive reader sees it, and read no kinder than the standard has it (09 6.1).

Python's reader takes NaN, keeps the last of two equal keys, passes lone surrogates on and recurses as deep as it is
told. Here are the shared rules; what else a room demands of its own JSON stands there.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

Members = Callable[[list[tuple[str, Any]]], dict[str, Any]]
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class NotStrict(ValueError):
    """Some bytes are no such JSON: a stable `code`, and fixed words that repeat nothing of them.

    Codes: `not_utf8`, `not_json`, `too_deep`, `too_many_values`, `duplicate_key`, `number_too_long`,
    `number_not_finite`. `at` is where: a byte, or line and column; empty where a room's rules say it better.
    """

    def __init__(self, code: str, message: str, at: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.at = at


class Bounds(NamedTuple):
    """How deep brackets nest, how many values there are in all, and how many characters a number has."""

    depth: int
    values: int
    number_characters: int


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object, each once.

    Raises:
        NotStrict: `duplicate_key`.
    """
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotStrict("duplicate_key", "a field is given twice")
    return made


def decode(
    content: bytes,
    bounds: Bounds,
    *,
    members: Members = unique,
    fraction: Callable[[str], Any] | None = None,
    integer: Callable[[str], Any] | None = None,
    constant: Callable[[str], Any] | None = None,
) -> Any:
    """The plain objects of some JSON; fractions are `Decimal`.

    A room that says more about its objects or numbers hands its own readers over.

    Raises:
        NotStrict: beyond the bounds, or none of the standard's JSON in UTF-8.
    """
    _refuse_beyond(content, bounds)

    def bounded(number: type[int] | type[Decimal]) -> Callable[[str], Any]:
        return lambda digits: _number(digits, number, bounds.number_characters)

    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=members,
            parse_float=fraction or bounded(Decimal),
            parse_int=integer or bounded(int),
            parse_constant=constant or _refused_constant,
        )
    except UnicodeDecodeError as error:
        raise NotStrict("not_utf8", "not UTF-8", f"byte {error.start}") from None
    except json.JSONDecodeError as error:
        said = error.msg[:1].lower() + error.msg[1:]
        raise NotStrict("not_json", "not JSON", f"{said} at line {error.lineno}, column {error.colno}") from None


def has_half_character(text: str) -> bool:
    """Whether a text has a lone surrogate, which no UTF-8 can carry."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_beyond(content: bytes, bounds: Bounds) -> None:
    """Count brackets and commas outside of text."""
    outside = b"".join(_ESCAPE.sub(b"", content).split(b'"')[::2])
    depth = 0
    for bracket in outside.translate(None, delete=_NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > bounds.depth:
            raise NotStrict("too_deep", "nested too deep")
    if outside.count(b",") + outside.count(b"[") + outside.count(b"{") > bounds.values:
        raise NotStrict("too_many_values", "too many values")


def _number(digits: str, number: type[int] | type[Decimal], most: int) -> Any:
    """A number that is as short as it says: neither its digits nor its exponent go beyond the limit."""
    if len(digits) <= most:
        made = number(digits)
        if isinstance(made, int) or abs(made.adjusted()) <= most:
            return made
    raise NotStrict("number_too_long", "a number has too many digits")


def _refused_constant(_: str) -> NoReturn:
    raise NotStrict("number_not_finite", "a number is not finite")
