"""JSON from somebody who may be hostile: one flat object, each key once, exact and short numbers, nothing else."""

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

MAX_DIGITS = 30
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


class NotStrict(ValueError):
    """The text is not such JSON; the message is fixed text that repeats nothing of it."""


def strict_object(content: bytes) -> dict[str, Any]:
    """A flat object of text, whole numbers, `Decimal`s, booleans and nulls.

    Raises:
        NotStrict: not UTF-8, not JSON, no object, a key twice, a value that is a list or object, a number of too many
            digits or none at all (NaN, Infinity).
    """
    try:
        made = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_flat,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refused_constant,
        )
    except NotStrict:
        raise
    except UnicodeDecodeError:
        raise NotStrict("not UTF-8") from None
    except (ValueError, RecursionError):
        raise NotStrict("not JSON") from None
    if not isinstance(made, dict):
        raise NotStrict("not an object")
    return made


def _flat(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotStrict("a field is given twice")
    if any(isinstance(value, dict | list) for value in made.values()):
        raise NotStrict("a field holds a list or an object")
    return made


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise NotStrict("a number has too many digits")
    return int(digits)


def _decimal(digits: str) -> Decimal:
    if _NUMBER.fullmatch(digits) is None:
        raise NotStrict("a number has too many digits")
    return Decimal(digits)


def _refused_constant(_: str) -> NoReturn:
    raise NotStrict("a number is not finite")
