"""Errors of form in our own sentences: what the graph's models refuse, as problems a creator understands."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from clash_pipeline.clones import lookalikes
from clash_pipeline.clones.problems import Problem, listed, pointer_to, shown

NODE_KINDS = ("data_stream", "asset_selection", "trading_prompt")
SYMBOL_FIELDS = frozenset({"assetOverrides", "explicitlyEnabledSymbols", "explicitlyDisabledSymbols", "contextSymbol"})
KEY = "[key]"


class Refused(NamedTuple):
    """One error of the models: its path in the document, the value there and the limit that it breaks."""

    kind: str
    path: tuple[str | int, ...]
    value: Any
    limits: Mapping[str, Any]
    is_key: bool = False

    @property
    def field(self) -> str:
        """The name of the field that is wrong; of a wrong key the object that has it."""
        named = [step for step in self.path if isinstance(step, str)]
        if self.is_key:
            return f"A key of {named[-2]}"
        return named[-1] if named else "the graph"

    @property
    def pointer(self) -> str:
        """The JSON pointer of the place."""
        return pointer_to(self.path)

    def problem(self, code: str, message: str, limit: Any = None, actual: Any = None) -> Problem:
        """A problem at this place; numbers that are not whole say nothing as limit or actual."""
        return Problem(code, self.pointer, message, _whole(limit), _whole(actual))


def problems_of(error: ValidationError) -> list[Problem]:
    """Every error of form, in the order of the document."""
    return listed([problem_of(refused) for refused in refusals_of(error)])


def refusals_of(error: ValidationError) -> list[Refused]:
    """Every error of the models, in the order of the document."""
    return [_refused(item) for item in error.errors(include_url=False)]


def problem_of(refused: Refused) -> Problem:
    """One error of form as a problem."""
    for ending, sentence in SENTENCES:
        if refused.kind.endswith(ending):
            return sentence(refused)
    return refused.problem("form_invalid", f"{refused.field} cannot be {shown(refused.value)}.")


def _missing(refused: Refused) -> Problem:
    return refused.problem("field_missing", f"{refused.field} is missing.")


def _unknown_field(refused: Refused) -> Problem:
    message = f"There is no field {refused.field} here; remove it or check its spelling."
    return refused.problem("field_unknown", message)


def _node_kind(refused: Refused) -> Problem:
    kind = refused.limits.get("tag")
    place = Refused(refused.kind, (*refused.path, "type"), refused.value, refused.limits)
    if kind in {"trading_clone", "strategy_clone", "strategyClone"}:
        message = "The Trading Clone block is only drawn: keep it in layout.strategyClone, not among the nodes."
        return place.problem("node_not_executable", message)
    if kind is None:
        return refused.problem("field_missing", f"A node needs a type: {_options(NODE_KINDS)}.")
    return place.problem("node_type_unknown", f"A node cannot be a {shown(kind)}, only {_options(NODE_KINDS)}.")


def _choice(refused: Refused) -> Problem:
    allowed = str(refused.limits.get("expected", "")).replace("'", "")
    if refused.field == "version":
        return refused.problem("version_unsupported", f"version must be 1, not {shown(refused.value)}.")
    return refused.problem("choice_unknown", f"{refused.field} cannot be {shown(refused.value)}, only {allowed}.")


def _too_low(refused: Refused) -> Problem:
    least = refused.limits.get("ge", refused.limits.get("gt"))
    message = f"{refused.field} must be at least {_number(least)}, not {shown(refused.value)}."
    return refused.problem("number_too_low", message, least, refused.value)


def _too_high(refused: Refused) -> Problem:
    most = refused.limits.get("le", refused.limits.get("lt"))
    message = f"{refused.field} must be at most {_number(most)}, not {shown(refused.value)}."
    return refused.problem("number_too_high", message, most, refused.value)


def _uneven(refused: Refused) -> Problem:
    step = refused.limits.get("multiple_of")
    message = f"{refused.field} must be a multiple of {step}, not {shown(refused.value)}."
    return refused.problem("number_uneven", message, step, refused.value)


def _not_finite(refused: Refused) -> Problem:
    return refused.problem("number_not_finite", f"{refused.field} must be a finite number.")


def _too_long(refused: Refused) -> Problem:
    most, actual = refused.limits.get("max_length"), refused.limits.get("actual_length")
    if isinstance(refused.value, str):
        actual, unit = len(refused.value), "characters"
    else:
        unit = "entries"
    has = "" if actual is None else f", this has {actual}"
    return refused.problem("too_long", f"{refused.field} has at most {most} {unit}{has}.", most, actual)


def _too_short(refused: Refused) -> Problem:
    return refused.problem("too_short", f"{refused.field} must not be empty.", refused.limits.get("min_length"), 0)


def _letters(refused: Refused) -> Problem:
    """A name in letters that it cannot have; a ticker that only looks like one is said to."""
    text = str(refused.value)
    if not SYMBOL_FIELDS & {step for step in refused.path if isinstance(step, str)}:
        allowed = "letters A to Z, digits and _ . : -"
        return refused.problem("id_malformed", f"{refused.field} {shown(text)} may only have {allowed}.")
    twin = lookalikes.ascii_twin(text)
    if twin is None:
        return refused.problem("symbol_malformed", f"{shown(text)} cannot be a symbol of Hyperliquid.")
    foreign = lookalikes.foreign_letters(text)
    message = f"{shown(text)} looks like {twin} and is not: it is written with {foreign}. Did you mean {twin}?"
    return refused.problem("symbol_lookalike", message)


def _wrong_type(refused: Refused) -> Problem:
    wanted = next(words for part, words in TYPES.items() if part in refused.kind)
    if not refused.path:
        return refused.problem("not_an_object", f"A graph is a JSON object, not {shown(refused.value)}.")
    return refused.problem("wrong_type", f"{_named(refused)} must be {wanted}, not {shown(refused.value)}.")


TYPES = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "tuple": "a list",
    "dict": "an object",
    "model": "an object",
}

SENTENCES: tuple[tuple[str, Callable[[Refused], Problem]], ...] = (
    ("missing", _missing),
    ("extra_forbidden", _unknown_field),
    ("union_tag_invalid", _node_kind),
    ("union_tag_not_found", _node_kind),
    ("literal_error", _choice),
    ("greater_than_equal", _too_low),
    ("less_than_equal", _too_high),
    ("multiple_of", _uneven),
    ("finite_number", _not_finite),
    ("too_long", _too_long),
    ("too_short", _too_short),
    ("string_pattern_mismatch", _letters),
    ("bool_type", _wrong_type),
    ("int_type", _wrong_type),
    ("float_type", _wrong_type),
    ("string_type", _wrong_type),
    ("tuple_type", _wrong_type),
    ("dict_type", _wrong_type),
    ("model_type", _wrong_type),
    ("model_attributes_type", _wrong_type),
)
"""By how the models' error types end, what we say of them."""


def _refused(item: Any) -> Refused:
    path = item["loc"]
    if len(path) > 2 and path[0] == "nodes" and path[2] in NODE_KINDS:
        path = (*path[:2], *path[3:])  # a step of the union, not of the document
    is_key = bool(path) and path[-1] == KEY
    path = path[:-1] if is_key else path
    return Refused(item["type"], path, item.get("input"), item.get("ctx") or {}, is_key)


def _named(refused: Refused) -> str:
    last = refused.path[-1]
    return f"Entry {last} of {refused.field}" if isinstance(last, int) else refused.field


def _options(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _number(value: Any) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def _whole(value: Any) -> int | None:
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53
    return int(value) if is_whole and value == int(value) else None
