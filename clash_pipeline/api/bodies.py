"""Request bodies: JSON as the standard has it and no kinder, bounded before any validator looks at it (09 §6.1)."""

from typing import Any

from clash_pipeline import strict_json
from clash_pipeline.api.problems import Problem
from clash_pipeline.strict_json import Bounds, NotStrict, has_half_character

BOUNDS = Bounds(depth=32, values=10_000, number_characters=40)
TOO_COMPLEX = f"A body is nested at most {BOUNDS.depth} deep and has at most {BOUNDS.values:,} values."
PROBLEMS = {
    "too_deep": ("too_complex", TOO_COMPLEX),
    "too_many_values": ("too_complex", TOO_COMPLEX),
    "duplicate_key": ("duplicate_key", "A field stands twice in its object."),
    "number_too_long": ("malformed_json", f"A number has at most {BOUNDS.number_characters} digits."),
    "number_not_finite": ("malformed_json", "A number must be finite."),
}
MALFORMED = ("malformed_json", "The body is not JSON in UTF-8.")


def decode(content: bytes) -> Any:
    """The objects of a JSON body; fractions are `Decimal`.

    Raises:
        Problem: 400 `malformed_json`, `duplicate_key` or `too_complex`.
    """
    try:
        value = strict_json.decode(content, BOUNDS)
    except NotStrict as error:
        raise Problem(400, *PROBLEMS.get(error.code, MALFORMED)) from None
    if b"\\u" in content or b"\\U" in content:
        _refuse_half_characters(value)
    return value


def _refuse_half_characters(value: Any) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if has_half_character(item):
                raise Problem(400, "malformed_json", "A text has half a character (a lone surrogate).")
        elif isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
