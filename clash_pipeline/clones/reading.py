"""Bytes to a graph: strangers' JSON is bounded in size, depth, numbers and text before anything looks at it (09 §4.1).

What `strict_json` would refuse at once (NaN, repeated keys, lone surrogates) is let through there and found here with
its place, so that all of it is reported together with everything else.
"""

import math
from codecs import BOM_UTF8
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from clash_pipeline import strict_json
from clash_pipeline.clones import form
from clash_pipeline.clones.graph import Graph
from clash_pipeline.clones.problems import GraphInvalid, GraphUnreadable, Problem, listed, pointer_to
from clash_pipeline.strict_json import Bounds, NotStrict, has_half_character

GRAPH_BYTES = 2_000_000
LAYOUT_BYTES = 200_000
"""A canvas of 500 nodes takes about 60,000."""
MOST_VALUES = 50_000
"""Objects, lists, texts and numbers in all; a canvas of 500 nodes with ten settings each has about 15,000."""
DEEPEST = 32
TOO_MANY = f"A graph has at most {MOST_VALUES:,} values, this has more."
LARGEST = 2**53 - 1
"""Whole numbers beyond this are not the same number to every reader of JSON."""
NUMBER_CHARACTERS = 40
BOUNDS = Bounds(DEEPEST, MOST_VALUES, NUMBER_CHARACTERS)


class _Repeated(dict[str, Any]):
    """An object in which keys stood twice; `keys_twice` are those."""

    keys_twice: tuple[str, ...] = ()


def read(content: bytes) -> Graph:
    """A graph from the bytes of its JSON.

    Raises:
        GraphUnreadable: too large, not UTF-8, not JSON, nested too deep.
        GraphInvalid: with every problem of form.
    """
    return parse(decode(content))


def decode(content: bytes) -> Any:
    """The plain objects of some bytes, for `parse`.

    Raises:
        GraphUnreadable: too large, not UTF-8, not JSON, nested too deep.
    """
    if len(content) > GRAPH_BYTES:
        message = f"A graph has at most {GRAPH_BYTES:,} bytes, this has more."
        raise GraphUnreadable([Problem("graph_too_large", "", message, GRAPH_BYTES, len(content))])
    try:
        return strict_json.decode(
            content.removeprefix(BOM_UTF8),
            BOUNDS,
            members=_object,
            fraction=_fraction,
            integer=_integer,
            constant=float,
        )
    except NotStrict as error:
        raise GraphUnreadable([_unreadable(error)]) from None


def parse(content: Any) -> Graph:
    """A graph from plain JSON objects, whoever decoded them.

    Raises:
        GraphInvalid: with every problem of form.
    """
    found = list(_unbearable(content))
    if found and (refusal := GraphInvalid(listed(found))).is_unbounded:
        raise refusal
    try:
        graph = Graph.model_validate(content)
    except ValidationError as error:
        places = {problem.pointer for problem in found} | ({""} if found else set())
        found += [problem for problem in form.problems_of(error) if problem.pointer not in places]
        raise GraphInvalid(listed(found)) from None
    if found:
        raise GraphInvalid(listed(found))
    return graph


def _unreadable(error: NotStrict) -> Problem:
    match error.code:
        case "too_deep":
            return Problem("graph_too_deep", "", f"A graph is nested at most {DEEPEST} deep.", DEEPEST)
        case "too_many_values":
            return Problem("graph_too_large", "", TOO_MANY, MOST_VALUES)
        case "not_utf8":
            return Problem("not_utf8", "", f"{error.at.capitalize()} is not UTF-8 text.")
    return Problem("not_json", "", f"This is not JSON: {error.at}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    names = [name for name, _ in pairs]
    twice = _Repeated(made)
    twice.keys_twice = tuple(name for name in made if names.count(name) > 1)
    return twice


def _fraction(text: str) -> float:
    """Coordinates are the only fractions of a graph; they are bounded as decimals and kept as floats."""
    if len(text) > NUMBER_CHARACTERS:
        return math.inf
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent beyond what decimals have
        return math.inf
    return float(number) if _is_bounded(number) else math.inf


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= NUMBER_CHARACTERS else math.inf


def _unbearable(content: Any) -> Iterator[Problem]:
    """What no field may hold: repeated keys, numbers and text that not every reader of JSON shares, too much."""
    values, sizes = 0, {"": 0, "/layout": 0}
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), content)]
    while waiting:
        path, value = waiting.pop()
        values, size = values + 1, 2
        if values > MOST_VALUES:
            yield Problem("graph_too_large", "", TOO_MANY, MOST_VALUES)
            return
        if isinstance(value, str):
            size += len(value)
            if has_half_character(value):
                yield Problem("text_not_unicode", pointer_to(path), "The text has half a character (a lone surrogate).")
        elif isinstance(value, dict):
            yield from _of_object(path, value)
            size += sum(len(name) + 4 for name in value if isinstance(name, str))
            waiting += reversed([((*path, name), inner) for name, inner in value.items()])
        elif isinstance(value, list | tuple):
            waiting += reversed([((*path, place), inner) for place, inner in enumerate(value)])
        elif isinstance(value, int | float | Decimal) and not _is_bounded(value):
            yield _number_problem(path, value)
        if len(path) > DEEPEST:
            yield Problem("graph_too_deep", pointer_to(path), f"A graph is nested at most {DEEPEST} deep.", DEEPEST)
            return
        sizes["/layout" if path[:1] == ("layout",) else ""] += size
    for pointer, most in (("", GRAPH_BYTES), ("/layout", LAYOUT_BYTES)):
        if sizes[pointer] > most:
            what = "layout" if pointer else "graph"
            message = f"The {what} has about {sizes[pointer]:,} bytes, at most {most:,} are kept."
            yield Problem(f"{what}_too_large", pointer, message, most, sizes[pointer])


def _of_object(path: tuple[str | int, ...], value: dict[Any, Any]) -> Iterator[Problem]:
    for name in value:
        if not isinstance(name, str):
            yield Problem("wrong_type", pointer_to(path), "The names of an object's fields are text.")
        elif has_half_character(name):
            message = "The name of a field has half a character (a lone surrogate)."
            yield Problem("text_not_unicode", pointer_to((*path, name)), message)
    for name in getattr(value, "keys_twice", ()):
        yield Problem("duplicate_key", pointer_to((*path, name)), "This field stands twice in its object.")


def _number_problem(path: tuple[str | int, ...], value: float | Decimal) -> Problem:
    if isinstance(value, int):
        message = f"No number of a graph is beyond {LARGEST:,}."
        return Problem("number_too_large", pointer_to(path), message, LARGEST)
    return Problem("number_not_finite", pointer_to(path), "This is not a finite number, or far too large a one.")


def _is_bounded(value: float | Decimal) -> bool:
    is_number = value.is_finite() if isinstance(value, Decimal) else value == value
    return is_number and -LARGEST <= value <= LARGEST
